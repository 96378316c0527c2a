"""A valid access token at any moment, with one token call whoever asks: threads, processes, app servers."""

from __future__ import annotations

import logging
import os
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from connector.clock import Clock
from connector.connection import Connection, ConnectionState, Grant, not_found
from connector.errors import ClientRefusedError, ConnectorError, ProviderUnavailableError
from connector.refresh.asking import RefreshEndpoint
from connector.refresh.flights import Flights
from connector.refresh.renewal import Renewal
from connector.refresh.verdict import require_alive
from connector.store import Access, FencedError, Store, next_look

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["Refresher"]

_LOG = logging.getLogger("connector")
# How long a token is handed out without a look at the store; what others revoke is heard of by then.
_RECHECK_SECONDS = 2.0
_LONGEST_WAIT = 180.0
_LARGEST_CACHE = 50_000
_AHEAD_THREADS = 4
# Who waits looks for the tokens, which is cheap, and now and then whether the lock is free, its owner dead.
_LOOKS_TO_A_LOCK = 4
_ALIVE = frozenset({ConnectionState.CONNECTED.value, ConnectionState.DEGRADED.value})

# Token, generation, and when it was read, has to be looked at again, is to be renewed, and ends.
_Entry = tuple[str, int, float, float, float, float]


class Refresher:
    """Hands out access tokens and keeps them fresh.

    Args:
        store: where the tokens are.
        endpoint: gives the token endpoint of a provider by its name; called for the first refresh only.
        clock: the time.
        prove: reads the account of a grant whose tokens are unproven, and returns the grant as stored then.
        ahead: renew tokens in the background when their end is near; a program that runs once need not.
    """

    def __init__(
        self,
        store: Store,
        endpoint: Callable[[str], RefreshEndpoint],
        clock: Clock,
        *,
        prove: Callable[[Grant], Grant] | None = None,
        ahead: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._now = clock.time
        self._ahead = ahead
        self._renewal = Renewal(store, endpoint, clock, prove=prove)
        self._start()
        if hasattr(os, "register_at_fork"):  # not on Windows
            start = weakref.WeakMethod(self._start)
            os.register_at_fork(after_in_child=lambda: (method := start()) and method())

    def _start(self) -> None:
        self._cache: dict[str, _Entry] = {}
        self._guard = threading.Lock()
        self._flights = Flights()
        self._pending: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None

    def access_token(self, practice_id: str, *, min_ttl: float = 60.0) -> str:
        """Return an access token that is valid now.

        Args:
            practice_id: whose.
            min_ttl: seconds it has to live on, at most half of its life; one that was just refreshed is
                returned as it is.

        Raises:
            connector.errors.ConnectionNotFoundError: there is no connection.
            connector.errors.NeedsRepairError: the grant is dead.
            connector.errors.RevokedError: it was revoked here.
            connector.errors.ProviderUnavailableError: it ended, and no other is to be had now.
        """
        entry = self._cache.get(practice_id)
        if entry is not None:
            now = self._now()
            if entry[2] <= now < entry[3] and now + min_ttl <= entry[5]:
                return entry[0]
        return self._looked_up(practice_id, min_ttl)

    def refresh(self, practice_id: str, *, force: bool = False) -> Connection:
        """Refresh a connection whose access token is near its end.

        Args:
            practice_id: whose.
            force: also where the token is still good; if another refreshes it meanwhile, that will do.

        Raises:
            connector.errors.ConnectorError: as `access_token` does.
        """
        access = self._access(practice_id)
        if force or access.unproven or self._now() >= self._remember(practice_id, access)[4]:
            renewed = self._renewed(practice_id, access, lambda fresh: False, force=force)
            self._remember(practice_id, renewed)
        return self._store.existing(practice_id)

    def renew_if_free(self, practice_id: str, before: float) -> bool:
        """Renew a token that ends before a moment, unless another is at it; return whether this call did.

        Raises:
            connector.errors.ConnectorError: as `access_token` does.
        """
        access = self._access(practice_id)
        if not access.renewable or access.good_until is None or access.good_until > before:
            return False
        now = self._now()
        if access.serves(now, before - now):
            return False  # however far ahead one looks, a token is not renewed before half of its life
        grant = self._claim_and_renew(practice_id, access.generation)
        return grant is not None and grant.connection.token_generation != access.generation

    def close(self) -> None:
        """Wait for refreshes in the background."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _access(self, practice_id: str) -> Access:
        access = self._store.access(practice_id)
        if access is None:
            self._cache.pop(practice_id, None)
            raise not_found(practice_id)
        if access.state not in _ALIVE:
            self._cache.pop(practice_id, None)
            connection = self._store.connection(practice_id)
            if connection is not None:
                require_alive(connection)
        return access

    def _looked_up(self, practice_id: str, min_ttl: float) -> str:
        access = self._access(practice_id)
        if access.serves(self._now(), min_ttl):
            entry = self._remember(practice_id, access)
            if access.state == ConnectionState.DEGRADED:
                _LOG.warning("the connection of %s is degraded; its access token is still good", practice_id)
            if self._now() >= entry[4]:
                self._renew_ahead(practice_id, access)
            return entry[0]
        try:
            access = self._renewed(practice_id, access, lambda fresh: fresh.serves(self._now(), min_ttl))
        except (ProviderUnavailableError, ClientRefusedError) as exc:
            access = self._access(practice_id)
            if not access.serves(self._now(), 0.0):
                raise
            _LOG.warning("%s: %s; the access token is still good", practice_id, exc.message)
        return self._remember(practice_id, access)[0]

    def _remember(self, practice_id: str, access: Access) -> _Entry:
        now, token = self._now(), access.token or ""
        ends, received = access.good_until or now, access.received_at or now
        known = self._cache.get(practice_id)
        if known is not None and known[1] == access.generation:
            renew_at = known[4]
        else:
            # Jitter, so that what was refreshed together is not refreshed together for ever.
            renew_at = ends - min((ends - received) * random.uniform(0.1, 0.2), 900.0)  # noqa: S311
        check_at = min(now + _RECHECK_SECONDS, renew_at if now < renew_at else ends)
        entry = (token, access.generation, now, check_at, renew_at, ends)
        if len(self._cache) >= _LARGEST_CACHE:
            self._cache.clear()
        self._cache[practice_id] = entry
        return entry

    def _renewed(
        self, practice_id: str, access: Access, serves: Callable[[Access], bool], *, force: bool = False
    ) -> Access:
        """Renew what was found, or wait until another has."""
        generation, deadline = access.generation, self._clock.deadline(_LONGEST_WAIT)
        with self._flights.one(practice_id, deadline.left) as was_free:
            if was_free is None:
                raise self._store.locked_error(practice_id)
            started, looks = self._clock.monotonic(), 0
            if not was_free:
                access = self._access(practice_id)
            while access.generation == generation and not serves(access):
                if looks and not deadline.pause(next_look(self._clock.monotonic() - started)):
                    raise self._store.locked_error(practice_id)
                grant = None
                if looks == 0:
                    grant = self._claim_and_renew(practice_id, generation, force=force)
                elif looks % _LOOKS_TO_A_LOCK == 0:
                    grant = self._look_and_renew(practice_id, generation, force=force)
                else:
                    access = self._access(practice_id)
                if grant is not None:
                    require_alive(grant.connection)
                    access = Access.of(grant)
                looks += 1
            return access

    def _claim_and_renew(self, practice_id: str, generation: int, *, force: bool = False) -> Grant | None:
        """Renew a generation of tokens; return None where another is at it, or has done it."""
        is_ours, claimed = self._store.claim(practice_id, generation)
        if not is_ours:
            return None
        with self._lock_held(practice_id):
            if claimed is not None:
                return self._renewal.carry_out(claimed)
            found = self._store.existing_grant(practice_id)
            if found.connection.token_generation == generation:
                return self._renewal.renew(found, generation=generation, force=force)
        return None

    def _look_and_renew(self, practice_id: str, generation: int, *, force: bool = False) -> Grant | None:
        """Return what another has made of a generation of tokens, or renew it; None where that takes time."""
        is_ours, found = self._store.lock_and_get(practice_id)
        if not is_ours:
            if found is None:
                raise not_found(practice_id)
            return found if found.connection.token_generation != generation else None
        with self._lock_held(practice_id):
            grant = found or self._store.existing_grant(practice_id)
            return self._renewal.renew(grant, generation=generation, force=force)
        return None

    @contextmanager
    def _lock_held(self, practice_id: str) -> Iterator[None]:
        """Give a lock back in the end; what another has stored meanwhile is no error."""
        try:
            with suppress(FencedError):
                yield
        finally:
            self._store.unlock(practice_id)

    def _renew_ahead(self, practice_id: str, access: Access) -> None:
        """Have a token renewed in the background, while the present one serves."""
        if not (self._ahead and access.renewable) or (access.retry_at or 0.0) > self._now():
            return
        with self._guard:
            if practice_id in self._pending:
                return
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(_AHEAD_THREADS, thread_name_prefix="ormco-refresh")
            self._pending.add(practice_id)
            try:
                self._pool.submit(self._run_ahead, practice_id, access.generation)
            except RuntimeError:  # the interpreter is about to end
                self._pending.discard(practice_id)

    def _run_ahead(self, practice_id: str, generation: int) -> None:
        try:
            self._claim_and_renew(practice_id, generation)
        except ConnectorError as exc:
            _LOG.warning("%s could not be refreshed ahead of time: %s", practice_id, exc.message)
        finally:
            self._pending.discard(practice_id)
