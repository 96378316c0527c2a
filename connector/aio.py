"""`AsyncConnector`: the same calls as `Connector`, awaited, none of which blocks the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from connector.communicate.cases import Cases
from connector.communicate.lab import OrmcoLab
from connector.connector import Connector

if TYPE_CHECKING:
    from types import TracebackType

    from connector.calls import Call
    from connector.communicate.history import CaseEvent
    from connector.communicate.watch_plan import WatchPlan, WatchReport
    from connector.communicate.watch_scheduler import Problem
    from connector.config import Config
    from connector.connection import AccessToken, Event
    from connector.httpx_auth import AsyncPracticeAuth

__all__ = ["AsyncCases", "AsyncConnector", "AsyncLab"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_THREADS = 32
_PAGE = 256


class _Threads:
    """A bounded pool of threads for the calls of one connector."""

    def __init__(self, limit: int) -> None:
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix="ormco-async")

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread.

        A caller that is cancelled stops waiting at once. The call itself goes on: what a token call that was
        sent brings is always stored.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_drop_result)
            raise

    async def iterate(self, make: Callable[[], Iterable[T]], *, page: int = 1) -> AsyncIterator[T]:
        """Iterate in threads, `page` items per switch of threads."""
        iterator = iter(await self.run(make))
        try:
            while items := await self.run(lambda: list(islice(iterator, page))):
                for item in items:
                    yield item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                await self.run(close)

    async def close(self) -> None:
        """Wait for the calls under way."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)


def _drop_result(future: asyncio.Future[Any]) -> None:
    with contextlib.suppress(BaseException):
        future.exception()


class _Awaitable:
    """A synchronous object, and the threads in which its methods run."""

    _threads: _Threads
    _target: Any


def _awaited(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the awaited form of a method: the same name, arguments, documentation and errors."""

    @functools.wraps(method)
    async def call(self: _Awaitable, /, *args: P.args, **kwargs: P.kwargs) -> R:
        bound: Callable[P, R] = getattr(self._target, method.__name__)
        return await self._threads.run(functools.partial(bound, *args, **kwargs))

    return call


def _iterated(
    method: Callable[Concatenate[Any, P], Iterable[T]], *, page: int = 1
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """Return the form of a method that is used with `async for`."""

    @functools.wraps(method)
    def call(self: _Awaitable, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        bound: Callable[P, Iterable[T]] = getattr(self._target, method.__name__)
        return self._threads.iterate(functools.partial(bound, *args, **kwargs), page=page)

    return call


class AsyncLab(_Awaitable):
    """`Connector.lab`, awaited."""

    def __init__(self, target: OrmcoLab, threads: _Threads) -> None:
        self._target: OrmcoLab = target
        self._threads = threads

    status = _awaited(OrmcoLab.status)
    request = _awaited(OrmcoLab.request)
    approve = _awaited(OrmcoLab.approve)
    requests = _awaited(OrmcoLab.requests)
    accept = _awaited(OrmcoLab.accept)


class AsyncCases(_Awaitable):
    """`Connector.cases`, awaited; `async for` over the files of a download."""

    def __init__(self, target: Cases, threads: _Threads) -> None:
        self._target: Cases = target
        self._threads = threads

    list = _awaited(Cases.list)
    get = _awaited(Cases.get)
    versions = _awaited(Cases.versions)
    history = _awaited(Cases.history)
    show = _awaited(Cases.show)
    reset_watch = _awaited(Cases.reset_watch)
    download = _iterated(Cases.download)

    async def watch(
        self,
        practice_ids: Collection[str] | None,
        handler: Callable[[CaseEvent], Awaitable[object]],
        *,
        plan: WatchPlan | None = None,
        on_problem: Problem = lambda practice_id, error: None,
    ) -> WatchReport:
        """Deliver what happens to cases; see `Cases.watch`. It ends when this call is cancelled.

        Args:
            practice_ids: whom to follow; None: every connected practice.
            handler: awaited with each event, in this event loop; if it raises, it gets the event again.
            plan: how to go about it.
            on_problem: called, in a thread, with a practice and what is wrong with it when that changes.
        """
        loop, stop = asyncio.get_running_loop(), threading.Event()

        def handle(event: CaseEvent) -> None:
            asyncio.run_coroutine_threadsafe(_as_coroutine(handler(event)), loop).result()

        call = functools.partial(
            self._target.watch, practice_ids, handle, plan=plan, stop=stop, on_problem=on_problem
        )
        # In a thread of its own: it may run for years, and the pool is for calls that end.
        run = asyncio.ensure_future(asyncio.to_thread(call))
        try:
            return await asyncio.shield(run)
        except asyncio.CancelledError:
            stop.set()
            with contextlib.suppress(Exception):
                await run
            raise


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


class AsyncConnector(_Awaitable):
    """The same calls as `Connector`, awaited; `async for` where the synchronous one iterates.

    Every call that may wait runs in one of a bounded number of threads. `access_token` and `token` use no
    thread while the token in memory is valid.

    Example:
        >>> async with AsyncConnector.from_config(config) as connector:  # doctest: +SKIP
        ...     token = await connector.access_token("practice-42")

    Args:
        connector: the synchronous connector; it is closed by `aclose`.
        threads: how many calls run at a time, at the most.
    """

    def __init__(self, connector: Connector, *, threads: int = _THREADS) -> None:
        self._target: Connector = connector
        self._limit = threads
        self._threads = _Threads(threads)
        self._waiters: dict[tuple[str, float, str | None], asyncio.Task[AccessToken]] = {}

    @classmethod
    def from_config(cls, config: Config, *, threads: int = _THREADS) -> Self:
        """Make a connector; no file, network or browser is used before its first call.

        Args:
            config: the settings.
            threads: how many calls run at a time, at the most.
        """
        return cls(Connector.from_config(config), threads=threads)

    begin = _awaited(Connector.begin)
    complete = _awaited(Connector.complete)
    confirm_account = _awaited(Connector.confirm_account)
    reject_account = _awaited(Connector.reject_account)
    unconfirmed_account = _awaited(Connector.unconfirmed_account)
    connect = _awaited(Connector.connect)
    adopt = _awaited(Connector.adopt)
    refresh = _awaited(Connector.refresh)
    refresh_due = _awaited(Connector.refresh_due)
    status = _awaited(Connector.status)
    summary = _awaited(Connector.summary)
    search = _awaited(Connector.search)
    rotate_keys = _awaited(Connector.rotate_keys)
    open_requests = _awaited(Connector.open_requests)
    diagnose = _awaited(Connector.diagnose)
    repair = _awaited(Connector.repair)
    reconnect = _awaited(Connector.reconnect)
    revoke = _awaited(Connector.revoke)
    revocation_steps = _awaited(Connector.revocation_steps)
    confirm_revoked = _awaited(Connector.confirm_revoked)
    forget = _awaited(Connector.forget)
    events = _awaited(Connector.events)
    ping = _awaited(Connector.ping)
    connections = _iterated(Connector.connections, page=_PAGE)
    doctor = _iterated(Connector.doctor)

    async def token(
        self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None
    ) -> AccessToken:
        """Return an access token that is valid now; see `Connector.token`."""
        if rejected is None and (found := self._target.cached_token(practice_id, min_ttl=min_ttl)):
            return found
        # Callers that wait for one practice share one thread: a slow practice must not use up the pool.
        key = (practice_id, min_ttl, rejected)
        waiter = self._waiters.get(key)
        if waiter is None or waiter.get_loop() is not asyncio.get_running_loop():
            call = functools.partial(self._target.token, practice_id, min_ttl=min_ttl, rejected=rejected)
            waiter = self._waiters[key] = asyncio.create_task(self._threads.run(call))
            waiter.add_done_callback(functools.partial(self._forget_waiter, key))
        return await asyncio.shield(waiter)

    async def access_token(
        self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None
    ) -> str:
        """Return the value of `token`."""
        return (await self.token(practice_id, min_ttl=min_ttl, rejected=rejected)).value

    def _forget_waiter(self, key: tuple[str, float, str | None], waiter: asyncio.Task[AccessToken]) -> None:
        if self._waiters.get(key) is waiter:
            del self._waiters[key]
        _drop_result(waiter)

    def httpx_auth(self, practice_id: str) -> AsyncPracticeAuth:
        """Return an `auth` for `httpx.AsyncClient` that stays authorized as the practice."""
        from connector.httpx_auth import AsyncPracticeAuth

        async def token(rejected: str | None) -> str:
            return await self.access_token(practice_id, rejected=rejected)

        async def origins() -> Collection[str]:
            return await self._threads.run(self._target.token_origins)

        return AsyncPracticeAuth(token, origins=origins)

    def acting_as(self, actor: str) -> Self:
        """Return the same connector with another actor in the audit record; see `Connector.acting_as`."""
        acting = copy.copy(self)
        acting._target = self._target.acting_as(actor)
        for name in ("lab", "cases"):
            vars(acting).pop(name, None)
        return acting

    def on_call(self, callback: Callable[[Call], object]) -> Callable[[], None]:
        """Have a function called after every HTTP request, in the thread that made it."""
        return self._target.on_call(callback)

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Have a function called with every event of this process, in the thread that stored it."""
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
        """Wait for the calls under way, then close what was opened."""
        await self._threads.close()
        await asyncio.to_thread(self._target.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
