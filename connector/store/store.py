"""Keep all data of connections in a database that any number of processes may use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from connector.clock import Clock
from connector.connection import Connection, Event, LabConnection, not_found
from connector.errors import StoreLockedError, StoreUnavailableError
from connector.store.audit import AuditLog
from connector.store.cursors import CURSOR_TABLES, WatchRecords
from connector.store.database import TABLE, Database, Execute
from connector.store.grants import GrantRecords
from connector.store.held_token import is_practice_id
from connector.store.keys import FILE, key_file
from connector.store.overview import Overview, shown
from connector.store.refresh_leases import RefreshLeases
from connector.store.requests import RequestRecords
from connector.store.row import LIVE, Row, select_rows
from connector.store.store_keys import StoreKeys
from connector.store.watch_claims import WatchClaims

__all__ = ["Store"]


class Store:
    """Connections, open requests, the audit record and the cursors of watches; see `open_store`.

    Attributes:
        grants: the rows of connections, with their secrets.
        leases: the leases on these rows, so that one process at a time refreshes a row.
        requests: authorization requests, and the digests of used codes.
        audit: the audit record.
        keys: the sealing keys.
        overview: lists, searches and counts all connections.
        watches: the positions of the watches on cases.
        watch_claims: the claims of processes that share a watch.
    """

    def __init__(
        self,
        database: Database,
        *,
        keys: str | None,
        clock: Clock,
        actor: str = "",
        record_refreshes: bool = False,
    ) -> None:
        self.clock = clock
        self.database: Database = database
        self.keys: StoreKeys = StoreKeys(self.database, given=keys)
        self.audit: AuditLog = AuditLog(self.database, actor=actor)
        self.requests: RequestRecords = RequestRecords(self.database, self.keys)
        self.grants: GrantRecords = GrantRecords(database, self.keys, self.audit)
        self.leases: RefreshLeases = RefreshLeases(
            database, self.grants, self.audit, record_refreshes=record_refreshes
        )
        self.overview: Overview = Overview(self.database, clock)
        self.watches: WatchRecords = WatchRecords(database)
        self.watch_claims: WatchClaims = WatchClaims(database)

    def check(self) -> None:
        """Check that the store can be written and its key is right, before a code or token is used.

        Raises:
            connector.errors.StoreError: if the store or its key cannot be used.
        """
        self.keys.ring()
        sql = f"UPDATE ormco_store SET checked_at = {self.database.dialect.now}"  # noqa: S608
        self.database.apply([(sql, ())])
        if self.keys.has_spare(self.keys.require_newest()):
            from connector.store.rotation import retire_keys

            with suppress(StoreLockedError):  # another process is rotating
                retire_keys(self)
        self.database.keep_disk_reserve()

    def ping(self) -> None:
        """Check that the store can be read and its key is right, without writing.

        Raises:
            connector.errors.StoreError: if the store or its key cannot be used.
        """
        if not self.database.exists():
            raise StoreUnavailableError(
                "there is no store yet", hint="The first connection creates it; check ORMCO_STORE."
            )
        record = self.keys.record()
        if record.source is not None:
            record.check(self.keys.ring())

    def rotate_keys(self, *, progress: Callable[[int], object] = lambda done: None) -> int:
        """Seal everything with a new key, while others read and write; see `Connector.rotate_keys`.

        Raises:
            connector.errors.SealingKeyError: if a key is missing; nothing was changed.
            connector.errors.StoreDamagedError: if some values are damaged; all others have the new key.
        """
        from connector.store.rotation import rotate_keys

        return rotate_keys(self, progress=progress)

    def connection(self, practice_id: str) -> Connection | None:
        """Return a practice's connection; needs no key."""
        if not is_practice_id(practice_id):
            return None
        sql = f"{select_rows(self.database.dialect.now)} WHERE practice_id = ?"
        found = self.database.all(sql, (practice_id,))
        return shown(list(map(Row._make, found))) if found else None

    def existing(self, practice_id: str) -> Connection:
        """Return a practice's connection; needs no key.

        Raises:
            connector.errors.ConnectionNotFoundError: if it has none.
        """
        connection = self.connection(practice_id)
        if connection is None:
            raise not_found(practice_id)
        return connection

    def practices_of_account(self, provider: str, account_id: str) -> list[str]:
        """Return the practices that are connected to one account."""
        rows = self.database.all(
            f"SELECT practice_id FROM {TABLE} WHERE provider = ? AND account_id = ? AND slot = ? "  # noqa: S608
            "AND state <> 'revoked' ORDER BY practice_id",
            (provider, account_id, LIVE),
        )
        return [row[0] for row in rows]

    def set_lab(self, practice_id: str, lab: LabConnection, event: Event) -> None:
        """Record the state of a practice's lab connection, unless the practice was forgotten."""
        update = f"UPDATE {TABLE} SET lab_state = ?, lab_email = ? WHERE practice_id = ?"  # noqa: S608
        args = (lab.state, lab.email, practice_id)
        self.audit.recorded([event], lambda execute: execute(update, args).rowcount > 0)

    def forget(self, practice_id: str, event: Event) -> None:
        """Delete all data of a practice and the details of its audit events, and record an event."""

        def work(execute: Execute) -> bool:
            for table in (TABLE, "ormco_requests", *CURSOR_TABLES):
                execute(f"DELETE FROM {table} WHERE practice_id = ?", (practice_id,))  # noqa: S608
            execute("UPDATE ormco_events SET detail = '{}' WHERE practice_id = ?", (practice_id,))
            return True

        with self.audit.deferred():
            self.audit.recorded([event], work)
            self.database.scrub()

    def facts(self) -> dict[str, str]:
        """Return facts about the store, for its administrator; needs no key."""
        found = self.database.facts()
        if not self.database.exists():
            return found | {"exists": "no"}
        record = self.keys.record()
        version = self.database.one("SELECT MAX(version) FROM ormco_schema", ())[0]
        found |= {"exists": "yes", "schema_version": str(version), "store_id": record.store_id}
        return found | {
            "key_source": record.source or "not chosen yet",
            "key_place": str(key_file(record.store_id)) if record.source == FILE else "",
            "key_id": record.key_id or "",
        }

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        self.database.close()
