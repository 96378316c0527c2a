"""How far a watch on cases has come: ids, versions, states and digests, and nothing about a patient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.clock import from_timestamp
from connector.store.database import Execute
from connector.store.vault import Vault

__all__ = ["CursorRecords", "WatchCursor", "WatchedCase", "delete_cursors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCursor:
    """How far a watch has come with one practice.

    Attributes:
        began_at: events before this moment are not delivered.
        read_from: everything before this moment has been delivered.
    """

    began_at: datetime
    read_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCase:
    """The last version of a case of which every event has been delivered.

    Attributes:
        designs: digest of its designs.
        standing: where it stood.
    """

    case_id: str
    version: int
    state: str | None
    state_flag: str | None
    designs: str
    standing: str


class CursorRecords(Vault):
    """The part of the store that lets a watch be killed and started again."""

    def watch_cursor(self, watch: str, practice_id: str) -> WatchCursor | None:
        """Return how far a watch has come with a practice, or None if it has not begun.

        Args:
            watch: the watch's name; each has its own cursors.
            practice_id: whose cases.
        """
        row = self._one(
            "SELECT began_at, read_from FROM ormco_watches WHERE watch = ? AND practice_id = ?",
            (watch, practice_id),
        )
        if row is None:
            return None
        began_at, read_from = map(from_timestamp, row)
        return WatchCursor(began_at=began_at, read_from=read_from)

    def put_watch_cursor(self, watch: str, practice_id: str, cursor: WatchCursor) -> None:
        """Keep how far a watch has come, durably."""
        values = (watch, practice_id, cursor.began_at.timestamp(), cursor.read_from.timestamp())
        self._write(
            lambda execute: execute(
                "INSERT INTO ormco_watches (watch, practice_id, began_at, read_from) "
                "VALUES (?, ?, ?, ?) ON CONFLICT (practice_id, watch) DO UPDATE SET "
                "began_at = excluded.began_at, read_from = excluded.read_from",
                values,
            )
        )

    def watched_case(self, watch: str, practice_id: str, case_id: str) -> WatchedCase | None:
        """Return what a watch has delivered of a case last, or None if nothing."""
        row = self._one(
            "SELECT version, state, state_flag, designs, standing FROM ormco_watched_cases "
            "WHERE watch = ? AND practice_id = ? AND case_id = ?",
            (watch, practice_id, case_id),
        )
        if row is None:
            return None
        return WatchedCase(
            case_id=case_id,
            version=row[0],
            state=row[1],
            state_flag=row[2],
            designs=row[3],
            standing=row[4],
        )

    def put_watched_case(self, watch: str, practice_id: str, case: WatchedCase) -> None:
        """Keep that a case has been delivered up to a version, durably; it never goes back."""
        values = (
            watch,
            practice_id,
            case.case_id,
            case.version,
            case.state,
            case.state_flag,
            case.designs,
            case.standing,
        )
        self._write(
            lambda execute: execute(
                "INSERT INTO ormco_watched_cases "
                "(watch, practice_id, case_id, version, state, state_flag, designs, standing) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (practice_id, watch, case_id) DO UPDATE SET "
                "version = excluded.version, state = excluded.state, state_flag = excluded.state_flag, "
                "designs = excluded.designs, standing = excluded.standing "
                "WHERE excluded.version > ormco_watched_cases.version",
                values,
            )
        )


def delete_cursors(execute: Execute, practice_id: str) -> None:
    """Forget how far any watch has come with a practice, inside the caller's transaction."""
    execute("DELETE FROM ormco_watches WHERE practice_id = ?", (practice_id,))
    execute("DELETE FROM ormco_watched_cases WHERE practice_id = ?", (practice_id,))
