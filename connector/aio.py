"""`AsyncConnector`: the calls of `Connector` as coroutines; none of them blocks the event loop."""

from __future__ import annotations

import asyncio
import copy
import functools
import threading
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from connector.async_threads import Awaited, Threads, awaited, drop_result, iterated
from connector.communicate.cases import Cases
from connector.communicate.lab import OrmcoLab
from connector.connector import Connector
from connector.redact import Secret, fingerprint

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

    from connector.clock import Clock
    from connector.communicate.history import CaseEvent
    from connector.communicate.watch_plan import WatchPlan, WatchReport
    from connector.communicate.watch_scheduler import Lag, Problem
    from connector.config import Config
    from connector.connection import AccessToken, Event
    from connector.observers import Call

__all__ = ["AsyncCases", "AsyncConnector", "AsyncLab"]

_MOST_CALLS = 32
_PAGE = 256
# Practice, `min_ttl`, and a fingerprint of `rejected`: asyncio logs the arguments of a callback.
_Wanted = tuple[str, float, str | None]


class AsyncLab(Awaited):
    """`Connector.lab`, awaited."""

    def __init__(self, target: OrmcoLab, threads: Threads) -> None:
        self._target: OrmcoLab = target
        self._threads = threads

    status: Final = awaited(OrmcoLab.status)
    request: Final = awaited(OrmcoLab.request)
    approve: Final = awaited(OrmcoLab.approve)
    requests: Final = awaited(OrmcoLab.requests)
    accept: Final = awaited(OrmcoLab.accept)


class AsyncCases(Awaited):
    """`Connector.cases`, awaited; `async for` over the files of a download."""

    def __init__(self, target: Cases, threads: Threads) -> None:
        self._target: Cases = target
        self._threads = threads

    list: Final = awaited(Cases.list)
    get: Final = awaited(Cases.get)
    versions: Final = awaited(Cases.versions)
    history: Final = awaited(Cases.history)
    show: Final = awaited(Cases.show)
    reset_watch: Final = awaited(Cases.reset_watch)
    download: Final = iterated(Cases.download)

    async def watch(
        self,
        practice_ids: Collection[str] | None,
        handler: Callable[[CaseEvent], Awaitable[object]],
        *,
        plan: WatchPlan | None = None,
        on_problem: Problem = lambda practice_id, error: None,
        on_lag: Lag = lambda seconds: None,
    ) -> WatchReport:
        """Deliver the events of cases; see `Cases.watch`. The watch ends when this call is cancelled.

        `handler` is awaited in this event loop. It is cancelled with the watch; then, and if it raises, the
        event is delivered again. `on_problem` and `on_lag` are called in a thread.
        """
        loop, stop = asyncio.get_running_loop(), threading.Event()
        handled: set[Future[object]] = set()

        def handle(event: CaseEvent) -> None:
            done = asyncio.run_coroutine_threadsafe(_as_coroutine(handler(event)), loop)
            handled.add(done)
            try:
                if stop.is_set():
                    done.cancel()
                done.result()
            finally:
                handled.discard(done)

        def end() -> None:
            stop.set()
            for done in tuple(handled):
                done.cancel()

        call = functools.partial(
            self._target.watch,
            practice_ids,
            handle,
            plan=plan,
            stop=stop,
            on_problem=on_problem,
            on_lag=on_lag,
        )
        return await self._threads.run_endless(call, stop=end)


async def _as_coroutine(awaitable: Awaitable[object]) -> object:
    return await awaitable


class AsyncConnector(Awaited):
    """The same calls as `Connector`, awaited; `async for` if the synchronous call iterates.

    Every call that may wait runs in one of a bounded number of threads. `access_token` and `token` use no
    thread while the token in memory is valid.

    Example:
        >>> async with AsyncConnector.from_config(config) as connector:  # doctest: +SKIP
        ...     token = await connector.access_token("practice-42")

    Args:
        connector: the synchronous connector; it is closed by `aclose`.
        threads: the maximum number of concurrent calls.
    """

    def __init__(self, connector: Connector, *, threads: int = _MOST_CALLS) -> None:
        self._target: Connector = connector
        self._threads = Threads(threads)
        self._waiters: dict[_Wanted, asyncio.Task[AccessToken]] = {}
        self._has_looked = False

    @classmethod
    def from_config(
        cls,
        config: Config,
        *,
        clock: Clock | None = None,
        actor: str | None = None,
        proactive: bool = True,
        threads: int = _MOST_CALLS,
    ) -> Self:
        """Create a connector; see `Connector.from_config`. At most `threads` calls run at a time."""
        connector = Connector.from_config(config, clock=clock, actor=actor, proactive=proactive)
        return cls(connector, threads=threads)

    prepare: Final = awaited(Connector.prepare)
    begin: Final = awaited(Connector.begin)
    complete: Final = awaited(Connector.complete)
    confirm_account: Final = awaited(Connector.confirm_account)
    reject_account: Final = awaited(Connector.reject_account)
    unconfirmed_account: Final = awaited(Connector.unconfirmed_account)
    connect: Final = awaited(Connector.connect)
    adopt: Final = awaited(Connector.adopt)
    refresh: Final = awaited(Connector.refresh)
    refresh_due: Final = awaited(Connector.refresh_due)
    status: Final = awaited(Connector.status)
    summary: Final = awaited(Connector.summary)
    search: Final = awaited(Connector.search)
    rotate_keys: Final = awaited(Connector.rotate_keys)
    open_requests: Final = awaited(Connector.open_requests)
    diagnose: Final = awaited(Connector.diagnose)
    repair: Final = awaited(Connector.repair)
    reconnect: Final = awaited(Connector.reconnect)
    revoke: Final = awaited(Connector.revoke)
    revocation_steps: Final = awaited(Connector.revocation_steps)
    confirm_revoked: Final = awaited(Connector.confirm_revoked)
    forget: Final = awaited(Connector.forget)
    events: Final = awaited(Connector.events)
    ping: Final = awaited(Connector.ping)
    prune_events: Final = awaited(Connector.prune_events)
    upgrade_store: Final = awaited(Connector.upgrade_store)
    connections: Final = iterated(Connector.connections, page=_PAGE)
    doctor: Final = iterated(Connector.doctor)

    async def token(
        self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None
    ) -> AccessToken:
        """Return an access token that is valid now; see `Connector.token`."""
        if rejected is None and (found := self.cached_token(practice_id, min_ttl=min_ttl)) is not None:
            return found
        waiter = self._waiter(practice_id, min_ttl, rejected)
        del rejected  # as in `awaited`
        return await asyncio.shield(waiter)

    def _waiter(self, practice_id: str, min_ttl: float, rejected: str | None) -> asyncio.Task[AccessToken]:
        """Return the task that waits for a token; callers share it, and so its thread."""
        key = (practice_id, min_ttl, fingerprint(rejected) if isinstance(rejected, str) else rejected)
        waiter = self._waiters.get(key)
        if waiter is None or waiter.get_loop() is not asyncio.get_running_loop():
            # No `functools.partial`: its repr contains the arguments, and asyncio logs the repr.
            token, refused = self._target.token, Secret(rejected)
            call = self._threads.run(lambda: token(practice_id, min_ttl=min_ttl, rejected=refused.reveal()))
            waiter = self._waiters[key] = asyncio.create_task(call)
            waiter.add_done_callback(functools.partial(self._forget_waiter, key))
        return waiter

    def cached_token(self, practice_id: str, *, min_ttl: float = 60) -> AccessToken | None:
        """Return, without waiting, the token in memory that is valid for `min_ttl` seconds, or None."""
        # Nothing is in memory before the first read of the store, which a thread prepares.
        return self._target.cached_token(practice_id, min_ttl=min_ttl) if self._has_looked else None

    async def access_token(
        self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None
    ) -> str:
        """Return the value of an access token that is valid now, as a str; arguments are those of `token`."""
        found = self.token(practice_id, min_ttl=min_ttl, rejected=rejected)
        del rejected
        return (await found).value

    def _forget_waiter(self, key: _Wanted, waiter: asyncio.Task[AccessToken]) -> None:
        self._has_looked = True
        if self._waiters.get(key) is waiter:
            del self._waiters[key]
        drop_result(waiter)

    def httpx_auth(self, practice_id: str) -> httpx.Auth:
        """Return an `auth` for `httpx.AsyncClient` that stays authorized as the practice."""
        from connector.httpx_auth import AsyncPracticeAuth

        def token(rejected: str | None) -> Awaitable[str]:
            return self.access_token(practice_id, rejected=rejected)

        async def origins() -> Collection[str]:
            return await self._threads.run(self._target.token_origins)

        scope = self._target.scope("httpx_auth", practice_id)
        return AsyncPracticeAuth(token, origins=origins, scope=scope)

    def acting_as(self, actor: str) -> Self:
        """Return the same connector with another actor in the audit record; see `Connector.acting_as`."""
        acting = copy.copy(self)
        acting._target = self._target.acting_as(actor)
        for name in ("lab", "cases"):
            vars(acting).pop(name, None)
        return acting

    def on_call(self, callback: Callable[[Call], object]) -> Callable[[], None]:
        """Call a function after every HTTP request, in the thread that made it; see `Connector.on_call`."""
        return self._target.on_call(callback)

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call a function with every event of this process, in the thread that stored it."""
        return self._target.subscribe(subscriber)

    @cached_property
    def lab(self) -> AsyncLab:
        """Ormco as a lab in the practices' Communicate accounts."""
        return AsyncLab(self._target.lab, self._threads)

    @cached_property
    def cases(self) -> AsyncCases:
        """The practices' cases."""
        return AsyncCases(self._target.cases, self._threads)

    async def aclose(self) -> None:
        """Wait for the calls in progress, then close the connector."""
        await self._threads.close()
        await asyncio.to_thread(self._target.close)

    async def __aenter__(self) -> Self:
        await self.prepare()  # importing a database driver would block the loop
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
