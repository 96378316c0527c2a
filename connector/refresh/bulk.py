"""Refresh all that ends soon, for a timer: shared among however many processes do the same."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

from connector.clock import Clock
from connector.errors import ConnectorError, ProviderUnavailableError
from connector.refresh.access import AccessTokens
from connector.store.store import DueGrant, Store

__all__ = ["Done", "Pace", "RefreshSummary", "refresh_due"]

# An outage is told by the share of failures among the last calls, once there are enough of them.
_SAMPLE = 50
_ENOUGH = 20
_OUTAGE_SHARE = 0.8
_LONGEST_PAUSE = 60.0
# So many in a row that another run has refreshed: what is due is read again.
_SKIPS_TO_LOOK_AGAIN = 32
_SLOWER, _FASTER = 0.5, 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much a provider is asked for.

    Attributes:
        at_once: token calls under way at the same time.
        per_second: token calls a second, at most; fewer while the provider says that they are too many.
    """

    at_once: int = 8
    per_second: float = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one connection.

    Attributes:
        practice_id: whose.
        outcome: "refreshed", "skipped" (another process did it, or is at it), or the kind of the error.
        error: the error, or None.
        number: how many have been looked at, this one included.
        total: how many were due when the run began.
    """

    practice_id: str
    outcome: str
    error: ConnectorError | None = None
    number: int
    total: int


@dataclass(slots=True, kw_only=True)
class RefreshSummary:
    """What a run did.

    Attributes:
        total: connections that were due when it began.
        refreshed: by this run.
        skipped: done by others meanwhile.
        failed: not refreshed; their rows tell why.
        gave_up: whether the provider failed so often that the rest was left alone.
        overdue: connections whose access token has ended when the run has; more than 0 after a run that did
            not give up: it cannot keep up.
        lag: seconds since the first of those ended.
    """

    total: int
    refreshed: int = 0
    skipped: int = 0
    failed: int = 0
    gave_up: bool = False
    overdue: int = 0
    lag: float = 0.0


def refresh_due(
    tokens: AccessTokens,
    store: Store,
    *,
    within: float,
    pace: Pace | None = None,
    progress: Callable[[Done], object] = lambda done: None,
) -> RefreshSummary:
    """Refresh every connection whose access token ends within so many seconds.

    Several runs may be under way, on several machines: each connection is refreshed by one of them. A run
    that was cut short is continued by the next, which finds only what is left. Sound connections come first.

    Args:
        tokens: does the work.
        store: knows what is due.
        within: seconds.
        pace: how hard to ask the provider.
        progress: told of each connection, in some thread.
    """
    return _Run(tokens, store, within, pace or Pace(), progress).run()


class _Throttle:
    """Spreads calls over time; slower after a 429, and slowly faster again."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._most = self._rate = per_second
        self._next_call = clock.monotonic()
        self._guard = threading.Lock()  # of the time of the next call, which threads take one by one

    def wait(self) -> None:
        with self._guard:
            now = self._clock.monotonic()
            turn = max(self._next_call, now)
            self._next_call = turn + 1.0 / self._rate
        if turn > now:
            self._clock.sleep(turn - now)

    def slow_down(self, pause: float) -> None:
        with self._guard:
            self._rate = max(self._rate * _SLOWER, min(1.0, self._most))
            later = self._clock.monotonic() + min(pause, _LONGEST_PAUSE)
            self._next_call = max(self._next_call, later)

    def speed_up(self) -> None:
        with self._guard:
            self._rate = min(self._rate * _FASTER, self._most)


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
        self._within = within
        self._pace = pace
        self._progress = progress
        self._throttle = _Throttle(store.clock, pace.per_second)
        due = store.due(within)
        self._summary = RefreshSummary(total=len(due))
        self._waiting = _in_order(due)
        self._guard = threading.Lock()  # of the counts, and of what waits
        self._sample: deque[bool] = deque(maxlen=_SAMPLE)
        self._skips = 0
        self._seen: set[str] = set()
        self._broken: BaseException | None = None

    def run(self) -> RefreshSummary:
        with ThreadPoolExecutor(self._pace.at_once, thread_name_prefix="ormco-due") as pool:
            for worker in [pool.submit(copy_context().run, self._work) for _ in range(self._pace.at_once)]:
                worker.result()
        if self._broken is not None:
            raise self._broken
        late = self._store.overview.summary()
        self._summary.overdue, self._summary.lag = late.overdue, late.lag
        return self._summary

    def _work(self) -> None:
        while (practice_id := self._take()) is not None:
            try:
                self._one(practice_id)
            except BaseException as exc:
                self._broken = exc
                return

    def _take(self) -> str | None:
        with self._guard:
            if self._summary.gave_up or self._broken is not None or not self._waiting:
                return None
            practice_id = self._waiting.popleft()
            self._seen.add(practice_id)
            return practice_id

    def _one(self, practice_id: str) -> None:
        outcome, error = "skipped", None
        try:
            if self._tokens.refresh_if_due(practice_id, self._within, before_call=self._throttle.wait):
                outcome = "refreshed"
        except ConnectorError as exc:
            outcome, error = exc.kind, exc
        self._count(practice_id, outcome, error)

    def _count(self, practice_id: str, outcome: str, error: ConnectorError | None) -> None:
        with self._guard:
            summary = self._summary
            summary.refreshed += outcome == "refreshed"
            summary.skipped += outcome == "skipped"
            summary.failed += error is not None
            self._skips = self._skips + 1 if outcome == "skipped" else 0
            is_outage = isinstance(error, ProviderUnavailableError)
            if is_outage or outcome == "refreshed":
                self._sample.append(is_outage)
            failures = sum(self._sample)
            summary.gave_up = failures >= _ENOUGH and failures >= _OUTAGE_SHARE * len(self._sample)
            number = summary.refreshed + summary.skipped + summary.failed
            looks_again = self._skips >= _SKIPS_TO_LOOK_AGAIN and len(self._waiting) > 0
            self._skips = 0 if looks_again else self._skips
        if error is not None and getattr(error, "retry_after", None) is not None:
            self._throttle.slow_down(error.retry_after or 0.0)
        elif outcome == "refreshed":
            self._throttle.speed_up()
        if looks_again:
            self._look_again()
        self._progress(
            Done(practice_id=practice_id, outcome=outcome, error=error, number=number, total=summary.total)
        )

    def _look_again(self) -> None:
        """Leave out what other runs have refreshed meanwhile."""
        due = {each.practice_id for each in self._store.due(self._within)}
        with self._guard:
            left = deque(each for each in self._waiting if each in due)
            self._summary.skipped += len(self._waiting) - len(left)
            self._waiting = left


def _in_order(due: list[DueGrant]) -> deque[str]:
    """Return sound connections first; runs that begin together begin at different ones."""
    sound = deque(each.practice_id for each in due if not each.failures)
    sound.rotate(random.randrange(len(sound)) if sound else 0)  # noqa: S311 - no secret
    return sound + deque(each.practice_id for each in due if each.failures)
