"""The store: connections, their tokens, and the locks under which those change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from connector.connection import Connection, Event, Grant, not_found
from connector.errors import StoreError
from connector.store.access import AccessRecords
from connector.store.audit import insert_events
from connector.store.cursors import WatchDatabase, WatchRecords, delete_cursors
from connector.store.database import Execute
from connector.store.keys import FILE, key_file
from connector.store.locking import LockRecords
from connector.store.owner import this_process
from connector.store.requests import RequestRecords
from connector.store.rotation import KeyRecords
from connector.store.rows import (
    CONNECTION_COLUMNS,
    GRANT_COLUMNS,
    to_connection,
    to_grant,
)
from connector.store.vault import new_mark
from connector.store.watch_claims import WatchClaims
from connector.store.writing import GrantRecords

__all__ = ["Store"]

_PAGE = 500
_GRANT_SQL = f"SELECT {GRANT_COLUMNS} FROM ormco_connections WHERE practice_id = ?"  # noqa: S608

_CLAIM_SQL = (
    "UPDATE ormco_connections SET refresh_sent_at = ?, refresh_owner = ?, revision = ? WHERE practice_id = ? "
    "AND generation = ? AND state = 'connected' AND due_at IS NOT NULL "
    "AND (unproven IS NULL OR confirm_by IS NOT NULL) "
    "AND retry_at IS NULL AND (refresh_sent_at IS NULL AND {ours} OR revision = ?)"
)
_WITHDRAW_SQL = (
    "UPDATE ormco_connections SET refresh_sent_at = NULL, refresh_owner = NULL "
    "WHERE practice_id = ? AND revision = ?"
)


class Store(AccessRecords, RequestRecords, LockRecords, KeyRecords, GrantRecords):
    """Everything that is kept, for one process; any number of processes may have it open.

    Every change of a connection is made by whoever holds its lock; the fence in `put` is for those that lost
    it without knowing.
    """

    @property
    def watches(self) -> WatchRecords:
        """How far the watches on cases have come."""
        return WatchRecords(self._watch_database)

    @property
    def watch_claims(self) -> WatchClaims:
        """Which process looks at a practice next, for a watch that many share."""
        return WatchClaims(self._watch_database)

    @property
    def _watch_database(self) -> WatchDatabase:
        return WatchDatabase(
            dialect=self._db.dialect, one=self._one, all=self._all, write=self._write, apply=self._apply
        )

    def check(self) -> None:
        """Prove that the store can be written and its key is right, before anything is spent.

        Raises:
            connector.errors.StoreError: if not.
        """
        self._keys()
        self._prove_key()
        now = self.clock.time()
        self._write(lambda execute: execute("UPDATE ormco_store SET checked_at = ?", (now,)))
        self._db.make_room()

    def make_room(self) -> None:
        """Make sure that the next token set can be written even if the disk is getting full.

        Raises:
            connector.errors.StoreUnavailableError: if there is no room already.
        """
        self._db.open()
        self._db.make_room()

    def get(self, practice_id: str) -> Grant | None:
        """Return a practice's connection with its secrets."""
        row = self._one(_GRANT_SQL, (practice_id,)) if practice_id.isprintable() else None
        return None if row is None else self._opened(lambda ring: to_grant(row, ring))

    def lock_and_get(self, practice_id: str) -> tuple[bool, Grant | None]:
        """Take a practice's lock as `try_lock` does; return whether it is taken, and the connection after."""
        is_ours, row = self._db.lock_and_fetch(practice_id, _GRANT_SQL, (practice_id,))
        return is_ours, self._grant_under_lock(practice_id, is_ours, row)

    def claim(self, practice_id: str, generation: int) -> tuple[bool, Grant | None]:
        """Take a practice's lock as `try_lock` does, and record the intent to refresh its tokens.

        Args:
            practice_id: whose.
            generation: of the tokens that are to be refreshed.

        Returns:
            Whether the lock is taken; and the connection with the intent. It is None, and nothing is
            recorded, where somebody has to look first: there are newer tokens, or unproven ones, or no
            refresh token; an earlier attempt failed, or its answer is not known; or it is not connected.
        """
        self.make_room()
        mark = new_mark()
        args = (self.clock.time(), this_process(), mark, practice_id, generation, mark)
        is_ours, row = self._db.lock_and_change(practice_id, _CLAIM_SQL, args, columns=GRANT_COLUMNS)
        try:
            return is_ours, self._grant_under_lock(practice_id, is_ours, row)
        except Exception:
            with suppress(StoreError):
                self._write(lambda execute: execute(_WITHDRAW_SQL, (practice_id, mark)))
            raise

    def _grant_under_lock(self, practice_id: str, is_ours: bool, row: Any) -> Grant | None:
        """Read a row that came with a lock; where that fails the lock is given back."""
        if row is None:
            return None
        try:
            return self._opened(lambda ring: to_grant(row, ring))
        except BaseException:
            if is_ours:
                self.unlock(practice_id)
            raise

    def connection(self, practice_id: str) -> Connection | None:
        """Return a practice's connection; needs no key."""
        sql = f"SELECT {CONNECTION_COLUMNS} FROM ormco_connections WHERE practice_id = ?"  # noqa: S608
        row = self._one(sql, (practice_id,)) if practice_id.isprintable() else None
        return None if row is None else to_connection(row)

    def existing(self, practice_id: str) -> Connection:
        """Return a practice's connection; needs no key.

        Raises:
            connector.errors.ConnectionNotFoundError: if it has none.
        """
        connection = self.connection(practice_id)
        if connection is None:
            raise not_found(practice_id)
        return connection

    def existing_grant(self, practice_id: str) -> Grant:
        """Return a practice's connection with its secrets.

        Raises:
            connector.errors.ConnectionNotFoundError: if it has none.
        """
        grant = self.get(practice_id)
        if grant is None:
            raise not_found(practice_id)
        return grant

    def connections(self, *, needs_attention: bool = False) -> Iterator[Connection]:
        """Yield all connections by practice id; needs no key.

        Args:
            needs_attention: only those that somebody has to look after.
        """
        sick = "AND (state NOT IN ('connected', 'revoked') OR confirm_by IS NOT NULL) "
        attention = sick if needs_attention else ""
        sql = (
            f"SELECT {CONNECTION_COLUMNS} FROM ormco_connections WHERE practice_id > ? {attention}"  # noqa: S608
            "ORDER BY practice_id LIMIT ?"
        )
        last = ""
        while rows := self._all(sql, (last, _PAGE)):
            yield from map(to_connection, rows)
            last = rows[-1][0]

    def practices_of_account(self, provider: str, account_id: str) -> list[str]:
        """Return the practices that are connected to one account."""
        rows = self._all(
            "SELECT practice_id FROM ormco_connections WHERE provider = ? AND account_id = ? "
            "ORDER BY practice_id",
            (provider, account_id),
        )
        return [row[0] for row in rows]

    def unconfirmed(self, before: datetime) -> list[str]:
        """Return the practices whose new account should have been confirmed before a moment."""
        rows = self._all(
            "SELECT practice_id FROM ormco_connections WHERE confirm_by <= ? ORDER BY practice_id LIMIT ?",
            (before.timestamp(), _PAGE),
        )
        return [row[0] for row in rows]

    def delete(self, practice_id: str, event: Event) -> None:
        """Forget a practice: its connection, its open requests, and the details of its audit entries.

        Args:
            practice_id: whose.
            event: what the audit record keeps of it.
        """
        rows = self._event_rows([event])

        def work(execute: Execute) -> None:
            execute("DELETE FROM ormco_connections WHERE practice_id = ?", (practice_id,))
            execute("DELETE FROM ormco_requests WHERE practice_id = ?", (practice_id,))
            delete_cursors(execute, practice_id)
            execute("UPDATE ormco_events SET detail = '{}' WHERE practice_id = ?", (practice_id,))
            insert_events(execute, rows)

        self._write(work)
        self._tell([event])

    def due(
        self, before: datetime, limit: int, *, after: tuple[float, str] = (0.0, "")
    ) -> list[tuple[float, str]]:
        """Return what has to be refreshed before a moment, the most urgent first.

        Args:
            before: the moment.
            limit: how many at most.
            after: the last of the page before; (0.0, "") for the first page.

        Returns:
            When each is due, in seconds since 1970, and its practice.
        """
        rows = self._all(
            "SELECT due_at, practice_id FROM ormco_connections WHERE due_at <= ? "
            "AND (due_at, practice_id) > (?, ?) AND (retry_at IS NULL OR retry_at <= ?) "
            "ORDER BY due_at, practice_id LIMIT ?",
            (before.timestamp(), *after, self.clock.time(), limit),
        )
        return [(row[0], row[1]) for row in rows]

    def count_due(self, before: datetime) -> int:
        """Return how many connections `due` would return in all."""
        sql = (
            "SELECT COUNT(*) FROM ormco_connections WHERE due_at <= ? AND (retry_at IS NULL OR retry_at <= ?)"
        )
        row = self._one(sql, (before.timestamp(), self.clock.time()))
        return 0 if row is None else int(row[0])

    def facts(self) -> dict[str, str]:
        """Return what a person who looks after the store wants to know; needs no key."""
        found = self._db.facts()
        if not self._ready and not self._open_existing():
            return found | {"exists": "no"}
        store_id, source, key, _ = self._key_record()
        version = self._one("SELECT MAX(version) FROM ormco_schema", ())[0]
        found |= {"exists": "yes", "schema_version": str(version), "store_id": store_id}
        return found | {
            "key_source": source or "not chosen yet",
            "key_place": str(key_file(store_id)) if source == FILE else "",
            "key_id": key or "",
        }
