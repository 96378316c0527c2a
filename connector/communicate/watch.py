"""Follows the cases of one practice: every event at least once, in order, across restarts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from connector.communicate.case import Case
from connector.communicate.case_changes import Snapshot
from connector.communicate.case_history import CaseEvent, Seen, Through, events_between
from connector.communicate.case_reader import CaseReader
from connector.communicate.case_status import Standing
from connector.store.cursors import WatchCursor, WatchedCase
from connector.store.store import Store

__all__ = ["Handler", "HandlerFailedError", "PracticeWatch", "Turn", "WatchPlan"]

# Called with an event; if it raises, it gets the event again.
Handler = Callable[[CaseEvent], None]

# Clocks differ, and an update may show up a while after it was made; what was delivered is recognised.
_OVERLAP = timedelta(hours=1)
# A cursor that is a little old costs a few known cases after a restart, and saves a write at every look.
_CURSOR_AGE = timedelta(minutes=5)


class Turn(Enum):
    """How a turn ended."""

    DONE = "done"
    MORE = "more"  # there is more to do
    BUSY = "busy"  # another process has this practice just now


class HandlerFailedError(Exception):
    """The handler raised; the events it did not take are delivered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """How a watch goes about it.

    Attributes:
        name: each watch of a name of its own has cursors of its own, and gets every event.
        since: where to begin with practices that it never saw; None: now.
        all_cases: also cases without Ormco's lab among their actors.
        region: where the cases are, if that cannot be found out.
        interval: seconds between two looks at a practice.
        workers: how many practices are looked at at the same time.
        once: end when every practice has been looked at.
    """

    name: str = "default"
    since: datetime | None = None
    all_cases: bool = False
    region: str | None = None
    interval: float = 30.0
    workers: int = 8
    once: bool = False


class PracticeWatch:
    """One practice's part of a watch; used by one thread at a time.

    Args:
        practice_id: whose cases.
        plan: how to go about it.
        reader: returns what reads the practice's cases.
        store: keeps the cursors.
        handler: takes the events.
    """

    def __init__(
        self,
        practice_id: str,
        *,
        plan: WatchPlan,
        reader: Callable[[], CaseReader],
        store: Store,
        handler: Handler,
    ) -> None:
        self.practice_id = practice_id
        self.delivered = 0
        self._plan = plan
        self._open_reader = reader
        self._store = store
        self._lock = f"watch {plan.name} {practice_id}"
        self._handler = handler
        self._waiting: deque[Case] | None = None
        self._failure: Exception | None = None

    def turn(self, enough: Callable[[], bool]) -> Turn:
        """Ask what was updated and deliver it, until all is done, or it is enough for now.

        Raises:
            HandlerFailedError: the handler refused an event; those of other cases were delivered.
            connector.errors.ConnectorError: the provider, the connection or the store failed.
        """
        if not self._store.try_lock(self._lock):
            return Turn.BUSY
        try:
            if self._waiting is None:
                self._begin()
            return self._deliver(enough)
        except Exception:
            self._waiting = None
            raise
        finally:
            self._store.unlock(self._lock)

    def _begin(self) -> None:
        """Ask what was updated since the last time; a watch that has not begun yet begins here."""
        reader = self._reader = self._open_reader()
        cursor = self._store.watches.cursor(self._plan.name, self.practice_id)
        since = cursor.read_from if cursor else self._plan.since
        cases = reader.updated((since or reader.now()) - _OVERLAP)
        self._asked_at = reader.now()
        if cursor is None:
            begun = since or self._asked_at
            cursor = WatchCursor(began_at=begun, read_from=begun)
            self._store.watches.put_cursor(self._plan.name, self.practice_id, cursor)
        self._cursor = cursor
        self._failure = None
        self._waiting = deque(case for case in cases if self._plan.all_cases or reader.is_shared(case))

    def _deliver(self, enough: Callable[[], bool]) -> Turn:
        while self._waiting:
            try:
                if not self._deliver_case(self._waiting[0], enough):
                    return Turn.MORE
            except HandlerFailedError as failure:
                self._failure = failure  # the other cases have not deserved to wait
            self._waiting.popleft()
        self._waiting = None
        if self._failure is not None:
            raise self._failure
        if self._asked_at - self._cursor.read_from >= _CURSOR_AGE:
            cursor = replace(self._cursor, read_from=self._asked_at)
            self._store.watches.put_cursor(self._plan.name, self.practice_id, cursor)
        return Turn.DONE

    def _deliver_case(self, case: Case, enough: Callable[[], bool]) -> bool:
        """Deliver what happened to a case; return whether that was all."""
        known = self._store.watches.cases(self._plan.name, self.practice_id, [case.id]).get(case.id)
        if known is not None and known.version >= case.version:
            return True
        through = Through(practice_id=self.practice_id, region=self._reader.place.region)
        before = None if known is None else _snapshot(known)
        since = self._cursor.began_at
        for seen in events_between(before, case, self._reader.find, through=through, since=since):
            if enough():
                return False
            try:
                self._handler(seen.event)
            except Exception as error:
                raise HandlerFailedError(f"the handler raised {type(error).__name__}") from error
            # Only now, and at once: whatever kills this process, the next one goes on from here.
            self._store.watches.put_case(self._plan.name, self.practice_id, _watched(seen))
            self.delivered += 1
        return True


def _snapshot(known: WatchedCase) -> Snapshot:
    try:
        standing = Standing(known.standing)
    except ValueError:  # a newer version of this package has written it
        standing = Standing.OTHER
    return Snapshot(
        version=known.version,
        state=known.state,
        state_flag=known.state_flag,
        designs=known.designs,
        standing=standing,
    )


def _watched(seen: Seen) -> WatchedCase:
    snapshot = seen.snapshot
    return WatchedCase(
        case_id=seen.event.case_id,
        version=snapshot.version,
        state=snapshot.state,
        state_flag=snapshot.state_flag,
        designs=snapshot.designs,
        standing=snapshot.standing.value,
    )
