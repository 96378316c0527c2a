"""The audit record: appended to, read in the order of the commits, never changed but to end what is old."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from connector.calls import current_actor, facts_of_call
from connector.clock import from_timestamp
from connector.connection import ConnectionState, Event
from connector.errors import StoreDamagedError
from connector.store.database import Database, Statement
from connector.store.row import new_mark

__all__ = ["AuditLog", "Guard"]

_COLUMNS = "sequence, at, kind, outcome, practice_id, actor, state, detail"
_INSERTED = "sequence, nonce, at, kind, outcome, practice_id, actor, state, detail"
_PRUNED_AT_ONCE = 5000
_LAST = 2**63 - 1  # the greatest number that a database has for a sequence
_MONTH_SECONDS = 600.0  # to count the events of a month that is dropped
# Two servers' clocks are less apart than this: an event that comes later has no time that is so much earlier.
_CLOCKS_APART = 3600.0

Subscriber = Callable[[Event], object]
_LOG = logging.getLogger("connector")
_DONE = {"ok", "begun", "pruned", "requested", "active", "none"}
_NEEDS_A_PERSON = {ConnectionState.NEEDS_REPAIR, ConnectionState.REVOKING}


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition under which events are recorded: that the change they belong to was made.

    Attributes:
        sql: the condition.
        args: its parameters.
    """

    sql: str = "1 = 1"
    args: Sequence[object] = ()


_ALWAYS = Guard()


class AuditLog:
    """What was done, when, by whom.

    Events are numbered as they are written: the counter's row stays locked until the commit, so that the
    order of the numbers is the order of the commits, and a reader never has to write.

    Args:
        database: where it is kept.
        actor: who acts, if an event does not say.
    """

    def __init__(self, database: Database, *, actor: str = "") -> None:
        self._database = database
        self._actor = actor
        self._subscribers: tuple[Subscriber, ...] = ()
        self._deferred = threading.local()

    def append(self, event: Event) -> None:
        """Add an event that goes with no other change."""
        named = self.named([event])
        self._database.apply(self.statements(named, _ALWAYS))
        self.tell(named)

    def named(self, events: Sequence[Event]) -> list[tuple[int, Event]]:
        """Give events their actor and the facts of the library call that they are of.

        Each gets a random number, too, by which it is known before it has a place.
        """
        actor, facts = current_actor() or self._actor, facts_of_call()
        return [
            (new_mark(), replace(event, actor=event.actor or actor, detail={**facts, **event.detail}))
            for event in events
        ]

    def statements(self, named: Sequence[tuple[int, Event]], guard: Guard) -> list[Statement]:
        """Return what records events if a condition holds; it may run a second time."""
        found: list[Statement] = []
        for nonce, event in named:
            found.append(
                (f"UPDATE ormco_event_counter SET last = last + 1 WHERE {guard.sql}", guard.args)  # noqa: S608
            )
            values = (
                nonce,
                event.at.timestamp(),
                event.kind,
                event.outcome,
                event.practice_id,
                event.actor,
                event.state and event.state.value,
                json.dumps(dict(event.detail), sort_keys=True),
            )
            found.append(
                (
                    f"INSERT INTO ormco_events ({_INSERTED}) SELECT counter.last, ?, ?, ?, ?, ?, ?, ?, ? "  # noqa: S608
                    f"FROM ormco_event_counter counter WHERE {guard.sql} ON CONFLICT (nonce) DO NOTHING",
                    (*values, *guard.args),
                )
            )
        return found

    def events(
        self,
        *,
        after: int = 0,
        practice_id: str | None = None,
        limit: int = 1000,
        last: bool = False,
        since: datetime | None = None,
    ) -> list[Event]:
        """Return events in the order in which they were committed, by whatever process.

        An event with a smaller `sequence` never appears after one with a greater has been seen.

        Args:
            after: the `sequence` of the last event that was seen.
            practice_id: only this practice's.
            limit: how many at most.
            last: the last ones rather than the first.
            since: only those from this time on.
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

    def prune(self, before: datetime, *, at: datetime) -> int:
        """Delete the events before a time, and record that; return how many they were.

        Args:
            before: the time.
            at: now.
        """
        limit, done = before.timestamp(), 0
        self._database.apply(
            [
                (
                    "UPDATE ormco_event_counter SET pruned_before = ? "
                    "WHERE pruned_before IS NULL OR pruned_before < ?",
                    (limit, limit),
                )
            ]
        )
        month = self._database.dialect.drop_month
        while (count := self._database.all(month, (), timeout=_MONTH_SECONDS)[0][0]) is not None:
            done += count
        # In batches: one transaction over years of events would hold up every writer of the record.
        delete = (
            "DELETE FROM ormco_events WHERE at < ? AND sequence IN "
            "(SELECT sequence FROM ormco_events WHERE at < ? ORDER BY at LIMIT ?)"
        )
        while count := self._database.apply([(delete, (limit, limit, _PRUNED_AT_ONCE))])[0]:
            done += count
        detail = {"before": before.isoformat(), "deleted": str(done)}
        self.append(Event(at=at, kind="audit", outcome="pruned", detail=detail))
        return done

    def _before(self, since: datetime) -> int:
        """Return a sequence that all events from a time on are after, without reading the record."""
        sql = "SELECT sequence FROM ormco_events WHERE at >= ? ORDER BY at, sequence LIMIT 1"
        first = self._database.one(sql, (since.timestamp() - _CLOCKS_APART,))
        return 0 if first is None else first[0] - 1

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have every event of this process told, once it is stored, in the thread that stored it.

        Args:
            subscriber: called with each event; what it raises is logged and goes no further.

        Returns:
            What ends the subscription.
        """
        self._subscribers = (*self._subscribers, subscriber)

        def end() -> None:
            self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

        return end

    def tell(self, named: Sequence[tuple[int, Event]]) -> None:
        """Tell subscribers of events that are stored; in a `deferred` block, when it ends."""
        waiting = getattr(self._deferred, "waiting", None)
        if waiting is not None:
            waiting.extend(named)
            return
        for _, event in named:
            _log(event)
        if not self._subscribers:
            return
        for nonce, event in named:
            row = self._database.one("SELECT sequence FROM ormco_events WHERE nonce = ?", (nonce,))
            if row is not None:
                self._tell(replace(event, sequence=row[0]))

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Tell of events when the block has ended: a subscriber may call what the block holds a lock for."""
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

    def _tell(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                _LOG.exception("a subscriber to events failed")


def _log(event: Event) -> None:
    """Log an event that is stored: what was done, what failed, and if a person is needed."""
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
            "an event of the audit record cannot be right", hint="Restore the store from a backup."
        ) from None
