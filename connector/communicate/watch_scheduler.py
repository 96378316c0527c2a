"""Poll every practice of a watch when it is due, in a few threads, shared with other processes.

The store decides which practice is next: due ones are claimed by lease, a few at a time, polled, and given
back with the time of their next poll. So any number of processes share the work, and together they poll each
practice once an interval.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from connector.calls import Scope
from connector.clock import Clock
from connector.communicate.watch import PracticeWatch
from connector.communicate.watch_plan import (
    ClaimLostError,
    HandlerFailedError,
    Lag,
    Lateness,
    WatchPlan,
    WatchReport,
    backoff,
)
from connector.communicate.watch_workers import LEASE_SECONDS, Turn, WatchWorkers
from connector.errors import (
    NotFoundError,
    ProviderUnavailableError,
    StoreError,
    StoreLockedError,
)
from connector.store.store import Store
from connector.store.watch_claims import WatchClaim, WatchOutcome, WatchScope

__all__ = ["Lag", "Problem", "WatchScheduler"]

_TICK = 0.25
_RETRY_SECONDS = 0.5
_PRUNE_SECONDS = 86400.0

# Called with a practice and its error when that changes; with None when the error is over.
Problem = Callable[[str, Exception | None], object]


class WatchScheduler:
    """Runs a watch.

    Args:
        store: the store of the claims.
        scope: the practices to follow.
        open_watch: makes one practice's watch.
        plan: the options of the watch.
        clock: the time.
        call: returns the scope of a poll of a practice, for observers.
        on_problem, on_lag: as for `Cases.watch`.
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
        self._on_problem = on_problem
        self._problems: dict[str, Exception] = {}
        self._delivered = self._looks = self._running = 0
        self._is_enrolled = False
        self._outcomes: list[WatchOutcome] = []
        self._workers = WatchWorkers(plan.workers, self._claims, clock, call)
        self._lateness = Lateness(
            plan.interval, clock.monotonic(), on_lag, partial(self._claims.round_seconds, scope.watch)
        )
        self._only = scope.practice_ids[0] if scope.practice_ids and len(scope.practice_ids) == 1 else None

    def run(self, stop: threading.Event) -> WatchReport:
        """Follow the practices until `stop` is set, all is done, or no practice is left.

        Raises:
            connector.errors.StoreError: the store failed; without it nothing can be followed.
        """
        self._workers.start()
        try:
            self._follow(stop)
        finally:
            self._give_back(self._workers.stop())
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
                # With `once`, retry soon: another process is adding the practices.
                is_soon = self._plan.once and not self._is_enrolled
                enrol_at = now + (_RETRY_SECONDS if is_soon else self._plan.interval)
            if now >= prune_at:
                with suppress(StoreLockedError):
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
                self._note(practice_id, error, was_reported=True)
                self._give_up(practice_id)
        try:
            self._claims.release_dead(self._scope.watch)
            return self._claims.enrol(self._scope)
        except (StoreLockedError, ProviderUnavailableError):
            # A running watch continues with the practices that it has.
            if self._plan.once or (self._scope.practice_ids is not None and not self._is_enrolled):
                raise
            return self._is_enrolled

    def _claim(self, begun: float | None) -> bool:
        """Claim due practices for the free workers; return whether there were any."""
        room = 2 * self._plan.workers - self._running
        if room <= 0:
            return True
        try:
            claims = self._claims.claim(self._scope, limit=room, lease=LEASE_SECONDS, not_looked_since=begun)
        except StoreLockedError:  # another process took too long: try again soon
            return False
        now = self._clock.monotonic()
        for claim in claims:
            self._lateness.add(claim.late, now)
            self._running += 1
            self._workers.submit(claim, self._open_watch(claim))
        return bool(claims)

    def _is_over(self, begun: float | None) -> bool:
        if self._scope.practice_ids == ():
            return True
        return begun is not None and self._is_enrolled and self._claims.count_pending(self._scope, begun) == 0

    def _collect(self) -> None:
        """Wait briefly for turns that end, and settle their claims."""
        try:
            turn = self._workers.finished(min(_TICK, self._plan.interval / 4))
            while turn is not None:
                self._outcomes += self._outcome_of(turn)
                turn = self._workers.finished()
        finally:
            with suppress(StoreLockedError):  # they are settled with the next ones
                self._claims.settle(self._outcomes)
                self._outcomes = []
        self._lateness.report(self._clock.monotonic())

    def _outcome_of(self, turn: Turn) -> list[WatchOutcome]:
        if turn.has_more:
            self._workers.resume(turn)
            return []
        self._running -= 1
        self._delivered += turn.watch.delivered
        error = turn.error or (turn.result.problem if turn.result else None)
        if turn.fatal is not None:
            self._outcomes.append(turn.given_back())
            raise turn.fatal
        if isinstance(error, ClaimLostError):
            return []
        self._looks += error is None
        claim = turn.claim
        if error is not None and not self._may_pass(error):
            self._give_up(claim.practice_id)
        self._note(claim.practice_id, error, was_reported=claim.problem is not None)
        failures = 0 if error is None else claim.failures + 1
        due_in, problem = self._plan.interval, type(error).__name__ if error else None
        if turn.error is not None:  # unreadable cases do not delay the practice's other cases
            due_in = backoff(turn.error, failures, due_in)
        return [WatchOutcome(claim=claim, due_in=due_in, failures=failures, problem=problem)]

    def _may_pass(self, error: Exception) -> bool:
        """Return whether a practice is polled again after this error."""
        if self._scope.practice_ids is None or self._plan.once:
            return True
        return isinstance(error, ProviderUnavailableError | StoreLockedError | HandlerFailedError)

    def _give_up(self, practice_id: str) -> None:
        left = tuple(one for one in self._scope.practice_ids or () if one != practice_id)
        self._scope = replace(self._scope, practice_ids=left)

    def _note(self, practice_id: str, error: Exception | None, *, was_reported: bool) -> None:
        """Record a practice's error, and report it if it is new."""
        before = self._problems.pop(practice_id, None)
        if error is None:
            if before is not None or was_reported:
                self._on_problem(practice_id, None)
            return
        self._problems[practice_id] = error
        ends_it_all = practice_id == self._only and (self._plan.once or self._scope.practice_ids == ())
        # An error that is raised at the end is not reported here. The same error is reported again if another
        # process has reported in between that the practice recovered.
        if not ends_it_all and (repr(error) != repr(before) or not was_reported):
            self._on_problem(practice_id, error)

    def _give_back(self, turns: list[Turn]) -> None:
        """Settle finished polls, and release immediately the practices that were not polled to the end."""
        outcomes = self._outcomes
        while (turn := self._workers.finished()) is not None:
            if turn.has_more or turn.fatal is not None:
                turns.append(turn)
                continue
            with suppress(StoreError):
                outcomes += self._outcome_of(turn)
        for turn in turns:
            self._delivered += turn.watch.delivered
            outcomes.append(turn.given_back())
        with suppress(StoreError):
            self._claims.settle(outcomes)
