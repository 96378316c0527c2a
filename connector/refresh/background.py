"""Refresh tokens before they expire, in separate threads, while the current ones are used."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING

from connector.errors import ConnectorError
from connector.refresh.failures import log
from connector.store.row import Row

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["BackgroundRefresh"]

_THREADS = 4
_LOUD_FAILURES = 3


class BackgroundRefresh:
    """Refreshes rows in threads; one refresh at a time for each practice."""

    def __init__(self, refresh: Callable[[Row], object]) -> None:
        self._refresh = refresh
        self._is_closed = False
        self._when_idle: Callable[[], object] = lambda: None
        self.start()

    def start(self) -> None:
        """Begin without threads: in a new object, and in a forked child, which has none of its parent's."""
        self._guard = threading.Lock()  # protects the pending practices and the pool
        self._pending: set[str] = set()
        self._failed: dict[str, int] = {}
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, row: Row) -> None:
        """Start the refresh of a row, unless it is in progress."""
        if not row.renewable or row.retry_in or row.is_leased:
            return
        with self._guard:
            if row.practice_id in self._pending or self._is_closed:
                return
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ormco-refresh")
            self._pending.add(row.practice_id)
            try:
                # In the caller's context, so that observers see these calls too.
                self._pool.submit(copy_context().run, self._run, row)
            except RuntimeError:  # the interpreter is about to end
                self._pending.discard(row.practice_id)

    def close(self, then: Callable[[], object]) -> None:
        """Start no more refreshes; see `AccessTokens.close`."""
        with self._guard:
            pool, self._pool, self._is_closed = self._pool, None, True
            if pool is not None:
                pool.shutdown(wait=False)
            is_idle = not self._pending
            if not is_idle:
                self._when_idle = then
        if is_idle:
            then()

    def _run(self, row: Row) -> None:
        try:
            if not self._is_closed:
                self._refresh(row)
            self._failed.pop(row.practice_id, None)
        except Exception as exc:
            self._log(row.practice_id, exc)
        finally:
            with self._guard:
                self._pending.discard(row.practice_id)
                is_idle = not self._pending
            if is_idle:
                self._when_idle()

    def _log(self, practice_id: str, exc: Exception) -> None:
        failures = self._failed[practice_id] = self._failed.get(practice_id, 0) + 1
        level = logging.ERROR if failures >= _LOUD_FAILURES else logging.WARNING
        words = exc.message if isinstance(exc, ConnectorError) else type(exc).__name__
        kind = exc.kind if isinstance(exc, ConnectorError) else "unexpected"
        text = "%s could not be refreshed ahead of time: %s"
        log(level, practice_id, kind, text, practice_id, words)
