"""The audit record: events are appended, read in commit order, and never changed; old ones can be deleted."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.calls import current_actor, facts_of_call
from connector.clock import from_timestamp
from connector.connection import ConnectionState, Event
from connector.errors import StoreDamagedError
from connector.observers import Observers
from connector.store.database import Database, Execute
from connector.store.owners import new_mark

__all__ = ["AuditLog"]

_COLUMNS = "sequence, at, kind, outcome, practice_id, actor, state, detail"
_BY_NONCE = "SELECT sequence FROM ormco_events WHERE nonce = ?"
_INSERTED = "sequence, nonce, at, kind, outcome, practice_id, actor, state, detail"
_PRUNED_AT_ONCE = 5000
_LAST = 2**63 - 1  # the greatest sequence number
_MONTH_SECONDS = 600.0  # timeout for counting the events of a month before it is dropped
# Two servers' clocks differ by less than this: no later event has a time that is this much earlier.
_CLOCKS_APART = 3600.0

_LOG = logging.getLogger("connector")
_DONE = {"ok", "begun", "pruned", "requested", "active", "none"}
_NEEDS_A_PERSON = {ConnectionState.NEEDS_REPAIR, ConnectionState.REVOKING}


class AuditLog:
    """The audit record: actions with their time and actor.

    Events are numbered as they are written: the counter's row stays locked until the commit, so the order of
    the numbers is the order of the commits.
    """

    def __init__(self, database: Database, *, actor: str = "") -> None:
        self._database = database
        self._actor = actor
        self._subscribers: Observers[Event] = Observers("a subscriber to events")
        self._deferred = threading.local()

    def event(self, kind: str, outcome: str, practice_id: str | None = None, **facts: Any) -> Event:
        """Return a new event with the current time; `facts` are its `state` and `detail`."""
        at = self._database.clock.utc_now()
        return Event(at=at, kind=kind, outcome=outcome, practice_id=practice_id, **facts)

    def append(self, event: Event) -> None:
        """Add an event without any other change."""
        self.recorded([event], lambda execute: True)

    def recorded(self, events: Sequence[Event], change: Callable[[Execute], bool]) -> bool:
        """Make a change and record its events in one transaction, then notify subscribers.

        `change` returns False if it has changed nothing. The actor and the facts of the library call are
        added to the events.

        Returns:
            Whether the change was made.
        """
        actor, facts = current_actor() or self._actor, facts_of_call()
        # A random number identifies each event before it has a sequence number.
        named = [
            (new_mark(), replace(event, actor=event.actor or actor, detail={**facts, **event.detail}))
            for event in events
        ]

        def work(execute: Execute) -> bool:
            if not change(execute):
                # If the response to a commit was lost, it is tried again, and finds its events.
                return bool(named) and execute(_BY_NONCE, (named[0][0],)).fetchone() is not None
            for nonce, event in named:
                _insert(execute, nonce, event)
            return True

        is_done = self._database.transact(work)
        if is_done:
            self.tell(named)
        return is_done

    def events(
        self,
        *,
        after: int = 0,
        practice_id: str | None = None,
        limit: int = 1000,
        last: bool = False,
        since: datetime | None = None,
    ) -> list[Event]:
        """Return events in the order in which they were committed, by any process; see `Connector.events`.

        An event with a smaller `sequence` never appears after a greater one has been seen.
        """
        if since is not None:
            after = max(after, self._before(since))
        where, args = "sequence > ?", [max(0, min(after, _LAST))]  # type: tuple[str, list[object]]
        for condition, value in (("practice_id = ?", practice_id), ("at >= ?", since and since.timestamp())):
            if value is not None:
                where, args = f"{where} AND {condition}", [*args, value]
        rows = self._database.all(
            f"SELECT {_COLUMNS} FROM ormco_events WHERE {where} "  # noqa: S608 - no value in it
            f"ORDER BY sequence {'DESC' if last else 'ASC'} LIMIT ?",
            (*args, limit),
        )
        return [_to_event(row) for row in (reversed(rows) if last else rows)]

    def prune(self, before: datetime) -> int:
        """Delete the events before a time, and record that; return the number of deleted events."""
        limit, done = before.timestamp(), 0
        begin = "UPDATE ormco_event_counter SET pruned_before = ? WHERE COALESCE(pruned_before, ?) <= ?"
        self._database.apply([(begin, (limit, limit, limit))])
        month = self._database.dialect.drop_month
        while (count := self._database.all(month, (), timeout=_MONTH_SECONDS)[0][0]) is not None:
            done += count
        # In batches: one transaction over years of events would block every writer of the record.
        delete = (
            "DELETE FROM ormco_events WHERE at < ? AND sequence IN "
            "(SELECT sequence FROM ormco_events WHERE at < ? ORDER BY at LIMIT ?)"
        )
        while count := self._database.apply([(delete, (limit, limit, _PRUNED_AT_ONCE))])[0]:
            done += count
        detail = {"before": before.isoformat(), "deleted": str(done)}
        self.append(self.event("audit", "pruned", detail=detail))
        return done

    def _before(self, since: datetime) -> int:
        """Return a sequence number that is less than those of all events since a time."""
        sql = "SELECT sequence FROM ormco_events WHERE at >= ? ORDER BY at, sequence LIMIT 1"
        first = self._database.one(sql, (since.timestamp() - _CLOCKS_APART,))
        return 0 if first is None else first[0] - 1

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call a function with every event of this process; see `Connector.subscribe`."""
        return self._subscribers.add(subscriber)

    def tell(self, named: Sequence[tuple[int, Event]]) -> None:
        """Call subscribers with stored events; inside a `deferred` block, at its end."""
        waiting = getattr(self._deferred, "waiting", None)
        if waiting is not None:
            waiting.extend(named)
            return
        for _, event in named:
            _log(event)
        for nonce, event in named if self._subscribers.callbacks else ():
            if (row := self._database.one(_BY_NONCE, (nonce,))) is not None:
                self._subscribers.tell(replace(event, sequence=row[0]))

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Notify subscribers after the block, because a subscriber may need a lock that the block holds."""
        if getattr(self._deferred, "waiting", None) is not None:
            yield
            return
        waiting: list[tuple[int, Event]] = []
        self._deferred.waiting = waiting
        try:
            yield
        finally:
            self._deferred.waiting = None
            self.tell(waiting)


def _insert(execute: Execute, nonce: int, event: Event) -> None:
    """Add an event, unless it exists already."""
    execute("UPDATE ormco_event_counter SET last = last + 1", ())
    execute(
        f"INSERT INTO ormco_events ({_INSERTED}) SELECT counter.last, ?, ?, ?, ?, ?, ?, ?, ? "  # noqa: S608
        "FROM ormco_event_counter counter WHERE true ON CONFLICT (nonce) DO NOTHING",
        (
            nonce,
            event.at.timestamp(),
            event.kind,
            event.outcome,
            event.practice_id,
            event.actor,
            event.state and event.state.value,
            json.dumps(dict(event.detail), sort_keys=True),
        ),
    )


def _log(event: Event) -> None:
    """Log a stored event: INFO for a success, WARNING for a failure, ERROR if a person is needed."""
    if event.kind == "refresh":  # each attempt is logged where it is made, with its error
        return
    if event.outcome in _DONE:
        level = logging.INFO
    elif event.state in _NEEDS_A_PERSON or event.outcome == "consent_required":
        level = logging.ERROR
    else:
        level = logging.WARNING
    whose = event.practice_id or "the store"
    extra = {"practice_id": event.practice_id, "kind": event.kind, "actor": event.actor}
    _LOG.log(level, "%s of %s: %s", event.kind, whose, event.outcome, extra=extra)


def _to_event(row: Sequence[Any]) -> Event:
    try:
        if {*map(type, row[2:6])} - {str, type(None)}:
            raise TypeError
        return replace(
            Event(at=from_timestamp(row[1]), kind=row[2], outcome=row[3]),
            sequence=row[0],
            practice_id=row[4],
            actor=row[5],
            state=None if row[6] is None else ConnectionState(row[6]),
            detail=json.loads(row[7]),
        )
    except (ValueError, TypeError, OverflowError, OSError):
        raise StoreDamagedError(
            "an event of the audit record is damaged", hint="Restore the store from a backup."
        ) from None
