"""Watch the cases of one practice: each event at least once, in order per case, across restarts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from connector.communicate.case_reader import CaseReader
from connector.communicate.history import CaseEvent, SeenEvent, Source, events_between, snapshot_of
from connector.communicate.models import Case
from connector.communicate.status import CaseStatus, Snapshot
from connector.communicate.watch_plan import HandlerFailedError, WatchPlan
from connector.errors import ProviderUnavailableError, SettingError
from connector.store.cursors import WatchCursor, WatchedCase, WatchRecords

__all__ = ["Handler", "PollResult", "PracticeWatch"]

# Called with an event; if it raises, the event is delivered again.
Handler = Callable[[CaseEvent], None]

# The cursor is stored at most this often: with an old one, only some known cases are read again.
_CURSOR_AGE = timedelta(minutes=5)
# A case that can never be read holds the cursor back no longer than this.
_LONGEST_HOLD = timedelta(days=30)
_CLOCK_ERROR = timedelta(days=2)
# After this many cases in a row without any response, the server fails, not the cases.
_SIGN_OF_OUTAGE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PollResult:
    """The result of a poll of a practice.

    Attributes:
        more: whether there are more events to deliver.
        problem: the error of cases that could not be read; the others were delivered.
    """

    more: bool = False
    problem: Exception | None = None


class PracticeWatch:
    """One practice's part of a watch; used by one thread at a time.

    Args:
        practice_id: the practice.
        plan: the options of the watch.
        reader: returns the reader of the practice's cases.
        records: the cursors.
        handler: called with each event.
        reverse: process the cases in reverse order. After a failed poll, cases that always fail then do not
            delay the others indefinitely.
    """

    def __init__(
        self,
        practice_id: str,
        *,
        plan: WatchPlan,
        reader: Callable[[], CaseReader],
        records: WatchRecords,
        handler: Handler,
        reverse: bool = False,
    ) -> None:
        self.practice_id = practice_id
        self.delivered: int = 0
        self._plan = plan
        self._open_reader = reader
        self._records = records
        self._handler = handler
        self._reverse = reverse
        self._waiting: deque[Case] | None = None
        self._known: dict[str, WatchedCase] = {}
        self._failed: list[tuple[Case, Exception]] = []

    def poll(self, is_enough: Callable[[], bool], keep_claim: Callable[[], None]) -> PollResult:
        """Read the updated cases and deliver their events, until all are delivered or `is_enough`.

        However slow the provider is, at least one event is delivered before the poll ends.

        Args:
            is_enough: returns whether other practices should have their turn.
            keep_claim: called often to extend the claim; raises `ClaimLostError` if another process has it.

        Raises:
            HandlerFailedError: the handler raised for an event; those of other cases were delivered.
            connector.errors.ConnectorError: the provider, the connection or the store failed.
        """
        try:
            if self._waiting is None:
                self._begin()
            more = not self._deliver(is_enough, keep_claim)
        except BaseException:
            self._waiting = None
            raise
        return PollResult(more=True) if more else self._end()

    def _begin(self) -> None:
        """Read the cases that were updated since the last poll; a new watch begins here."""
        reader = self._reader = self._open_reader()
        name, now = self._plan.name, reader.now()
        cursor = self._records.cursor(name, self.practice_id)
        if cursor is not None and cursor.began_at > reader.latest() + _CLOCK_ERROR:
            raise SettingError(
                f"the watch {name!r} begins in the future ({cursor.began_at:%Y-%m-%d %H:%M} UTC)",
                hint="Reset it, and let it begin now or earlier.",
            )
        since = cursor.read_from if cursor else self._plan.since or now
        cases = reader.updated(min(since, now) - timedelta(seconds=self._plan.overlap))
        if cursor is None:
            # A clock that is ahead, the server's or this machine's, must not make it begin later than now.
            begun = self._plan.since or min(now, reader.now())
            cursor = WatchCursor(began_at=begun, read_from=begun)
            self._records.put_cursor(name, self.practice_id, cursor)
        self._cursor = replace(cursor, read_from=min(cursor.read_from, max(now, cursor.began_at)))
        self._failed = []
        shared = [case for case in cases if self._plan.all_cases or reader.is_shared(case)]
        self._known = self._records.cases(name, self.practice_id, [case.id for case in shared])
        fresh = [case for case in shared if _is_new(self._known.get(case.id), case)]
        self._waiting = deque(reversed(fresh) if self._reverse else fresh)
        self._newest = max((case.updated for case in cases if case.updated), default=None)
        if cases and self._newest is None:
            self._newest = now  # a server that never states the time

    def _deliver(self, is_enough: Callable[[], bool], keep_claim: Callable[[], None]) -> bool:
        """Deliver the waiting cases' events; return whether all were delivered."""
        before, unanswered = self.delivered, 0

        def may_stop() -> bool:
            keep_claim()
            return self.delivered > before and is_enough()

        while self._waiting:
            case = self._waiting[0]
            try:
                if not self._deliver_case(case, may_stop):
                    return False
                unanswered = 0
            except (ProviderUnavailableError, HandlerFailedError) as error:
                # The other cases must not wait for it.
                self._failed.append((case, error))
                answered = not isinstance(error, ProviderUnavailableError) or error.answered
                unanswered = 0 if answered else unanswered + 1
                if unanswered >= _SIGN_OF_OUTAGE:
                    raise
            self._waiting.popleft()
        return True

    def _deliver_case(self, case: Case, may_stop: Callable[[], bool]) -> bool:
        """Deliver a case's events; return whether all were delivered."""

        def find(case_id: str, version: int) -> Case | None:
            may_stop()  # keeps the claim while many versions are read
            return self._reader.find(case_id, version)

        known = self._known.get(case.id)
        source = Source(practice_id=self.practice_id, region=self._reader.region.name)
        since = max(self._cursor.began_at, self._cursor.read_from - timedelta(days=self._plan.keep_days))
        for seen in events_between(_snapshot(known), case, find, source=source, since=since):
            if may_stop():
                return False
            try:
                self._handler(seen.event)
            except Exception as error:
                raise HandlerFailedError(f"the handler raised {type(error).__name__}") from error
            # After the delivery, and immediately: if this process is killed, the next one continues here.
            self._known[case.id] = _watched(seen)
            self._records.put_case(self._plan.name, self.practice_id, self._known[case.id])
            self.delivered += 1
        return True

    def _end(self) -> PollResult:
        """Move the cursor as far as everything has been delivered."""
        self._waiting = None
        refused = next((error for _, error in self._failed if isinstance(error, HandlerFailedError)), None)
        if refused is not None:
            raise refused
        self._move_cursor()
        if not self._failed:
            return PollResult()
        case, error = self._failed[0]
        more = f", and {len(self._failed) - 1} more" if len(self._failed) > 1 else ""
        problem = ProviderUnavailableError(
            f"the case {case.id}{more} cannot be read now: {error}",
            hint="It is tried again at each poll; other cases are not affected.",
            answered=True,
        )
        return PollResult(problem=problem)

    def _move_cursor(self) -> None:
        # Never later than the newest update that was seen: a server's clock may be wrong, once or always.
        newest = self._newest and min(self._newest, self._reader.now())
        if newest is None:
            return
        held = [case.updated or self._cursor.read_from for case, _ in self._failed]
        read_from = max(min([newest, *held]), newest - _LONGEST_HOLD)
        if read_from - self._cursor.read_from >= _CURSOR_AGE:
            self._cursor = replace(self._cursor, read_from=read_from)
            self._records.put_cursor(self._plan.name, self.practice_id, self._cursor)


def _is_new(known: WatchedCase | None, case: Case) -> bool:
    """Return whether a case has events that were not delivered yet."""
    if known is None or case.version > known.version:
        return True
    now = snapshot_of(case)
    before = (known.state, known.state_flag, known.designs)
    if case.version == known.version > 0:
        return before != (now.state, now.state_flag, now.designs)
    # No readable version: only its content shows a change.
    return case.version == 0 and known.content != case.content


def _snapshot(known: WatchedCase | None) -> Snapshot | None:
    if known is None:
        return None
    try:
        status = CaseStatus(known.standing)
    except ValueError:  # a newer version of this package has written it
        status = CaseStatus.OTHER
    return Snapshot(
        version=known.version,
        state=known.state,
        state_flag=known.state_flag,
        designs=known.designs,
        status=status,
    )


def _watched(seen: SeenEvent) -> WatchedCase:
    snapshot = seen.snapshot
    return WatchedCase(
        case_id=seen.event.case_id,
        version=snapshot.version,
        state=snapshot.state,
        state_flag=snapshot.state_flag,
        designs=snapshot.designs,
        standing=snapshot.status.value,
        content=seen.content,
    )
