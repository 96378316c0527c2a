"""Store the positions of watches on cases, so that a watch can be killed and started again.

Only ids, versions, states and digests are stored, nothing about patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.clock import from_timestamp
from connector.store.database import Database, marks

__all__ = ["CURSOR_TABLES", "WatchCursor", "WatchRecords", "WatchedCase"]

CURSOR_TABLES = ("ormco_watches", "ormco_watched_cases", "ormco_watch_claims")
_CASE_COLUMNS = ("case_id", "version", "state", "state_flag", "designs", "standing", "content")
_CHUNK = 400
_PORTION = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCursor:
    """The position of a watch for one practice.

    Attributes:
        began_at: events before this time are not delivered.
        read_from: everything before this time has been delivered.
    """

    began_at: datetime
    read_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCase:
    """The last version of a case whose events have all been delivered.

    Attributes:
        designs: digest of its designs.
        standing: its `CaseStatus`.
        content: digest of the whole version; it distinguishes versions without a number.
    """

    case_id: str
    version: int
    state: str | None
    state_flag: str | None
    designs: str
    standing: str
    content: str = ""


class WatchRecords:
    """Reads and writes the cursors and the delivered cases of each watch, by its name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def cursor(self, watch: str, practice_id: str) -> WatchCursor | None:
        """Return the position of a watch for a practice, or None if it has not begun."""
        sql = "SELECT began_at, read_from FROM ormco_watches WHERE watch = ? AND practice_id = ?"
        row = self._db.one(sql, (watch, practice_id))
        if row is None:
            return None
        began_at, read_from = map(from_timestamp, row)
        return WatchCursor(began_at=began_at, read_from=read_from)

    def put_cursor(self, watch: str, practice_id: str, cursor: WatchCursor) -> None:
        """Store the position of a watch durably."""
        sql = (
            "INSERT INTO ormco_watches (watch, practice_id, began_at, read_from) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (practice_id, watch) DO UPDATE SET "
            "began_at = excluded.began_at, read_from = excluded.read_from"
        )
        times = (cursor.began_at.timestamp(), cursor.read_from.timestamp())
        self._db.apply([(sql, (watch, practice_id, *times))])

    def cases(self, watch: str, practice_id: str, case_ids: Sequence[str]) -> dict[str, WatchedCase]:
        """Return the last delivered version of each of these cases that the watch knows."""
        found: dict[str, WatchedCase] = {}
        for start in range(0, len(case_ids), _CHUNK):
            ids = case_ids[start : start + _CHUNK]
            sql = (
                f"SELECT {', '.join(_CASE_COLUMNS)} FROM ormco_watched_cases "  # noqa: S608
                f"WHERE watch = ? AND practice_id = ? AND case_id IN ({marks(ids)})"
            )
            for row in self._db.all(sql, (watch, practice_id, *ids)):
                found[row[0]] = WatchedCase(**dict(zip(_CASE_COLUMNS, row, strict=True)))
        return found

    def put_case(self, watch: str, practice_id: str, case: WatchedCase) -> None:
        """Record durably the version up to which a case was delivered; a lower version changes nothing."""
        updates = ", ".join(f"{column} = excluded.{column}" for column in (*_CASE_COLUMNS[1:], "told_at"))
        sql = (
            f"INSERT INTO ormco_watched_cases (watch, practice_id, {', '.join(_CASE_COLUMNS)}, told_at) "  # noqa: S608
            f"VALUES ({'?, ' * (len(_CASE_COLUMNS) + 2)}{self._db.dialect.now}) "
            f"ON CONFLICT (practice_id, watch, case_id) DO UPDATE SET {updates} "
            "WHERE excluded.version >= ormco_watched_cases.version OR excluded.version = 0"
        )
        values = [getattr(case, column) for column in _CASE_COLUMNS]
        self._db.apply([(sql, (watch, practice_id, *values))])

    def prune(self, watch: str, keep_seconds: float) -> int:
        """Forget the cases without a new event for `keep_seconds`; return their number."""
        # In portions, because a long transaction would exceed the database's time limit and block others.
        sql = (
            "DELETE FROM ormco_watched_cases WHERE watch = ? AND (practice_id, watch, case_id) IN "  # noqa: S608
            "(SELECT practice_id, watch, case_id FROM ormco_watched_cases "
            f"WHERE watch = ? AND told_at < {self._db.dialect.now} - ? LIMIT {_PORTION})"
        )
        count = portion = 0
        while (portion := self._db.apply([(sql, (watch, watch, keep_seconds))])[0]) == _PORTION:
            count += portion
        return count + portion

    def reset(self, watch: str, practice_ids: Sequence[str] | None) -> None:
        """Forget the position of a watch for these practices, or for all; the next poll starts over."""
        which: list[tuple[str, tuple[str, ...]]] = [("", ())]
        if practice_ids is not None:
            which = [(" AND practice_id = ?", (each,)) for each in practice_ids]
        self._db.apply(
            [
                (f"DELETE FROM {table} WHERE watch = ?{condition}", (watch, *args))  # noqa: S608
                for table in CURSOR_TABLES
                for condition, args in which
            ]
        )
