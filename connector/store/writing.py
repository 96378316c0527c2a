"""How a connection is written: durably, with its events, and only in place of what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from connector.connection import Event, Grant
from connector.errors import SettingError
from connector.store.audit import EVENT_COLUMNS, AuditRecords, EventRow, insert_events
from connector.store.database import Execute, Statement
from connector.store.fence import admit
from connector.store.rows import (
    CONNECTION_COLUMNS,
    Stored,
    as_stored,
    changes,
    note_on,
    sealed,
    to_connection,
)
from connector.store.sealing import KeyRing
from connector.store.vault import new_mark

__all__ = ["GrantRecords"]

_LONGEST_PRACTICE_ID = 200


class GrantRecords(AuditRecords):
    """The part of the store that changes connections."""

    def put(self, grant: Grant, *, expected_generation: int | None, events: Sequence[Event] = ()) -> Grant:
        """Store a connection, its secrets and the events that go with them, durably and at once.

        Args:
            grant: what to store; best made from the grant that was read, by `dataclasses.replace`.
            expected_generation: the token generation that was read, or None if there must be no connection.
            events: what the audit record says of it.

        Returns:
            What is stored now.

        Raises:
            FencedError: if another process has stored something newer; nothing was changed.
        """
        _check_practice_id(grant.connection.practice_id)
        write = _Write(grant, expected_generation, self._ring or self._keys(), self._event_rows(events))
        note, stored = note_on(grant), None
        if note is not None and note.connection.token_generation == expected_generation:
            statements = write.statements(note, one=self._db.dialect.changes_two_tables_at_once)
            stored = write.stored if self._apply(statements)[0] else None
        if stored is None:
            for_update = self._db.dialect.for_update
            stored = self._write(lambda execute: write.admitted(execute, for_update))
        self._tell(events)
        return stored


class _Write:
    """One write of a grant; may be tried more than once, and knows its own traces."""

    def __init__(
        self, grant: Grant, expected_generation: int | None, ring: KeyRing, events: Sequence[EventRow]
    ) -> None:
        self._grant = grant
        self._practice_id = grant.connection.practice_id
        self._expected_generation = expected_generation
        self._ring = ring
        self._events = events
        self._mark = new_mark()

    @property
    def stored(self) -> Grant:
        """The grant as it is stored by this write."""
        return as_stored(self._grant, self._mark)

    def statements(self, note: Stored, *, one: bool) -> list[Statement]:
        """Return what writes the differences, without an answer in between, if the row is as it was read.

        Args:
            note: what was read.
            one: have one statement do it all.
        """
        values = self._sealed(changes(self._grant, note))
        args = (*values.values(), self._practice_id, note.revision)
        if one and self._events:
            sql = _update_and_tell_sql(tuple(values), len(self._events))
            return [(sql, (*args, *chain.from_iterable(self._events)))]
        update: Statement = (_update_sql(tuple(values)), args)
        return [update, *[(_TELL_SQL, (*row, self._practice_id, self._mark)) for row in self._events]]

    def admitted(self, execute: Execute, for_update: str) -> Grant:
        """Write all of the grant, if what is stored now lets it in."""
        sql = f"SELECT {CONNECTION_COLUMNS}, revision FROM ormco_connections WHERE practice_id = ?"  # noqa: S608
        row = execute(sql + for_update, (self._practice_id,)).fetchone()
        if row is not None and row[-1] == self._mark:  # the commit of which nobody heard had gone through
            return as_stored(replace(self._grant, connection=to_connection(row)), self._mark)
        present, revision = (None, 0) if row is None else (to_connection(row), row[-1])
        note = note_on(self._grant)
        read = None if note is None else note.revision
        grant = admit(
            self._grant, present, read=read, stored=revision, expected_generation=self._expected_generation
        )
        _upsert(execute, self._sealed(changes(grant, None)))
        insert_events(execute, self._events)
        return as_stored(grant, self._mark)

    def _sealed(self, values: dict[str, object]) -> dict[str, object]:
        values = sealed(values, self._ring, self._practice_id)
        values["revision"] = self._mark
        return values


_MARKS = ", ".join("?" * 8)
_TELL_SQL = (
    f"INSERT INTO ormco_events ({EVENT_COLUMNS}) SELECT {_MARKS} WHERE EXISTS "  # noqa: S608 - names of columns
    "(SELECT 1 FROM ormco_connections WHERE practice_id = ? AND revision = ?) ON CONFLICT DO NOTHING"
)


@lru_cache
def _update_sql(columns: tuple[str, ...]) -> str:
    names = ", ".join(f"{column} = ?" for column in columns)
    return f"UPDATE ormco_connections SET {names} WHERE practice_id = ? AND revision = ?"  # noqa: S608


@lru_cache
def _update_and_tell_sql(columns: tuple[str, ...], events: int) -> str:
    told = " UNION ALL ".join([f"SELECT {_MARKS} FROM changed"] * events)  # noqa: S608
    return (
        f"WITH changed AS ({_update_sql(columns)} RETURNING 1) "
        f"INSERT INTO ormco_events ({EVENT_COLUMNS}) {told} ON CONFLICT DO NOTHING"
    )


def _upsert(execute: Execute, values: dict[str, object]) -> None:
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    excluded = ", ".join(f"{name} = excluded.{name}" for name in values)
    execute(
        f"INSERT INTO ormco_connections ({names}) VALUES ({marks}) "  # noqa: S608 - names of columns
        f"ON CONFLICT (practice_id) DO UPDATE SET {excluded}",
        list(values.values()),
    )


def _check_practice_id(practice_id: str) -> None:
    if not practice_id.isprintable() or not 0 < len(practice_id) <= _LONGEST_PRACTICE_ID:
        raise SettingError(
            "that is not a practice id",
            hint=f"Use up to {_LONGEST_PRACTICE_ID} visible characters, such as practice-42.",
        )
