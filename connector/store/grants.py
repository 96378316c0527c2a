"""Read and change the rows of grants.

Two rules protect tokens. A decision is written only to the row that it is based on (`version`): if the row
has changed, read and decide again. A new token set replaces the tokens that were sent for it
(`generation`), whatever else has changed in the row, because it exists nowhere else.

A new grant is kept beside the practice's live one until its account is verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.connection import AccountPolicy, Event, not_found
from connector.errors import ConnectionNotFoundError
from connector.oauth.token_set import TokenSet
from connector.store import columns
from connector.store.audit import AuditLog
from connector.store.columns import Changes, FromNow
from connector.store.database import TABLE, Database, Execute
from connector.store.held_token import is_practice_id
from connector.store.owners import new_mark
from connector.store.row import LIVE, UNVERIFIED, Row, Rows, checked_row, damaged, select_rows
from connector.store.sealing import (
    SEALED_COLUMNS,
    TOKEN_COLUMNS,
    Bound,
    bound_to,
    has_first_form,
    sealed_data,
)
from connector.store.store_keys import StoreKeys

__all__ = ["GrantRecords"]


class GrantRecords:
    """Reads and writes the rows of grants."""

    def __init__(self, database: Database, keys: StoreKeys, audit: AuditLog) -> None:
        self._database = database
        self._keys = keys
        self._audit = audit
        self._now = database.dialect.now
        self._select = f"{select_rows(self._now)} WHERE practice_id = ?"

    def rows(self, practice_id: str, *, timeout: float | None = None) -> Rows:
        """Return the stored rows of a practice; `timeout` as for `Database.all`."""
        if not is_practice_id(practice_id):
            return Rows()
        found = self._database.all(self._select, (practice_id,), timeout=timeout)
        rows = Rows.of(map(checked_row, found))
        if has_first_form(rows):
            self._keys.ring()  # loading the keys seals such values again
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

    def row(self, practice_id: str, slot: str = LIVE) -> Row | None:
        """Return one row of a practice."""
        rows = self.rows(practice_id)
        return rows.live if slot == LIVE else rows.unverified

    def access_token(self, row: Row) -> str | None:
        """Return a row's access token."""
        return self._open(row, "access_sealed")

    def refresh_token(self, row: Row) -> str | None:
        """Return a row's refresh token."""
        return self._open(row, "refresh_sealed")

    def policy(self, row: Row) -> AccountPolicy:
        """Return the account policy of an unverified row.

        Opening it also proves that the account beside it is the one that was read from the provider.

        Raises:
            connector.errors.StoreDamagedError: if it is missing; every account would be accepted without it.
        """
        text = self._open(row, "policy_sealed")
        if text is None:
            raise damaged(row.practice_id)
        return columns.load_policy(text)

    def put_unverified(
        self, practice_id: str, provider: str, tokens: TokenSet, policy: AccountPolicy, changes: Changes
    ) -> Row:
        """Store a new grant beside the live one, in place of an earlier one that was not verified.

        `changes` are further columns, such as `confirm_by`.
        """
        values = columns.unverified(practice_id, provider, tokens, self._database.clock) | dict(changes)
        bound = Bound(*(values[name] for name in Bound._fields))  # type: ignore[arg-type]
        values |= self._seal(bound, _texts(tokens) | {"policy_sealed": columns.dump_policy(policy)})
        self._database.apply([columns.insert(values, self._now)])
        row = self.row(practice_id, UNVERIFIED)
        if row is None:
            raise ConnectionNotFoundError(f"{practice_id} was forgotten meanwhile")
        return row

    def promote(self, new: Row, live: Row | None, changes: Changes, events: Sequence[Event]) -> Row | None:
        """Make an unverified grant the live one, in one transaction; return None if either row has changed.

        Raises:
            NotUniqueError: the account belongs to another practice now.
        """
        values = columns.promoted(new, live) | dict(changes)
        values |= self._sealed(new, values)
        read = {row.slot: row.version for row in (new, live) if row is not None}
        both = f"SELECT slot, version, lab_state, lab_email FROM {TABLE} WHERE practice_id = ?"  # noqa: S608

        def work(execute: Execute) -> bool:
            found = execute(f"{both}{self._database.dialect.for_update}", (new.practice_id,)).fetchall()
            if {slot: version for slot, version, *_ in found} != read:
                return False
            for slot, _, state, email in found:
                if slot == LIVE:  # keep a lab connection that was recorded meanwhile
                    values.update(lab_state=state, lab_email=email)
            execute(f"DELETE FROM {TABLE} WHERE practice_id = ? AND slot = ?", (new.practice_id, LIVE))  # noqa: S608
            execute(*columns.update(new, values, self._now))
            return True

        self._audit.recorded(events, work)
        row = self.row(new.practice_id)
        return row if row is not None and row.version == values["version"] else None

    def overdue(self) -> list[str]:
        """Return the practices whose new account was not confirmed in time."""
        sql = f"SELECT practice_id FROM {TABLE} WHERE confirm_by <= {self._now} LIMIT 500"  # noqa: S608
        return [row[0] for row in self._database.all(sql, ())]

    def drop(self, row: Row, events: Sequence[Event]) -> bool:
        """Delete a row if it has not changed since it was read; return whether it was deleted."""
        delete = f"DELETE FROM {TABLE} WHERE {columns.WHICH}", (row.practice_id, row.slot, row.version)  # noqa: S608
        return self._audit.recorded(events, lambda execute: execute(*delete).rowcount > 0)

    def change(
        self, row: Row, changes: Changes, events: Sequence[Event] = (), *, tokens: TokenSet | None = None
    ) -> Row | None:
        """Change a row, and record events; return None if the row has changed since it was read."""
        values: dict[str, object] = {"version": new_mark(), **changes}
        values |= self._sealed(row, values, tokens)
        update = columns.update(row, values, self._now)
        if events:
            is_done = self._audit.recorded(events, lambda execute: execute(*update).rowcount > 0)
        else:
            is_done = self._database.apply([update])[0] > 0
        for name, value in values.items():
            if isinstance(value, FromNow):
                values[name] = row.now + value.seconds
        changed = row._replace(**values)  # type: ignore[arg-type]
        # If the response to a commit was lost, it was tried again and changed nothing: look for its mark.
        is_there = f"SELECT 1 FROM {TABLE} WHERE {columns.WHICH}"  # noqa: S608
        key = changed.practice_id, changed.slot, changed.version
        return changed if is_done or self._database.one(is_there, key) else None

    def _open(self, row: Row, column: str) -> str | None:
        """Return the text of a sealed column of a row, or None if it is empty."""
        sealed: bytes | None = getattr(row, column)
        if sealed is None:
            return None
        return self._keys.open(sealed, sealed_data(self._database.store_id, row, column), row=row.practice_id)

    def _sealed(
        self, row: Row, values: Mapping[str, object], tokens: TokenSet | None = None
    ) -> dict[str, object]:
        """Return the sealed columns for new tokens, and for the values that are bound to changed columns."""
        texts = {} if tokens is None else _texts(tokens)
        # A live grant has no policy: one that an attacker writes there must not block new tokens.
        kept = TOKEN_COLUMNS if row.slot == LIVE else SEALED_COLUMNS
        for name in () if _BOUND.isdisjoint(values) else kept:
            if getattr(row, name) is not None and name not in texts and name not in values:
                texts[name] = self._open(row, name)
        return self._seal(bound_to(row, values), texts) if texts else {}

    def _seal(self, bound: Bound, texts: Mapping[str, str | None]) -> dict[str, object]:
        ring, store_id = self._keys.ring(), self._database.store_id
        return {
            column: None if text is None else ring.seal(text, sealed_data(store_id, bound, column))
            for column, text in texts.items()
        }


def _texts(tokens: TokenSet) -> dict[str, str | None]:
    """Return the secrets of a token set by their columns."""
    return {"access_sealed": tokens.access_token, "refresh_sealed": tokens.refresh_token}


_BOUND = frozenset(Bound._fields)
