"""Refresh all connections that are due, from a timer; any number of processes share the work."""

from __future__ import annotations

import math
import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace

from connector.calls import for_practice
from connector.clock import Stopwatch
from connector.errors import ConnectorError, ProviderUnavailableError, StoreError
from connector.refresh.access import AccessTokens
from connector.refresh.rate_limit import Pace, Throttle, affordable
from connector.refresh.schedule import LEASE_SECONDS
from connector.refresh.tally import Done, RefreshSummary, Tally
from connector.store.refresh_leases import DueGrant
from connector.store.row import Row
from connector.store.store import Store

__all__ = ["refresh_due"]

# Connections that are read at a time: each read goes through all rows, as every refresh would have to write
# an index on the due time.
_WINDOW = 1000
# Connections that are offered to a claim, for each one that it may take.
_CANDIDATES = 4
# Calls that began together end within about this many seconds: one claim serves all of the next calls.
_TOGETHER = 0.02
# Seconds to wait before each further pass, which tries the connections again that were rate limited.
_MORE_PASSES = (1.5, 3.0, 6.0)


def refresh_due(
    tokens: AccessTokens,
    store: Store,
    *,
    within: float,
    pace: Pace | None,
    progress: Callable[[Done], object] = lambda done: None,
) -> RefreshSummary:
    """Refresh every connection whose access token expires soon; see `Connector.refresh_due`.

    Several runs may be in progress, on several machines: each connection is refreshed by one of them. The
    next run continues an interrupted one. Connections without failures come first.
    """
    return _Run(tokens, store, within, pace or Pace(), progress).run()


class _Run:
    def __init__(
        self,
        tokens: AccessTokens,
        store: Store,
        within: float,
        pace: Pace,
        progress: Callable[[Done], object],
    ) -> None:
        self._tokens = tokens
        self._store = store
        self._clock = store.clock
        self._within = within
        self._pace = replace(pace, at_once=affordable(pace.at_once))
        self._throttle = Throttle(store.clock, self._pace)
        store.leases.release_dead()
        self._began = store.overview.database_time()
        total = store.leases.count_due(within, before=self._began)
        self._tally = Tally(RefreshSummary(total=total, at_once=self._pace.at_once), progress)
        self._waiting: deque[DueGrant] = deque()
        self._read_at = 0.0
        self._free = threading.Semaphore(self._pace.at_once)  # workers
        self._broken: BaseException | None = None

    def run(self) -> RefreshSummary:
        self._pass()
        for pause in _MORE_PASSES:
            first = min(self._tally.refused.values(), default=math.inf)
            if self._tally.summary.gave_up or first > _MORE_PASSES[-1]:
                break
            self._clock.sleep(pause)
            self._pass()
        self._credit_others()
        return self._tally.summary

    def _credit_others(self) -> None:
        """Count as skipped, not as failed, the connections that another run has refreshed since."""
        for practice_id in self._tally.refused:
            row = self._store.grants.row(practice_id)
            if row is not None and not row.failures:
                self._tally.summary.failed -= 1
                self._tally.summary.skipped += 1

    def _pass(self) -> None:
        """Refresh all connections that are due now."""
        with ThreadPoolExecutor(self._pace.at_once, thread_name_prefix="ormco-due") as pool:
            while self._waiting or self._look():
                self._wait_for_worker()
                if self._tally.summary.gave_up or self._broken is not None:
                    break
                self._throttle.wait()
                free = 1
                while free < len(self._waiting) and self._free.acquire(blocking=False):
                    free += 1
                for _ in range(free - self._start(pool, self._throttle.start(free))):
                    self._free.release()
        if self._broken is not None:
            raise self._broken

    def _wait_for_worker(self) -> None:
        """Wait for a free worker, and a little longer, because calls that began together end together."""
        if not self._free.acquire(blocking=False):
            self._free.acquire()
            if self._pace.at_once > 1:
                self._clock.sleep(_TOGETHER)

    def _look(self) -> bool:
        """Read the connections due now, those without failures first; return whether there are new ones."""
        self._read_at = self._clock.monotonic()
        left = set(self._tally.left)  # as it is before the read: a refresh may end meanwhile
        found = self._store.leases.find_due(self._within, before=self._began, limit=_WINDOW + len(left))
        new = [each for each in found if each.practice_id not in left]
        # Runs that read the same rows take them in different orders, so that they seldom collide.
        random.shuffle(new)
        new.sort(key=lambda each: each.has_failed)
        self._waiting.extend(new)
        return bool(new)

    def _start(self, pool: ThreadPoolExecutor, count: int) -> int:
        """Start up to `count` refreshes; return the number of refreshes that were started."""
        since, claimed = Stopwatch(self._clock), list[Row]()
        try:
            self._claim(count, claimed)
            started = len(claimed)
            while claimed:
                pool.submit(copy_context().run, self._refresh, claimed.pop(), since)
            return started
        finally:
            for row in claimed:  # after Ctrl-C: no token was sent for these
                with suppress(ConnectorError):
                    self._store.leases.end(row, lost=False)

    def _claim(self, count: int, claimed: list[Row]) -> None:
        """Claim up to `count` connections; count those that another process has refreshed as skipped."""
        while self._waiting and (missing := count - len(claimed)) > 0:
            found = self._candidates(missing)
            names = [due.practice_id for due in found]
            try:
                rows = self._store.leases.claim_due(
                    names, self._within, before=self._began, seconds=LEASE_SECONDS, limit=missing
                )
            except StoreError as exc:
                self._waiting.extendleft(reversed(found[missing:]))
                for due in found[:missing]:
                    self._begin(due)
                    self._tally.report(due.practice_id, exc.kind, exc)
                break
            claimed += rows
            taken = {row.practice_id for row in rows}
            for due in reversed(found):
                if due.practice_id in taken:
                    self._begin(due)
                elif len(rows) == missing:
                    self._waiting.appendleft(due)  # the claim was full: this one may be free
                else:
                    self._begin(due)
                    self._tally.report(due.practice_id, "skipped")

    def _candidates(self, count: int) -> list[DueGrant]:
        """Take more connections than can be claimed, because other runs may have claimed some of them.

        All of them have failed before, or none has: a claim takes any of them.
        """
        first, found = self._waiting[0], list[DueGrant]()
        while self._waiting and len(found) < _CANDIDATES * count:
            if self._waiting[0].has_failed != first.has_failed:
                break
            found.append(self._waiting.popleft())
        return found

    def _begin(self, due: DueGrant) -> None:
        self._tally.begin(due, self._clock.monotonic() - self._read_at)

    def _refresh(self, row: Row, since: Stopwatch) -> None:
        try:
            self._one(row, since)
        except BaseException as exc:
            self._broken = exc
        finally:
            self._free.release()

    def _one(self, row: Row, since: Stopwatch) -> None:
        outcome, error = "skipped", None
        try:
            with for_practice(row.practice_id):
                if self._tokens.finish_refresh(row, since):
                    outcome = "refreshed"
        except ConnectorError as exc:
            outcome, error = exc.kind, exc
        wait = None
        # Only the provider's Retry-After slows the run down: a row's backoff concerns that row alone.
        if isinstance(error, ProviderUnavailableError) and error.sent and error.retry_after is not None:
            wait = error.retry_after if self._throttle.slow_down(since.began, error.retry_after) else None
        elif outcome == "refreshed":
            self._throttle.speed_up()
        self._tally.report(row.practice_id, outcome, error, wait)
