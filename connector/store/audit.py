"""The audit record: appended to, read in the order of the commits, never changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from connector.clock import from_timestamp
from connector.connection import ConnectionState, Event
from connector.store.database import Execute
from connector.store.vault import Vault, new_mark

__all__ = ["EVENT_COLUMNS", "AuditRecords", "EventRow", "insert_events"]

EVENT_COLUMNS = "nonce, at, kind, outcome, practice_id, actor, state, detail"
EventRow = tuple[object, ...]
_COLUMNS = "sequence, at, kind, outcome, practice_id, actor, state, detail"


class AuditRecords(Vault):
    """The part of the store that remembers what was done."""

    _subscribers: tuple[Callable[[Event], object], ...] = ()

    def append_event(self, event: Event) -> None:
        """Add an entry that goes with no other change."""
        rows = self._event_rows([event])
        self._write(lambda execute: insert_events(execute, rows))
        self._tell([event])

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
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

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            for subscriber in self._subscribers:
                try:
                    subscriber(replace(event, actor=event.actor or self._actor))
                except Exception:
                    logging.getLogger("connector").exception("a subscriber to events failed")

    def events(
        self, *, after: int = 0, practice_id: str | None = None, limit: int = 1000, last: bool = False
    ) -> list[Event]:
        """Return entries in the order in which they were committed, by whatever process.

        An entry with a smaller `sequence` never appears after one with a greater has been seen.

        Args:
            after: the `sequence` of the last entry that was seen.
            practice_id: only this practice's.
            limit: how many at most.
            last: the last ones rather than the first.
        """
        if not self._ready and not self._open_existing():
            return []
        self._db.settle_events()
        where = "sequence > ?" if practice_id is None else "sequence > ? AND practice_id = ?"
        args = (after, limit) if practice_id is None else (after, practice_id, limit)
        rows = self._all(
            f"SELECT {_COLUMNS} FROM ormco_events WHERE {where} "  # noqa: S608 - no value in it
            f"ORDER BY sequence {'DESC' if last else 'ASC'} LIMIT ?",
            args,
        )
        return [_to_event(row) for row in (reversed(rows) if last else rows)]

    def _event_rows(self, events: Sequence[Event]) -> list[EventRow]:
        return [
            (
                new_mark(),
                event.at.timestamp(),
                event.kind,
                event.outcome,
                event.practice_id,
                event.actor or self._actor,
                event.state and event.state.value,
                json.dumps(dict(event.detail), sort_keys=True),
            )
            for event in events
        ]


def insert_events(execute: Execute, rows: Sequence[EventRow]) -> None:
    """Add entries inside the caller's transaction."""
    for row in rows:
        execute(
            f"INSERT INTO ormco_events ({EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
            "ON CONFLICT DO NOTHING",
            row,
        )


def _to_event(row: Sequence[Any]) -> Event:
    return replace(
        Event(at=from_timestamp(row[1]), kind=row[2], outcome=row[3]),
        sequence=row[0],
        practice_id=row[4],
        actor=row[5],
        state=None if row[6] is None else ConnectionState(row[6]),
        detail=json.loads(row[7]),
    )
