"""Poll every practice of a watch when it is due, in a few threads, shared with other processes.

The store says which practice is next: due practices are claimed by lease, a few at a time, polled, and given
back with the time of their next poll. So any number of processes share the work, and together they poll each
practice once an interval.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from connector.calls import Scope, in_scope
from connector.clock import Clock, Deadline
from connector.communicate.watch import PollResult, PracticeWatch
from connector.communicate.watch_plan import (
    ClaimLostError,
    HandlerFailedError,
    Lag,
    Lateness,
    WatchPlan,
    WatchReport,
    backoff,
)
from connector.errors import (
    NotFoundError,
    ProviderUnavailableError,
    SealingKeyError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.store.store import Store
from connector.store.watch_claims import WatchClaim, WatchOutcome, WatchScope

__all__ = ["Lag", "Problem", "WatchScheduler"]

# After this time, a practice with many events goes to the end of the queue.
_TURN_SECONDS = 5.0
# Longer than any single call of the provider's API, so that a claim can be extended in between.
_LEASE_SECONDS = 180.0
_TICK = 0.25
_RETRY_SECONDS = 0.5
_FAREWELL_SECONDS = 3.0
_PRUNE_SECONDS = 86400.0

# Called with a practice and its error when that changes; with None when the error is over.
Problem = Callable[[str, Exception | None], object]


@dataclass(slots=True, kw_only=True)
class _Turn:
    """A practice that this process has claimed, and the result of its last poll."""

    claim: WatchClaim
    watch: PracticeWatch
    extend_at: float
    result: PollResult | None = None
    error: Exception | None = None


class WatchScheduler:
    """Runs a watch.

    Args:
        store: the store of the claims.
        scope: the practices to follow.
        open_watch: makes one practice's watch.
        plan: the options of the watch.
        clock: the time.
        call: returns the scope of a poll of a practice, for observers.
        on_problem: called with a practice's error when it changes.
        on_lag: called when polls are far later than planned.
    """

    def __init__(
        self,
        store: Store,
        scope: WatchScope,
        open_watch: Callable[[WatchClaim], PracticeWatch],
        *,
        plan: WatchPlan,
        clock: Clock,
        call: Callable[[str], Scope],
        on_problem: Problem = lambda practice_id, error: None,
        on_lag: Lag = lambda seconds: None,
    ) -> None:
        self._store = store
        self._claims = store.watch_claims
        self._scope = scope
        self._open_watch = open_watch
        self._plan = plan
        self._clock = clock
        self._call = call
        self._on_problem = on_problem
        self._problems: dict[str, Exception] = {}
        self._delivered = self._looks = self._running = 0
        self._is_enrolled = False
        self._outcomes: list[WatchOutcome] = []
        self._ready: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[_Turn] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lateness = Lateness(
            plan.interval, clock.monotonic(), on_lag, partial(self._claims.round_seconds, scope.watch)
        )
        self._only = scope.practice_ids[0] if scope.practice_ids and len(scope.practice_ids) == 1 else None

    def run(self, stop: threading.Event) -> WatchReport:
        """Follow until `stop` is set, all is done, or no practice is left.

        Raises:
            connector.errors.StoreError: the store failed; without it nothing can be followed.
        """
        workers = [
            threading.Thread(target=self._work, name=f"watch-{number}", daemon=True)
            for number in range(self._plan.workers)
        ]
        for worker in workers:
            worker.start()
        try:
            self._follow(stop)
        finally:
            self._closing.set()
            self._dismiss(workers)
        return WatchReport(
            delivered=self._delivered,
            looks=self._looks,
            problems=dict(self._problems),
            interval=self._lateness.interval,
        )

    def _follow(self, stop: threading.Event) -> None:
        begun = self._store.overview.database_time() if self._plan.once else None
        enrol_at = claim_at = prune_at = self._clock.monotonic()
        while not stop.is_set():
            now = self._clock.monotonic()
            if now >= enrol_at:
                self._is_enrolled = self._enrol()
                # If another process has it, one round has to see whether that process finishes.
                is_soon = self._plan.once and not self._is_enrolled
                enrol_at = now + (_RETRY_SECONDS if is_soon else self._plan.interval)
            if now >= prune_at:
                self._store.watches.prune(self._plan.name, self._plan.keep_days * 86400)
                prune_at = now + _PRUNE_SECONDS
            if now >= claim_at and not self._claim(begun):
                claim_at = now + min(1.0, self._plan.interval / 4)
                if not self._running and self._is_over(begun):
                    return
            self._collect()

    def _enrol(self) -> bool:
        """Add the practices that have to be followed now; return whether all are added."""
        for practice_id in self._scope.practice_ids or ():
            try:
                self._store.existing(practice_id)
            except NotFoundError as error:
                self._note(practice_id, error, told_elsewhere=True)
                self._give_up(practice_id)
        try:
            self._claims.release_dead(self._scope.watch)
            return self._claims.enrol(self._scope)
        except (StoreLockedError, ProviderUnavailableError):
            if self._plan.once or self._scope.practice_ids is not None:
                raise
            return False

    def _claim(self, begun: float | None) -> bool:
        """Claim due practices for the free workers; return whether there were any."""
        room = 2 * self._plan.workers - self._running
        if room <= 0:
            return True
        try:
            claims = self._claims.claim(self._scope, limit=room, lease=_LEASE_SECONDS, not_looked_since=begun)
        except StoreLockedError:  # another process took too long: try again soon
            return False
        now = self._clock.monotonic()
        for claim in claims:
            self._lateness.add(claim.late, now)
            self._running += 1
            self._ready.put(
                _Turn(claim=claim, watch=self._open_watch(claim), extend_at=now + _LEASE_SECONDS / 3)
            )
        return bool(claims)

    def _is_over(self, begun: float | None) -> bool:
        if self._scope.practice_ids == ():
            return True
        return begun is not None and self._is_enrolled and self._claims.count_pending(self._scope, begun) == 0

    def _collect(self) -> None:
        """Wait briefly for turns that end, and settle their claims."""
        try:
            turn = self._finished.get(timeout=min(_TICK, self._plan.interval / 4))
            while True:
                self._outcomes += self._outcome_of(turn)
                turn = self._finished.get_nowait()
        except queue.Empty:
            pass
        finally:
            with suppress(StoreLockedError):  # they are settled with the next ones
                self._claims.settle(self._outcomes)
                self._outcomes = []
        self._lateness.report(self._clock.monotonic())

    def _outcome_of(self, turn: _Turn) -> list[WatchOutcome]:
        if turn.result is not None and turn.result.more:
            self._ready.put(turn)
            return []
        self._running -= 1
        self._delivered += turn.watch.delivered
        error = turn.error or (turn.result.problem if turn.result else None)
        if isinstance(error, StoreUnavailableError | SealingKeyError):
            raise error
        if isinstance(error, ClaimLostError):
            return []
        self._looks += error is None
        claim = turn.claim
        if error is not None and not self._may_pass(error):
            self._give_up(claim.practice_id)
        self._note(claim.practice_id, error, told_elsewhere=claim.problem is not None)
        failures = 0 if error is None else claim.failures + 1
        # Unreadable cases do not delay the practice's other cases.
        due_in = (
            self._plan.interval if turn.error is None else backoff(turn.error, failures, self._plan.interval)
        )
        return [
            WatchOutcome(
                claim=claim, due_in=due_in, failures=failures, problem=type(error).__name__ if error else None
            )
        ]

    def _may_pass(self, error: Exception) -> bool:
        """Return whether a practice is polled again after this error."""
        if self._scope.practice_ids is None or self._plan.once:
            return True
        return isinstance(error, ProviderUnavailableError | StoreLockedError | HandlerFailedError)

    def _give_up(self, practice_id: str) -> None:
        left = tuple(one for one in self._scope.practice_ids or () if one != practice_id)
        self._scope = replace(self._scope, practice_ids=left)

    def _note(self, practice_id: str, error: Exception | None, *, told_elsewhere: bool) -> None:
        """Record a practice's error, and report it if it is new."""
        before = self._problems.pop(practice_id, None)
        if error is None:
            if before is not None or told_elsewhere:
                self._on_problem(practice_id, None)
            return
        self._problems[practice_id] = error
        ends_it_all = practice_id == self._only and (self._plan.once or self._scope.practice_ids == ())
        # An error that is raised at the end is not reported here. "Elsewhere": another process may have seen
        # the practice recover in between, and reported that.
        if not ends_it_all and (repr(error) != repr(before) or not told_elsewhere):
            self._on_problem(practice_id, error)

    def _work(self) -> None:
        while (turn := self._ready.get()) is not None:
            if self._closing.is_set():
                self._ready.put(turn)  # given back unused
                return
            is_enough = partial(self._is_enough, self._clock.deadline(_TURN_SECONDS))
            turn.result = turn.error = None
            try:
                with in_scope(self._call(turn.claim.practice_id)):
                    turn.result = turn.watch.poll(is_enough, partial(self._keep_claim, turn))
            except Exception as error:  # any error here concerns only this practice
                turn.error = error
            self._finished.put(turn)

    def _is_enough(self, deadline: Deadline) -> bool:
        return deadline.passed or self._closing.is_set()

    def _keep_claim(self, turn: _Turn) -> None:
        now = self._clock.monotonic()
        if now < turn.extend_at:
            return
        if not self._claims.extend(turn.claim, _LEASE_SECONDS):
            raise ClaimLostError
        turn.extend_at = now + _LEASE_SECONDS / 3

    def _dismiss(self, workers: list[threading.Thread]) -> None:
        """End the workers, and give back the practices that they did not poll."""
        for _ in workers:
            self._ready.put(None)
        farewell = self._clock.deadline(_FAREWELL_SECONDS)
        for worker in workers:
            worker.join(farewell.left)
        # Finished work is kept, and unpolled practices are free for other processes immediately.
        outcomes = self._outcomes
        for turn in _drained(self._finished):
            if turn is not None and turn.result is not None and turn.result.more:
                self._ready.put(turn)
            elif turn is not None:
                with suppress(StoreError):
                    outcomes += self._outcome_of(turn)
        for turn in _drained(self._ready):
            if turn is not None:
                self._delivered += turn.watch.delivered
                claim = turn.claim
                outcomes.append(
                    WatchOutcome(
                        claim=claim, due_in=0.0, looked=False, failures=claim.failures, problem=claim.problem
                    )
                )
        with suppress(StoreError):
            self._claims.settle(outcomes)


def _drained(waiting: queue.SimpleQueue[Any]) -> list[Any]:
    found = []
    with suppress(queue.Empty):
        while True:
            found.append(waiting.get_nowait())
    return found
