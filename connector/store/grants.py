"""The rows of grants: read, claimed for a refresh, and changed only in place of what was read.

Two rules protect tokens. A decision is written only on the row it was made from (`version`): if that has
changed, read again and decide again. A new token set is stored in place of the tokens that were sent for it
(`generation`), whatever else has changed in the row, because it exists nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from connector.connection import AccountPolicy, ConnectionState, Event, not_found
from connector.errors import ConnectorError
from connector.oauth.token_set import TokenSet
from connector.store import columns
from connector.store.audit import AuditLog
from connector.store.columns import Changes, FromNow
from connector.store.database import Database
from connector.store.held_token import HeldToken, is_practice_id, read_held
from connector.store.process import new_mark, this_process
from connector.store.resealing import has_first_form
from connector.store.row import COLUMNS, LIVE, Row, Rows, checked_row, damaged
from connector.store.sealed_columns import TABLE, SealedColumns
from connector.store.store_keys import StoreKeys

__all__ = ["GrantRecords"]


class GrantRecords:
    """Reads and writes the rows of grants.

    Args:
        database: the database of the rows.
        keys: the store's keys.
        sealed: seals and opens their tokens.
        audit: records the actions, in the same transaction.
        record_refreshes: whether a routine refresh is an event as well.
    """

    def __init__(
        self,
        database: Database,
        keys: StoreKeys,
        sealed: SealedColumns,
        audit: AuditLog,
        *,
        record_refreshes: bool = False,
    ) -> None:
        self._database = database
        self._keys = keys
        self._sealed = sealed
        self._audit = audit
        self._record_refreshes = record_refreshes
        self._now = database.dialect.now
        self._select = f"SELECT {', '.join(COLUMNS)}, {self._now} FROM {TABLE} WHERE practice_id = ?"  # noqa: S608

    def rows(self, practice_id: str, *, timeout: float | None = None) -> Rows:
        """Return the stored rows of a practice.

        Args:
            practice_id: the practice.
            timeout: seconds to wait for a store that is unavailable, if less than usual.
        """
        if not is_practice_id(practice_id):
            return Rows()
        found = self._database.all(self._select, (practice_id,), timeout=timeout)
        rows = Rows.of(map(checked_row, found))
        if has_first_form(rows):
            self._keys.ring()  # a process that has the keys seals them again before anything else
            found = self._database.all(self._select, (practice_id,), timeout=timeout)
            rows = Rows.of(map(checked_row, found))
        return rows

    def existing(self, practice_id: str) -> Rows:
        """Return the rows of a practice.

        Raises:
            connector.errors.ConnectionNotFoundError: if it has none.
        """
        rows = self.rows(practice_id)
        if rows.main is None:
            raise not_found(practice_id)
        return rows

    def held(self, practice_id: str, *, timeout: float | None = None) -> HeldToken | None:
        """Return a practice's valid token; None if it may need any action first."""
        return read_held(self._database, self._keys, practice_id, timeout=timeout)

    def row(self, practice_id: str, slot: str = LIVE) -> Row | None:
        """Return one row of a practice."""
        rows = self.rows(practice_id)
        return rows.live if slot == LIVE else rows.unverified

    def access_token(self, row: Row) -> str | None:
        """Return a row's access token."""
        return self._sealed.open(row, "access_sealed")

    def refresh_token(self, row: Row) -> str | None:
        """Return a row's refresh token."""
        return self._sealed.open(row, "refresh_sealed")

    def policy(self, row: Row) -> AccountPolicy:
        """Return the account policy of an unverified row.

        Opening it also proves that the account beside it is the one that was read from the provider.

        Raises:
            connector.errors.StoreDamagedError: if it is missing: without it any account would be accepted.
        """
        text = self._sealed.open(row, "policy_sealed")
        if text is None:
            raise damaged(row.practice_id)
        return columns.load_policy(text)

    def claim(self, row: Row, seconds: float) -> Row | None:
        """Take the lease on a row as it was read; return None if the row has changed since.

        The claim is also the record that the refresh token is about to be sent.
        """
        self._database.keep_disk_reserve()
        mark = new_mark()
        try:
            return self.change(row, {**columns.claimed(row, this_process(), seconds), "version": mark})
        except BaseException:
            # It may have been committed: give it back, because nothing will be sent.
            with suppress(ConnectorError):
                present = self.row(row.practice_id, row.slot)
                if present is not None and present.version == mark:
                    self.end_lease(present, lost=False)
            raise

    def settle(self, row: Row, tokens: TokenSet, *, rejected: bool = False) -> Row | None:
        """Store a new token set in place of the one that was sent; return None if that is gone.

        Args:
            row: the row as it was claimed.
            tokens: the new tokens.
            rejected: whether an API had rejected the old access token.
        """
        present: Row | None = row
        # A revocation may have been requested meanwhile: then the newest pair has to be revoked.
        while present is not None and present.state != ConnectionState.REVOKED:
            changes = columns.settled(present, tokens, self._database.clock, rejected=rejected)
            events = []
            # A success after a failure is an event; a routine refresh is counted in the row.
            if present.slot == LIVE and (changes["state"] != present.state or self._record_refreshes):
                state, detail = str(changes["state"]), {"generation": str(changes["generation"])}
                facts = {"state": ConnectionState(state), "detail": detail}
                events.append(self._audit.event("refresh", "ok", present.practice_id, **facts))
            if stored := self.change(present, changes, events, tokens=tokens):
                return stored
            present = self._same_grant(present)
        return None

    def end_lease(
        self, claimed: Row, changes: Changes | None = None, *, lost: bool, events: Sequence[Event] = ()
    ) -> Row | None:
        """End a lease without new tokens.

        Args:
            claimed: the row as it was claimed.
            changes: further columns to change.
            lost: whether the refresh token may have been used up by this call.
            events: the audit events to record.
        """
        present: Row | None = claimed
        lease = claimed.refresh_by, claimed.refresh_sends
        while present is not None and (present.refresh_by, present.refresh_sends) == lease:
            end = columns.ended(present, lost=lost)
            if present.state in (claimed.state, ConnectionState.CONNECTED):
                stored = self.change(present, end | dict(changes or {}), events)
            else:  # keep the decisions of others
                stored = self.change(present, end)
            if stored:
                return stored
            present = self._same_grant(present)
        return None

    def _same_grant(self, row: Row) -> Row | None:
        """Return the present row, if it still has the same tokens.

        The caller may repeat its write without a limit: whenever one write fails, another writer has
        succeeded, and new tokens that are not stored are lost.
        """
        present = self.row(row.practice_id, row.slot)
        # A practice may have been forgotten, and connected again.
        if present and (present.generation, present.connected_at) == (row.generation, row.connected_at):
            return present
        return None

    def drop(self, row: Row, events: Sequence[Event]) -> bool:
        """Delete a row if it is unchanged since it was read; return whether it was."""
        delete = f"DELETE FROM {TABLE} WHERE {columns.WHICH}", (row.practice_id, row.slot, row.version)  # noqa: S608
        return self._audit.recorded(events, lambda execute: execute(*delete).rowcount > 0)

    def change(
        self, row: Row, changes: Changes, events: Sequence[Event] = (), *, tokens: TokenSet | None = None
    ) -> Row | None:
        """Write a decision on the row that it was made from; return None if the row has changed since.

        Args:
            row: the row as it was read.
            changes: the columns to change.
            events: the audit events to record.
            tokens: new tokens, if any.
        """
        values: dict[str, object] = {"version": new_mark(), **changes}
        values |= self._sealed.changed(row, values, tokens)
        update = columns.update(row, values, self._now)
        if events:
            is_done = self._audit.recorded(events, lambda execute: execute(*update).rowcount > 0)
        else:
            is_done = self._database.apply([update])[0] > 0
        for name, value in values.items():
            if isinstance(value, FromNow):
                values[name] = row.now + value.seconds
        changed = row._replace(**values)  # type: ignore[arg-type]
        # A commit whose response was lost is tried again, and then changes nothing, as its mark shows.
        is_there = f"SELECT 1 FROM {TABLE} WHERE {columns.WHICH}"  # noqa: S608
        key = changed.practice_id, changed.slot, changed.version
        return changed if is_done or self._database.one(is_there, key) else None
