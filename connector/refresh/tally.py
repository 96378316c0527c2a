"""Count the results of a run of refreshes, and decide whether the run should give up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from connector.errors import ConnectorError, GrantError
from connector.store.refresh_leases import DueGrant

__all__ = ["Done", "RefreshSummary", "Tally"]

# An outage is recognized by the share of failures among the last calls, once there are enough of them.
_SAMPLE = 50
_ENOUGH = 20
_OUTAGE_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of a run for one connection.

    Attributes:
        practice_id: the practice.
        outcome: "refreshed", "skipped" (another process has refreshed or is refreshing it), or the kind of
            the error.
        error: the error, or None.
        number: the number of connections that are done, including this one.
        total: the number of connections that were due when the run began.
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
        gave_up: whether the run stopped early because too many refreshes failed.
        overdue: connections without failures whose access token had expired before this run reached them:
            more than a few of them mean that the refreshes cannot keep up.
        lag: seconds since the first of those access tokens expired.
        at_once: the number of token calls at a time; fewer than requested if the limit on open files is low.
    """

    total: int
    refreshed: int = 0
    skipped: int = 0
    failed: int = 0
    gave_up: bool = False
    overdue: int = 0
    lag: float = 0.0
    at_once: int = 0


class Tally:
    """Counts the results of a run's connections; thread-safe.

    Attributes:
        left: the practice IDs of connections that were tried but not refreshed: they are still due at the
            next read.
        refused: by practice ID, the seconds after which a rate-limited connection may be tried again; it is
            counted as failed.
    """

    def __init__(self, summary: RefreshSummary, progress: Callable[[Done], object]) -> None:
        self.summary: RefreshSummary = summary
        self.left: set[str] = set()
        self.refused: dict[str, float] = {}
        self._progress = progress
        self._guard = threading.Lock()  # protects the counts
        self._sample: deque[bool] = deque(maxlen=_SAMPLE)

    def begin(self, due: DueGrant, waited: float) -> None:
        """Record that a connection is tried, `waited` seconds after it was read."""
        with self._guard:
            self.left.add(due.practice_id)
            late = waited - due.due_in
            if late > 0 and not due.has_failed:
                self.summary.overdue += 1
                self.summary.lag = max(self.summary.lag, late)

    def report(
        self, practice_id: str, outcome: str, error: ConnectorError | None = None, wait: float | None = None
    ) -> None:
        """Count a connection that is done.

        `wait` is the number of seconds after which it is tried again, after a 429 response.
        """
        with self._guard:
            number = self._count(practice_id, outcome, error, wait)
        total = max(self.summary.total, number)
        self._progress(
            Done(practice_id=practice_id, outcome=outcome, error=error, number=number, total=total)
        )

    def _count(self, practice_id: str, outcome: str, error: ConnectorError | None, wait: float | None) -> int:
        summary = self.summary
        summary.refreshed += outcome == "refreshed"
        summary.skipped += outcome == "skipped"
        summary.failed += (error is not None) - (practice_id in self.refused)
        self.refused.pop(practice_id, None)
        if wait is not None:
            self.refused[practice_id] = wait
        if wait is not None or outcome == "refreshed":
            self.left.discard(practice_id)
        # A dead grant neither shows an outage nor excludes one.
        if not isinstance(error, GrantError) and outcome != "skipped" and wait is None:
            self._sample.append(error is not None)
        failures = sum(self._sample)
        if failures >= _ENOUGH and failures >= _OUTAGE_SHARE * len(self._sample):
            summary.gave_up = True  # permanently, for any result of the calls in progress
        return summary.refreshed + summary.skipped + summary.failed
