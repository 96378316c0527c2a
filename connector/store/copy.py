"""Copy a store to another database, row by row. A copy can be resumed, and is checked at the end.

Rows are copied unchanged. Sealed values are bound to the id of their store, so the copy takes over that id
and opens with the same keys. Copying needs no key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.errors import StoreError, StoreLockedError
from connector.store.database import Database, Statement, marks

__all__ = ["NOT_COPIED", "TABLES", "CopyReport", "copy_store"]

Progress = Callable[[str, int], object]
_Key = tuple[Any, ...]
_Rows = dict[_Key, tuple[Any, ...]]  # in order

_PAGE = 250
# The source may be in use: the next pass copies rows that changed meanwhile.
_PASSES = 5
# Table → its primary key.
TABLES: Mapping[str, tuple[str, ...]] = {
    "ormco_store": ("id",),
    "ormco_providers": ("provider",),
    "ormco_connections": ("practice_id", "slot"),
    "ormco_requests": ("state_digest",),
    "ormco_spent_codes": ("digest",),
    "ormco_watches": ("practice_id", "watch"),
    "ormco_watched_cases": ("practice_id", "watch", "case_id"),
    "ormco_watch_claims": ("practice_id", "watch"),
    "ormco_event_counter": ("id",),
    "ormco_events": ("sequence",),
}
# Tables that each database makes itself, or that are of no use to another.
NOT_COPIED = frozenset({"ormco_schema", "ormco_leases", "ormco_key_holders", "ormco_states"})
# The audit record is append-only; only the details of a forgotten practice are ever changed.
_CHANGEABLE = {"ormco_events": ("detail",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """The result of a copy.

    Attributes:
        rows: rows in the copy, by table; each was compared with the source.
        written: the number of rows that this run has written.
        deleted: rows that an earlier run had copied and the source has deleted since.
    """

    rows: Mapping[str, int]
    written: int
    deleted: int


def copy_store(
    source: Database,
    target: Database,
    *,
    progress: Progress = lambda table, done: None,
    page: int = _PAGE,
) -> CopyReport:
    """Copy everything, and compare each row afterwards; a run that was interrupted is finished by the next.

    Args:
        source: the store; it is not changed, and may be in use until the end.
        target: an empty database, or an earlier copy of the same store.
        progress: called with a table and the number of its rows that are done.
        page: the number of rows to copy at a time.

    Raises:
        connector.errors.StoreError: the target is another store, or was used since it was copied.
        connector.errors.StoreLockedError: the source keeps changing.
    """
    target.open()
    _require_copy(source, target)
    _require_unused(source, target, page)
    target.apply([("UPDATE ormco_store SET store_id = ?", (source.store_id,))])
    target.store_id = source.store_id
    tables = [_Table(source, target, name, page) for name in TABLES]
    refreshing = f"SELECT 1 FROM ormco_connections WHERE refresh_until > {source.dialect.now} LIMIT 1"  # noqa: S608
    written = deleted = 0
    for _ in range(_PASSES):
        rows, changed, gone = {}, 0, 0
        for table in (*tables, tables[-2]):  # inserted events move the counter
            rows[table.name], changes = table.copy(progress)
            changed += changes
            gone += table.delete_others()
        written, deleted = written + changed, deleted + gone
        # The new tokens of a refresh in progress would be missing in the copy.
        if not changed and not gone and not source.all(refreshing, ()):
            return CopyReport(rows=rows, written=written, deleted=deleted)
    raise StoreLockedError(
        "the store changed while it was copied; its earlier content is copied",
        hint="End the programs that use it, and copy again: only the changes remain.",
    )


def _require_copy(source: Database, target: Database) -> None:
    """Refuse to write into another store; an interrupted copy has the source's id already."""
    ids = [database.all("SELECT store_id FROM ormco_store", ()) for database in (source, target)]
    if ids[0] == ids[1]:
        return
    used = [
        name
        for name in ("ormco_connections", "ormco_events", "ormco_requests")
        if target.all(f"SELECT 1 FROM {name} LIMIT 1", ())  # noqa: S608 - our own names
    ]
    if used:
        raise StoreError(
            "the target is another store, with its own connections or events",
            hint="Copy to an empty database, or to an earlier copy of the same store.",
        )


def _require_unused(source: Database, target: Database, page: int) -> None:
    """Refuse to replace newer tokens of the target by old ones."""
    connections = _Table(source, target, "ormco_connections", page, ("connected_at", "generation"))
    if _has_other_events(source, target) or connections.is_ahead():
        raise StoreError(
            "the target was used since it was copied; a copy would replace newer tokens with old ones",
            hint="Copy in the other direction, or to an empty database. Nothing was changed.",
        )


def _has_other_events(source: Database, target: Database) -> bool:
    """Return whether the target's last event is missing in the source, other than by pruning."""
    last = "SELECT sequence, nonce FROM ormco_events ORDER BY sequence DESC LIMIT 1"
    for sequence, nonce in target.all(last, ()):
        same = source.all("SELECT nonce FROM ormco_events WHERE sequence = ?", (sequence,))
        newest = source.all(last, ())
        return same[0][0] != nonce if same else not newest or newest[0][0] < sequence
    return False


class _Table:
    """One table on both sides.

    Args:
        page: the number of rows to read at a time.
        only: the columns to compare besides the key; empty: all.
    """

    def __init__(
        self, source: Database, target: Database, name: str, page: int, only: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._source, self._target, self._page = source, target, page
        self._key = TABLES[name]
        there = _columns(target, name)
        # A column that only one database has is its own row number.
        self._others = [
            one for one in only or _columns(source, name) if one in there and one not in self._key
        ]
        self._columns = ", ".join([*self._key, *self._others])
        self._where = " AND ".join(f"{column} = ?" for column in self._key)

    def copy(self, progress: Progress) -> tuple[int, int]:
        """Write the rows that are missing or differ; return the numbers of all rows and of written rows."""
        done = written = 0
        for page in self._pages(self._source):
            present = self._same(self._target, page)
            missing = [(*key, *row) for key, row in page.items() if key not in present]
            differing = [(key, row) for key, row in page.items() if present.get(key, row) != row]
            statements = [self._update(key, row) for key, row in differing]
            if missing:
                values = ", ".join([f"({marks(missing[0])})"] * len(missing))
                sql = f"INSERT INTO {self.name} ({self._columns}) VALUES {values}"  # noqa: S608
                statements.append((sql, [value for row in missing for value in row]))
            if statements:
                self._target.apply(statements)
            done, written = done + len(page), written + len(missing) + len(differing)
            progress(self.name, done)
        return done, written

    def is_ahead(self) -> bool:
        """Return whether a row of the target has greater values than the source's."""
        for page in self._pages(self._target):
            of_source = self._same(self._source, page)
            for key, row in page.items():
                if [value or 0 for value in row] > [value or 0 for value in of_source.get(key, row)]:
                    return True
        return False

    def delete_others(self) -> int:
        """Delete rows that the source does not have any more; return their number."""
        deleted = 0
        for page in self._pages(self._target):
            gone = page.keys() - self._same(self._source, page).keys()
            if gone:
                self._target.apply([(f"DELETE FROM {self.name} WHERE {self._where}", key) for key in gone])  # noqa: S608
            deleted += len(gone)
        return deleted

    def _pages(self, database: Database) -> Iterator[_Rows]:
        """Yield the rows in pages, in the order in which this database sorts the key."""
        key, after = ", ".join(self._key), _Key()
        while True:
            where = f"WHERE ({key}) > ({marks(self._key)}) " if after else ""
            sql = f"SELECT {self._columns} FROM {self.name} {where}ORDER BY {key} LIMIT {self._page}"  # noqa: S608
            if not (page := self._keyed(database.all(sql, after))):
                return
            yield page
            *_, after = page

    def _same(self, database: Database, page: _Rows) -> _Rows:
        """Return the rows of a database that have the keys of a page."""
        # Both databases use the index for a join; for an IN list they would read the whole table.
        wanted = [f"wanted_{column}" for column in self._key]
        places = ", ".join([f"({marks(self._key)})"] * len(page))
        on = " AND ".join(f"{column} = {key}" for column, key in zip(self._key, wanted, strict=True))
        sql = (
            f"WITH wanted ({', '.join(wanted)}) AS (VALUES {places}) "  # noqa: S608
            f"SELECT {self._columns} FROM wanted JOIN {self.name} ON {on}"
        )
        return self._keyed(database.all(sql, [part for key in page for part in key]))

    def _keyed(self, rows: Sequence[Sequence[Any]]) -> _Rows:
        plain = [tuple(bytes(one) if isinstance(one, memoryview) else one for one in row) for row in rows]
        return {row[: len(self._key)]: row[len(self._key) :] for row in plain}

    def _update(self, key: _Key, row: tuple[Any, ...]) -> Statement:
        changed = _CHANGEABLE.get(self.name, self._others)
        values = dict(zip(self._others, row, strict=True))
        sets = ", ".join(f"{column} = ?" for column in changed)
        args = (*(values[column] for column in changed), *key)
        return f"UPDATE {self.name} SET {sets} WHERE {self._where}", args  # noqa: S608


def _columns(database: Database, table: str) -> list[str]:
    if database.dialect.concurrent_indexes:
        sql = (
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(?) "
            "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
    else:
        sql = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
    return [row[0] for row in database.all(sql, (table,))]
