"""Refresh a practice's tokens, or wait until another thread or process has refreshed them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from connector.clock import Clock
from connector.connection import ConnectionState, not_found, require_alive
from connector.errors import (
    AccountMismatchError,
    AccountUnconfirmedError,
    ConfigurationError,
    GrantRefusedError,
    ProviderUnavailableError,
)
from connector.refresh.failures import ALIVE, log
from connector.refresh.memory import TokenMemory
from connector.refresh.rotate import Rotator
from connector.refresh.schedule import RefreshWait
from connector.store.row import Row, Rows, damaged
from connector.store.store import Store

__all__ = ["TokenRefresher"]


class TokenRefresher:
    """Refreshes the tokens of practices; in a process, one thread at a time for each practice.

    Args:
        memory: forgets tokens that must not be used any more.
        verify: as for `AccessTokens`.
    """

    def __init__(
        self,
        store: Store,
        rotator: Rotator,
        clock: Clock,
        memory: TokenMemory,
        verify: Callable[[str], object] | None,
    ) -> None:
        self._store = store
        self._rotator = rotator
        self._clock = clock
        self._memory = memory
        self._verify = verify
        self.start()

    def start(self) -> None:
        """Begin without locks: in a new object, and in a forked child, which has no other threads."""
        self._guard = threading.Lock()  # protects the table of locks
        # A lock ends with the last thread that holds it or waits for it.
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def refresh(
        self,
        practice_id: str,
        rows: Rows,
        *,
        min_ttl: float | None = None,
        force: bool = False,
        rejected: bool = False,
    ) -> Row:
        """Return a row with newer tokens than those in `rows`.

        The token of another refresh is accepted if it is not the one in `rows`, or if it is valid for
        `min_ttl` seconds. `force`: a person requested it; `rejected`: an API rejected the token in `rows`.

        Raises:
            connector.errors.ConnectorError: the tokens cannot be refreshed.
        """
        found, wait = rows.live, RefreshWait(self._clock, practice_id)
        found_tokens = found and (found.generation, found.connected_at)
        # Events are delivered after the lock: a subscriber may request the same practice's token.
        with self._store.audit.deferred(), self._hold(practice_id, wait.left) as was_free:
            if was_free is None:
                raise wait.too_long()
            if not was_free:
                rows = self._store.grants.rows(practice_id)
            while True:
                row = self._live(practice_id, rows)
                is_other = (row.generation, row.connected_at) != found_tokens
                if is_other or (min_ttl is not None and row.lasts(min_ttl)):
                    return row
                if (renewed := self._rotator.rotate(row, force=force, rejected=rejected)) is not None:
                    if renewed.state not in ALIVE:
                        require_alive(practice_id, renewed.state, renewed.reason)
                    return renewed
                wait.pause()  # another process refreshes or has changed the row
                rows = self._store.grants.rows(practice_id)

    def refresh_if_free(self, row: Row) -> None:
        """Refresh a row, unless another thread or process is refreshing it."""
        # Under the lock, so that threads that need the new token wait for the lock instead of the lease.
        with self._store.audit.deferred(), self._hold(row.practice_id, 0.0) as was_free:
            if was_free:
                self._rotator.rotate(row)

    @contextmanager
    def _hold(self, practice_id: str, timeout: float) -> Iterator[bool | None]:
        """Wait for a practice's lock; yield whether it was free immediately, or None after `timeout` seconds.

        The lock keeps the threads of one process from claiming the same row at the same time: all but one
        would fail, read the row again, and poll. Without it the result is the same, but slower.
        """
        with self._guard:
            lock = self._locks.setdefault(practice_id, threading.Lock())
        was_free = lock.acquire(blocking=False)
        is_ours = was_free or lock.acquire(timeout=timeout)
        try:
            yield was_free if is_ours else None
        finally:
            if is_ours:
                lock.release()

    def usable(self, practice_id: str, rows: Rows) -> Rows:
        """Return the rows of a practice, if its state allows tokens.

        Raises:
            connector.errors.ConnectorError: there are no rows, or their tokens must not be used.
        """
        row = rows.main
        if row is None:
            self._memory.forget(practice_id)
            raise not_found(practice_id)
        if row.state not in ALIVE:
            self._memory.forget(practice_id)
            require_alive(practice_id, row.state, row.reason)
            raise damaged(practice_id)
        if rows.live is None and row.confirm_by is not None:
            raise AccountUnconfirmedError(
                f"the account of {practice_id} has not been confirmed yet",
                hint="Show a person the account, and confirm or reject it.",
                practice_id=practice_id,
                account=row.account,
            )
        return rows

    def awaits_account(self, rows: Rows) -> bool:
        """Return whether a new grant's account should be read now, without a person's confirmation."""
        row = rows.unverified
        if row is None or row.confirm_by is not None or row.is_leased or self._verify is None:
            return False
        return row.state == ConnectionState.DEGRADED and not row.retry_in

    def _live(self, practice_id: str, rows: Rows) -> Row:
        """Return the live row, after an attempt to verify a newer grant."""
        self.usable(practice_id, rows)
        if self.awaits_account(rows):
            self._verified(practice_id, rows)
            rows = self.usable(practice_id, self._store.grants.rows(practice_id))
        if rows.live is None:
            raise ProviderUnavailableError(
                f"the account behind {practice_id} could not be read yet",
                hint="Try again in a few minutes.",
                practice_id=practice_id,
                retry_after=(rows.unverified.retry_in or None) if rows.unverified else None,
            )
        return rows.live

    def _verified(self, practice_id: str, rows: Rows) -> None:
        """Read the account of a new grant; if that fails, the live row stays in use."""
        if self._verify is None:
            return
        try:
            self._verify(practice_id)
        except (ProviderUnavailableError, ConfigurationError) as exc:
            text = "the account of %s cannot be read yet: %s"
            log(logging.WARNING, practice_id, exc.kind, text, practice_id, exc.message)
        except (AccountMismatchError, AccountUnconfirmedError, GrantRefusedError) as exc:
            if rows.live is None:
                raise
            text = "%s keeps its tokens: %s"
            log(logging.WARNING, practice_id, exc.kind, text, practice_id, exc.message)
