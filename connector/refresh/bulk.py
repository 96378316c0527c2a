"""Refresh all that ends soon, for a timer: shared among however many processes do the same."""

from __future__ import annotations

import math
import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace

from connector.calls import for_practice
from connector.errors import ConnectorError, GrantError, ProviderUnavailableError
from connector.refresh.access import AccessTokens
from connector.refresh.pace import Pace, Throttle, affordable
from connector.refresh.schedule import LEASE_SECONDS
from connector.store.due import DueGrant
from connector.store.row import Row
from connector.store.store import Store

__all__ = ["Done", "RefreshSummary", "refresh_due"]

# An outage is told by the share of failures among the last calls, once there are enough of them.
_SAMPLE = 50
_ENOUGH = 20
_OUTAGE_SHARE = 0.8
# So many are read at a time: finding what is due goes through all rows, as an index on it would have to be
# written at each refresh.
_WINDOW = 1000
# Seconds to wait for what was refused because it was asked for too fast, before each further pass.
_MORE_PASSES = (1.5, 3.0, 6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of a run for one connection.

    Attributes:
        practice_id: the practice.
        outcome: "refreshed", "skipped" (another process did it, or is doing it), or the kind of the error.
        error: the error, or None.
        number: how many are done, including this one.
        total: how many were due when the run began.
    """

    practice_id: str
    outcome: str
    error: ConnectorError | None = None
    number: int
    total: int


@dataclass(slots=True, kw_only=True)
class RefreshSummary:
    """The result of a run.

    Attributes:
        total: connections that were due when it began.
        refreshed: connections that this run refreshed.
        skipped: connections that other processes refreshed meanwhile.
        failed: connections that were not refreshed; their rows have the reason.
        gave_up: whether the rest was skipped because so many failed.
        overdue: sound connections whose access token had expired before this run reached them: more than a
            few of them mean that the refreshes cannot keep up.
        lag: seconds since the first of those access tokens expired.
        at_once: token calls at a time; fewer than requested if this process may open few files.
    """

    total: int
    refreshed: int = 0
    skipped: int = 0
    failed: int = 0
    gave_up: bool = False
    overdue: int = 0
    lag: float = 0.0
    at_once: int = 0


def refresh_due(
    tokens: AccessTokens,
    store: Store,
    *,
    within: float,
    pace: Pace | None = None,
    progress: Callable[[Done], object] = lambda done: None,
) -> RefreshSummary:
    """Refresh every connection whose access token expires within a time.

    Several runs may be in progress, on several machines: each connection is refreshed by one of them. A run
    that was interrupted is continued by the next, which finds only the rest. Sound connections come first.

    Args:
        tokens: refreshes the tokens.
        store: the store that finds due connections.
        within: seconds until the access token expires.
        pace: limits on token calls.
        progress: called with each connection that is done, in any thread.
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
        self._progress = progress
        self._pace = replace(pace, at_once=affordable(pace.at_once))
        self._throttle = Throttle(store.clock, self._pace)
        self._began = store.overview.database_time()
        total = store.due.count(within, before=self._began)
        self._summary = RefreshSummary(total=total, at_once=self._pace.at_once)
        self._waiting: deque[DueGrant] = deque()
        self._read_at = 0.0
        self._left: set[str] = set()  # taken, but not refreshed: they are still due at the next read
        # Those that were asked for too fast, and how long they have to wait; they are counted as failed.
        self._refused: dict[str, float] = {}
        self._free = threading.Semaphore(self._pace.at_once)  # workers
        self._guard = threading.Lock()  # protects the counts
        self._sample: deque[bool] = deque(maxlen=_SAMPLE)
        self._broken: BaseException | None = None

    def run(self) -> RefreshSummary:
        self._pass()
        for pause in _MORE_PASSES:
            if self._summary.gave_up or min(self._refused.values(), default=math.inf) > _MORE_PASSES[-1]:
                break
            self._clock.sleep(pause)
            self._pass()
        self._credit_others()
        return self._summary

    def _credit_others(self) -> None:
        """Count as skipped, and not as failed, what another run has refreshed after the refusal."""
        for practice_id in self._refused:
            row = self._store.grants.row(practice_id)
            if row is not None and not row.failures:
                self._summary.failed -= 1
                self._summary.skipped += 1

    def _pass(self) -> None:
        """Go through all that is due by now."""
        with ThreadPoolExecutor(self._pace.at_once, thread_name_prefix="ormco-due") as pool:
            while self._waiting or self._look():
                free = self._free_workers(len(self._waiting))
                if self._summary.gave_up or self._broken is not None:
                    break
                count = self._throttle.wait(free)
                began = self._clock.monotonic()
                claimed = self._claim(count)
                for row in claimed:
                    pool.submit(copy_context().run, self._refresh, row, began)
                for _ in range(free - len(claimed)):
                    self._free.release()
        if self._broken is not None:
            raise self._broken

    def _free_workers(self, most: int) -> int:
        """Wait for a worker that is free; return how many are, and keep them."""
        self._free.acquire()
        count = 1
        while count < most and self._free.acquire(blocking=False):
            count += 1
        return count

    def _look(self) -> bool:
        """Read the connections that are due now, sound ones first; return whether there are new ones."""
        self._read_at = self._clock.monotonic()
        limit = _WINDOW + len(self._left)
        found = self._store.due.find(self._within, before=self._began, limit=limit)
        new = [each for each in found if each.practice_id not in self._left]
        # Runs that read the same rows take them in different orders, so that they seldom collide.
        random.shuffle(new)
        new.sort(key=lambda each: each.failures > 0)
        self._waiting.extend(new)
        return bool(new)

    def _claim(self, count: int) -> list[Row]:
        """Claim so many of the connections that wait; the others are in progress elsewhere, or done."""
        claimed: list[Row] = []
        while self._waiting and len(claimed) < count:
            names = [self._take() for _ in range(min(count - len(claimed), len(self._waiting)))]
            rows = self._store.due.claim(names, self._within, before=self._began, seconds=LEASE_SECONDS)
            claimed += rows
            for name in set(names) - {row.practice_id for row in rows}:
                self._report(name, "skipped")
        return claimed

    def _take(self) -> str:
        due = self._waiting.popleft()
        with self._guard:
            self._left.add(due.practice_id)
            late = self._clock.monotonic() - self._read_at - due.due_in
            if late > 0 and not due.failures:
                self._summary.overdue += 1
                self._summary.lag = max(self._summary.lag, late)
        return due.practice_id

    def _refresh(self, row: Row, began: float) -> None:
        try:
            self._one(row, began)
        except BaseException as exc:
            self._broken = exc
        finally:
            self._free.release()

    def _one(self, row: Row, began: float) -> None:
        outcome, error = "skipped", None
        try:
            with for_practice(row.practice_id):
                if self._tokens.finish_refresh(row, began):
                    outcome = "refreshed"
        except ConnectorError as exc:
            outcome, error = exc.kind, exc
        pause = None
        # Only what the provider has said: a row may have to wait for reasons of its own.
        if isinstance(error, ProviderUnavailableError) and error.sent and error.retry_after is not None:
            pause = error.retry_after if self._throttle.slow_down(began, error.retry_after) else None
        elif outcome == "refreshed":
            self._throttle.speed_up()
        self._report(row.practice_id, outcome, error, pause)

    def _report(
        self, practice_id: str, outcome: str, error: ConnectorError | None = None, pause: float | None = None
    ) -> None:
        number = self._count(practice_id, outcome, error, pause)
        total = max(self._summary.total, number)
        self._progress(
            Done(practice_id=practice_id, outcome=outcome, error=error, number=number, total=total)
        )

    def _count(
        self, practice_id: str, outcome: str, error: ConnectorError | None, pause: float | None
    ) -> int:
        with self._guard:
            summary = self._summary
            summary.refreshed += outcome == "refreshed"
            summary.skipped += outcome == "skipped"
            summary.failed += (error is not None) - (practice_id in self._refused)
            self._refused.pop(practice_id, None)
            if pause is not None:  # it is due again once it has waited
                self._refused[practice_id] = pause
            if pause is not None or outcome == "refreshed":
                self._left.discard(practice_id)
            # A dead grant neither shows an outage nor excludes one.
            if not isinstance(error, GrantError) and outcome != "skipped" and pause is None:
                self._sample.append(error is not None)
            failures = sum(self._sample)
            summary.gave_up = failures >= _ENOUGH and failures >= _OUTAGE_SHARE * len(self._sample)
            return summary.refreshed + summary.skipped + summary.failed
