"""The store: what is kept of connections, for one process; any number of processes may have it open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.clock import Clock, from_timestamp
from connector.connection import Connection, ConnectionState, Event, LabConnection, not_found
from connector.errors import StoreDamagedError, StoreLockedError, StoreUnavailableError
from connector.store.audit import AuditLog, Guard
from connector.store.cursors import WatchDatabase, WatchRecords, delete_cursors
from connector.store.database import Database, Execute
from connector.store.grants import GrantRecords
from connector.store.keys import FILE, key_file
from connector.store.lazy_database import LazyDatabase
from connector.store.requests import RequestRecords
from connector.store.row import COLUMNS, LIVE, TABLE, Row, Rows, is_practice_id
from connector.store.store_keys import StoreKeys
from connector.store.watch_claims import WatchClaims

if TYPE_CHECKING:
    from connector.store.rotation import KeyRotation

__all__ = ["DueGrant", "Store", "StoreSummary"]

_PAGE = 500
_DEGRADED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DueGrant:
    """A connection whose tokens are to be refreshed.

    Attributes:
        failures: refreshes that failed in a row.
        due_in: seconds until its access token ends; negative if it has ended.
    """

    practice_id: str
    failures: int
    due_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSummary:
    """How all connections are, for a monitor.

    Attributes:
        states: how many there are in each state.
        needs_attention: how many somebody has to look after.
        unconfirmed: practices whose new account a person has to confirm.
        overdue: connections whose access token has ended, and can be refreshed.
        lag: seconds since the oldest of those ended; 0 if there is none.
    """

    states: dict[str, int]
    needs_attention: int
    unconfirmed: int
    overdue: int
    lag: float


def _attention_parts(now: str) -> tuple[str, ...]:
    return (
        "state IN ('needs_repair', 'revoking')",
        "slot = 'unverified'",
        f"(state = 'degraded' AND (since <= {now} - {_DEGRADED_SECONDS} "
        f"OR COALESCE(expires_at, refreshed_at + 3600, 0) <= {now}))",
    )


def _each(found: Iterable[Sequence[Any]]) -> list[Connection]:
    """Return each practice's connection, in the order in which the practices come first."""
    rows: dict[str, list[Row]] = {}
    for values in found:
        rows.setdefault(values[0], []).append(Row(*values))
    mains = [Rows.of(each).main for each in rows.values()]
    return [_shown(main) for main in mains if main is not None]


def _shown(row: Row) -> Connection:
    """Return what may be shown of a row; one that cannot be right is shown as such, and hides no other."""
    try:
        return row.connection
    except StoreDamagedError as exc:
        return Connection(
            practice_id=row.practice_id,
            provider=str(row.provider),
            state=ConnectionState.NEEDS_REPAIR,
            since=from_timestamp(0),
            reason="damaged",
            last_error=exc.message,
        )


class Store:
    """Connections, open requests, the audit record and the cursors of watches.

    Args:
        database: where everything is.
        keys: the value of ORMCO_STORE_KEYS, or None if it is not set.
        clock: the time.
        actor: who acts, for the audit record.
        record_refreshes: whether a routine refresh is an event of the audit record.

    Attributes:
        grants: the rows of connections, with their secrets.
        requests: open authorization requests, and codes that were used.
        audit: the audit record.
        keys: the sealing keys.
        watches: how far the watches on cases have come.
        watch_claims: which process looks at a practice next, for a watch that many share.
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
        self.database: LazyDatabase = LazyDatabase(database, clock=clock)
        self.keys: StoreKeys = StoreKeys(self.database, given=keys)
        self.audit: AuditLog = AuditLog(self.database, actor=actor)
        self.requests: RequestRecords = RequestRecords(self.database, self.keys)
        self.grants: GrantRecords = GrantRecords(
            self.database, self.keys, self.audit, record_refreshes=record_refreshes
        )
        watches = WatchDatabase(
            dialect=database.dialect,
            one=self.database.one,
            all=self.database.all,
            write=self.database.transact,
            apply=self.database.apply,
        )
        self.watches: WatchRecords = WatchRecords(watches)
        self.watch_claims: WatchClaims = WatchClaims(watches)

    def check(self) -> None:
        """Prove that the store can be written and its key is right, before anything is spent.

        Raises:
            connector.errors.StoreError: if not.
        """
        self.keys.ring()
        sql = f"UPDATE ormco_store SET checked_at = {self.database.dialect.now}"  # noqa: S608
        self.database.apply([(sql, ())])
        self.keys.vouch()
        if self.keys.accepts_first:
            with suppress(StoreLockedError):  # another process is at it, and what it has not done yet opens
                self.seal_anew()
        if self.keys.has_spare:
            with suppress(StoreLockedError):
                self._rotation().retire()
        self.database.db.make_room()

    def ping(self) -> None:
        """Prove that the store answers and that its key opens it; writes nothing.

        Raises:
            connector.errors.StoreError: if not.
        """
        if not self.database.exists():
            raise StoreUnavailableError(
                "there is no store yet", hint="It is made by the first connection; check ORMCO_STORE."
            )
        record = self.keys.record()
        if record.source is not None:
            record.check(self.keys.ring())

    def rotate_keys(self, *, progress: Callable[[int], object] = lambda done: None) -> int:
        """Seal everything with a new key, while others read and write; return how many values.

        Args:
            progress: called with the number of values that are done.

        Raises:
            connector.errors.SealingKeyError: if a key is missing; nothing was changed.
            connector.errors.StoreDamagedError: if some values do not open; all others have the new key.
        """
        return self._rotation().rotate(progress=progress)

    def seal_anew(self) -> None:
        """Seal anew what early releases have sealed, so that nothing of their form is accepted any more."""
        self._rotation().end_first_form()

    def _rotation(self) -> KeyRotation:
        from connector.store.rotation import KeyRotation

        return KeyRotation(self.database, self.keys, self.grants, self.audit)

    def connection(self, practice_id: str) -> Connection | None:
        """Return a practice's connection; needs no key."""
        if not is_practice_id(practice_id):
            return None
        found = self.database.all(f"{self._select} WHERE practice_id = ?", (practice_id,))
        row = Rows.of([Row(*values) for values in found]).main
        return None if row is None else row.connection

    def existing(self, practice_id: str) -> Connection:
        """Return a practice's connection; needs no key.

        Raises:
            connector.errors.ConnectionNotFoundError: if it has none.
        """
        connection = self.connection(practice_id)
        if connection is None:
            raise not_found(practice_id)
        return connection

    def connections(self, *, needs_attention: bool = False) -> Iterator[Connection]:
        """Yield all connections by practice id; needs no key.

        Args:
            needs_attention: only those that somebody has to look after.
        """
        which = f" AND practice_id IN (SELECT practice_id FROM {TABLE} WHERE {self._attention})"  # noqa: S608
        sql = (
            f"{self._select} WHERE practice_id > ?{which if needs_attention else ''} "
            "ORDER BY practice_id, slot LIMIT ?"
        )
        last = ""
        while found := self.database.all(sql, (last, _PAGE)):
            for values in found:
                if values[0] != last:
                    yield _shown(Row(*values))
                last = values[0]

    def search(self, text: str, *, limit: int) -> list[Connection]:
        """Return connections that contain a text, those that need attention first; needs no key.

        Args:
            text: a part of the practice id, of the account's address or of its name; "" for all.
            limit: how many at the most.
        """
        order = "practice_id, slot LIMIT ?"
        needing = f"practice_id IN ({self._attention_ids})"
        if not text:
            # Each by its index: what is shown of ten thousand connections costs what ten cost.
            first = f"{self._select} WHERE {needing} ORDER BY {order}"
            rows = list(self.database.all(first, (2 * limit,)))
            rest = f"{self._select} WHERE NOT {needing} ORDER BY {order}"
            return _each(rows + list(self.database.all(rest, (limit,))))[:limit]
        pattern = "%" + "".join(f"\\{each}" if each in "\\%_" else each for each in text.lower()) + "%"
        found = " OR ".join(
            f"LOWER(COALESCE({column}, '')) LIKE ? ESCAPE '\\'"
            for column in ("practice_id", "account_email", "account_name")
        )
        sql = f"{self._select} WHERE {found} ORDER BY CASE WHEN {needing} THEN 0 ELSE 1 END, {order}"
        return _each(self.database.all(sql, (pattern, pattern, pattern, 2 * limit)))[:limit]

    def practices_of_account(self, provider: str, account_id: str) -> list[str]:
        """Return the practices that are connected to one account."""
        rows = self.database.all(
            f"SELECT practice_id FROM {TABLE} WHERE provider = ? AND account_id = ? AND slot = ? "  # noqa: S608
            "AND state <> 'revoked' ORDER BY practice_id",
            (provider, account_id, LIVE),
        )
        return [row[0] for row in rows]

    def due(self, within: float) -> list[DueGrant]:
        """Return what has to be refreshed within so many seconds, the most urgent first."""
        now = self.database.dialect.now
        rows = self.database.all(
            f"SELECT practice_id, failures, due_at - {now} FROM {TABLE} WHERE due_at <= {now} + ? "  # noqa: S608
            f"AND (retry_at IS NULL OR retry_at <= {now}) ORDER BY due_at, practice_id",
            (within,),
        )
        return [DueGrant(practice_id=row[0], failures=row[1], due_in=row[2]) for row in rows]

    def summary(self) -> StoreSummary:
        """Count the connections by state, and tell how late refreshes are; needs no key."""
        now = self.database.dialect.now
        # The first is read from an index alone; the second has few.
        by_state = f"SELECT state, COUNT(*) FROM {TABLE} GROUP BY state"  # noqa: S608
        unverified = f"SELECT state, COUNT(*) FROM {TABLE} WHERE slot <> 'live' GROUP BY state"  # noqa: S608
        states = Counter(dict(self.database.all(by_state, ())))
        states.subtract(dict(self.database.all(unverified, ())))
        attention = f"SELECT COUNT(*) FROM ({self._attention_ids}) AS needing"  # noqa: S608
        late = f"SELECT COUNT(*), {now} - MIN(due_at) FROM {TABLE} WHERE due_at < {now}"  # noqa: S608
        overdue, lag = self.database.one(late, ()) or (0, None)
        unconfirmed = f"SELECT COUNT(*) FROM {TABLE} WHERE confirm_by IS NOT NULL"  # noqa: S608
        return StoreSummary(
            states=dict(+states),
            needs_attention=(self.database.one(attention, ()) or (0,))[0],
            unconfirmed=(self.database.one(unconfirmed, ()) or (0,))[0],
            overdue=overdue,
            lag=lag or 0.0,
        )

    def set_lab(self, practice_id: str, lab: LabConnection, event: Event) -> None:
        """Record how a practice's lab connection is; nothing happens if the practice was forgotten."""
        named = self.audit.named([event])
        exists = Guard(f"EXISTS (SELECT 1 FROM {TABLE} one WHERE one.practice_id = ?)", (practice_id,))  # noqa: S608
        update = f"UPDATE {TABLE} SET lab_state = ?, lab_email = ? WHERE practice_id = ?"  # noqa: S608
        args = (lab.state, lab.email, practice_id)
        if self.database.apply([(update, args), *self.audit.statements(named, exists)])[0]:
            self.audit.tell(named)

    def forget(self, practice_id: str, event: Event) -> None:
        """Delete all that is kept of a practice, but for the lines of the audit record, without details.

        Args:
            practice_id: whose.
            event: what the audit record keeps of it.
        """
        named = self.audit.named([event])

        def work(execute: Execute) -> None:
            execute(f"DELETE FROM {TABLE} WHERE practice_id = ?", (practice_id,))  # noqa: S608
            execute("DELETE FROM ormco_requests WHERE practice_id = ?", (practice_id,))
            delete_cursors(execute, practice_id)
            execute("UPDATE ormco_events SET detail = '{}' WHERE practice_id = ?", (practice_id,))
            for statement in self.audit.statements(named, Guard()):
                execute(*statement)

        self.database.transact(work)
        self.database.scrub()
        self.audit.tell(named)

    def facts(self) -> dict[str, str]:
        """Return what a person who looks after the store wants to know; needs no key."""
        found = self.database.db.facts()
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

    @property
    def _select(self) -> str:
        return f"SELECT {', '.join(COLUMNS)}, {self.database.dialect.now} FROM {TABLE}"  # noqa: S608

    @property
    def _attention_ids(self) -> str:
        """The ids of those practices, each part by its own index."""
        now = self.database.dialect.now
        return " UNION ".join(
            f"SELECT practice_id FROM {TABLE} WHERE {part}"  # noqa: S608
            for part in _attention_parts(now)
        )

    @property
    def _attention(self) -> str:
        """The one definition of what somebody has to look after."""
        return " OR ".join(_attention_parts(self.database.dialect.now))
