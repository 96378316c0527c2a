"""Refresh ahead of time, for a timer: all that ends soon, shared among however many processes do the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from connector.clock import Clock
from connector.errors import ConnectorError, ProviderUnavailableError
from connector.refresh import Refresher
from connector.store import Store

__all__ = ["Done", "Pace", "Summary", "refresh_due"]

_PAGE = 256
# So many failures in a row are an outage: the rest is left for the next run.
_OUTAGE = 20
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much a provider is asked for.

    Attributes:
        at_once: token calls under way at the same time.
        per_second: token calls a second.
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
class Summary:
    """What a run did.

    Attributes:
        total: connections that were due when it began.
        refreshed: by this run.
        skipped: done by others meanwhile.
        failed: not refreshed; the audit record tells why.
        gave_up: whether the provider failed so often that the rest was left alone.
    """

    total: int
    refreshed: int = 0
    skipped: int = 0
    failed: int = 0
    gave_up: bool = False


def refresh_due(
    refresher: Refresher,
    store: Store,
    *,
    within: float,
    pace: Pace | None = None,
    progress: Callable[[Done], object] = lambda done: None,
) -> Summary:
    """Refresh every connection whose access token ends within so many seconds.

    Several runs may be under way, on several machines: each connection is refreshed by one of them. A run
    that was cut short is continued by the next, which finds only what is left.

    Args:
        refresher: does the work.
        store: knows what is due.
        within: seconds.
        pace: how hard to ask the provider.
        progress: told of each connection, in some thread.
    """
    return _Run(refresher, store, within, pace or Pace(), progress).run()


class _Run:
    def __init__(
        self,
        refresher: Refresher,
        store: Store,
        within: float,
        pace: Pace,
        progress: Callable[[Done], object],
    ) -> None:
        self._refresher = refresher
        self._store = store
        self._clock: Clock = store.clock
        self._before = self._clock.utc_now() + timedelta(seconds=within)
        self._pace = pace
        self._progress = progress
        self._summary = Summary(total=store.count_due(self._before))
        self._guard = threading.Lock()
        self._next_call = self._clock.monotonic()
        self._failures = 0
        self._seen: set[str] = set()

    def run(self) -> Summary:
        with ThreadPoolExecutor(self._pace.at_once, thread_name_prefix="ormco-due") as pool:
            for page in self._pages():
                for _ in pool.map(self._one, page):
                    pass
                if self._summary.gave_up:
                    break
        return self._summary

    def _pages(self) -> Iterator[list[str]]:
        last = (0.0, "")
        while rows := self._store.due(self._before, _PAGE, after=last):
            last = rows[-1]
            # Where tokens live shorter than the time that is looked ahead, a refreshed one comes up again.
            page = [practice_id for _, practice_id in rows if practice_id not in self._seen]
            self._seen.update(page)
            random.shuffle(page)  # runs that begin together do not get in each other's way
            yield page

    def _one(self, practice_id: str) -> None:
        if self._summary.gave_up:
            return
        self._wait_for_turn()
        outcome, error = "skipped", None
        try:
            if self._refresher.renew_if_free(practice_id, self._before.timestamp()):
                outcome = "refreshed"
        except ConnectorError as exc:
            outcome, error = exc.kind, exc
        self._count(practice_id, outcome, error)

    def _wait_for_turn(self) -> None:
        with self._guard:
            now = self._clock.monotonic()
            turn = max(self._next_call, now)
            self._next_call = turn + 1.0 / self._pace.per_second
        if turn > now:
            self._clock.sleep(turn - now)

    def _count(self, practice_id: str, outcome: str, error: ConnectorError | None) -> None:
        with self._guard:
            summary = self._summary
            summary.refreshed += outcome == "refreshed"
            summary.skipped += outcome == "skipped"
            summary.failed += error is not None
            if isinstance(error, ProviderUnavailableError) and error.sent:
                self._failures += 1
                pause = min(error.retry_after or 0.0, _LONGEST_PAUSE)
                self._next_call = max(self._next_call, self._clock.monotonic() + pause)
            elif outcome == "refreshed":
                self._failures = 0
            summary.gave_up = self._failures >= _OUTAGE
            number = summary.refreshed + summary.skipped + summary.failed
        self._progress(
            Done(practice_id=practice_id, outcome=outcome, error=error, number=number, total=summary.total)
        )
