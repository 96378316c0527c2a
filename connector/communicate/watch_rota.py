"""Gives every practice of a watch its turn: few at a time, fairly, each with a backoff of its own."""

from __future__ import annotations

import heapq
import queue
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from connector.clock import Clock, Deadline
from connector.communicate.watch import HandlerFailedError, PracticeWatch, Turn, WatchPlan
from connector.errors import (
    GrantError,
    ProviderUnavailableError,
    SealingKeyError,
    StoreLockedError,
    StoreUnavailableError,
)

__all__ = ["Problem", "Rota", "WatchReport"]

# A practice with much to deliver goes to the end of the queue after this.
_TURN_SECONDS = 5.0
_TICK = 0.25
_LONGEST_BACKOFF = 900.0
_LONGEST_REDELIVERY = 60.0
_FAREWELL_SECONDS = 3.0

# Called with a practice and what is wrong with it, when that changes; with None when it is right again.
Problem = Callable[[str, Exception | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """What a watch did before it ended.

    Attributes:
        delivered: events that the handler took.
        problems: practice → what was wrong with it in the end.
    """

    delivered: int = 0
    problems: dict[str, Exception] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Entry:
    watch: PracticeWatch
    failures: int = 0
    problem: Exception | None = None
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    entry: _Entry
    turn: Turn | None = None
    error: Exception | None = None


class Rota:
    """Runs the turns of many practices in a few threads.

    Args:
        practices: returns whom to follow; asked again at every interval.
        open_watch: makes one practice's watch.
        plan: how to go about it.
        lasting: go on when no practice is left to follow, since more may come.
        clock: the time.
        on_problem: told what is wrong with a practice.
    """

    def __init__(
        self,
        practices: Callable[[], Iterable[str]],
        open_watch: Callable[[str], PracticeWatch],
        *,
        plan: WatchPlan,
        lasting: bool,
        clock: Clock,
        on_problem: Problem = lambda practice_id, error: None,
    ) -> None:
        self._practices = practices
        self._open_watch = open_watch
        self._plan = plan
        self._named = not lasting
        self._lasting = lasting and not plan.once
        self._clock = clock
        self._on_problem = on_problem
        self._entries: dict[str, _Entry] = {}
        self._due: list[tuple[float, int, _Entry]] = []
        self._ready: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._order = 0

    def run(self, stop: threading.Event) -> WatchReport:
        """Follow until `stop` is set, all is done, or nobody is left.

        Raises:
            connector.errors.StoreError: the store failed; without it nothing can be followed.
        """
        workers = [
            threading.Thread(target=self._work, name=f"watch-{number}", daemon=True)
            for number in range(self._plan.workers)
        ]
        for worker in workers:
            worker.start()
        list_at = self._clock.monotonic()
        try:
            while not stop.is_set():
                if self._clock.monotonic() >= list_at:
                    self._list()
                    list_at = self._clock.monotonic() + self._plan.interval
                if self._finished():
                    break
                self._hand_out()
                self._collect()
        finally:
            self._closing.set()
            self._dismiss(workers)
        problems = {name: entry.problem for name, entry in self._entries.items() if entry.problem}
        delivered = sum(entry.watch.delivered for entry in self._entries.values())
        return WatchReport(delivered=delivered, problems=problems)

    def _list(self) -> None:
        try:
            present = list(self._practices())
        except (StoreLockedError, ProviderUnavailableError):
            if self._lasting:
                return
            raise
        for practice_id in present:
            if practice_id not in self._entries:
                entry = self._entries[practice_id] = _Entry(watch=self._open_watch(practice_id))
                self._schedule(entry, 0.0)
        for practice_id in self._entries.keys() - set(present):
            self._entries.pop(practice_id).done = True

    def _finished(self) -> bool:
        return not self._lasting and all(entry.done for entry in self._entries.values())

    def _schedule(self, entry: _Entry, delay: float) -> None:
        self._order += 1
        heapq.heappush(self._due, (self._clock.monotonic() + delay, self._order, entry))

    def _hand_out(self) -> None:
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            entry = heapq.heappop(self._due)[2]
            if not entry.done:
                self._ready.put(entry)

    def _collect(self) -> None:
        """Wait for the end of a turn, or until the next is due, and see what comes of it."""
        until_due = self._due[0][0] - self._clock.monotonic() if self._due else _TICK
        timeout = max(min(until_due, _TICK), 0.0)
        try:
            outcome = self._outcomes.get(timeout=timeout)
            while True:
                self._settle(outcome)
                outcome = self._outcomes.get_nowait()
        except queue.Empty:
            return

    def _settle(self, outcome: _Outcome) -> None:
        entry, error = outcome.entry, outcome.error
        if outcome.turn is Turn.MORE:
            self._ready.put(entry)
            return
        if error is None:
            entry.failures = 0
            entry.done = entry.done or self._plan.once
            delay = self._plan.interval
        else:
            if isinstance(error, StoreUnavailableError | SealingKeyError):
                raise error
            entry.failures += 1
            entry.done = entry.done or self._plan.once or not (self._lasting or _passes(error))
            delay = self._backoff(entry, error)
        self._note(entry, error)
        if not entry.done:
            self._schedule(entry, delay)

    def _backoff(self, entry: _Entry, error: Exception) -> float:
        if isinstance(error, GrantError):
            return self._plan.interval  # known from the store alone: asking costs nobody anything
        patience = 2.0 ** min(entry.failures, 20) * (0.75 + random.random() / 2)  # noqa: S311 - no secret
        if isinstance(error, HandlerFailedError):
            return min(patience / 4, _LONGEST_REDELIVERY)
        asked = error.retry_after if isinstance(error, ProviderUnavailableError) else None
        return max(asked or 0.0, min(self._plan.interval * patience / 2, _LONGEST_BACKOFF))

    def _note(self, entry: _Entry, error: Exception | None) -> None:
        changed = repr(error) != repr(entry.problem)
        entry.problem = error
        ends_it_all = entry.done and self._named and len(self._entries) == 1  # raised then
        if changed and not ends_it_all:
            self._on_problem(entry.watch.practice_id, error)

    def _work(self) -> None:
        while (entry := self._ready.get()) is not None:
            if self._closing.is_set():
                return
            deadline = self._clock.deadline(_TURN_SECONDS)
            try:
                turn = entry.watch.turn(partial(self._is_enough, deadline))
            except Exception as error:  # whatever it is, it is this practice's alone
                self._outcomes.put(_Outcome(entry=entry, error=error))
            else:
                self._outcomes.put(_Outcome(entry=entry, turn=turn))

    def _is_enough(self, deadline: Deadline) -> bool:
        return deadline.passed or self._closing.is_set()

    def _dismiss(self, workers: list[threading.Thread]) -> None:
        for _ in workers:
            self._ready.put(None)
        farewell = self._clock.deadline(_FAREWELL_SECONDS)
        for worker in workers:
            worker.join(farewell.left)


def _passes(error: Exception) -> bool:
    """Return whether a failure may be gone at the next look, without anybody doing anything."""
    return isinstance(error, ProviderUnavailableError | StoreLockedError | HandlerFailedError)
