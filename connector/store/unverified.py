"""New grants whose account is not verified yet: kept beside the practice's live grant."""

from __future__ import annotations

from collections.abc import Sequence

from connector.connection import AccountPolicy, Event
from connector.errors import ConnectionNotFoundError
from connector.oauth.token_set import TokenSet
from connector.store import columns
from connector.store.audit import AuditLog
from connector.store.columns import Changes
from connector.store.database import Database, Execute
from connector.store.grants import GrantRecords
from connector.store.row import LIVE, UNVERIFIED, Row
from connector.store.sealed_columns import TABLE, Bound, SealedColumns

__all__ = ["UnverifiedGrants"]


class UnverifiedGrants:
    """Stores new grants, and makes them live."""

    def __init__(
        self, database: Database, grants: GrantRecords, sealed: SealedColumns, audit: AuditLog
    ) -> None:
        self._database = database
        self._grants = grants
        self._sealed = sealed
        self._audit = audit
        self._now = database.dialect.now

    def put(
        self, practice_id: str, provider: str, tokens: TokenSet, policy: AccountPolicy, changes: Changes
    ) -> Row:
        """Store a new grant beside the live one, in place of an earlier one that was not verified.

        Args:
            practice_id: the practice.
            provider: the provider that granted it.
            tokens: its tokens.
            policy: which account is acceptable.
            changes: further columns, such as `confirm_by`.
        """
        values = columns.unverified(practice_id, provider, tokens, self._database.clock) | dict(changes)
        bound = Bound(*(values[name] for name in Bound._fields))  # type: ignore[arg-type]
        texts = {"access_sealed": tokens.access_token, "refresh_sealed": tokens.refresh_token}
        texts["policy_sealed"] = columns.dump_policy(policy)
        values |= self._sealed.sealed(bound, texts)
        self._database.apply([columns.insert(values, self._now)])
        row = self._grants.row(practice_id, UNVERIFIED)
        if row is None:
            raise ConnectionNotFoundError(f"{practice_id} was forgotten meanwhile")
        return row

    def promote(self, new: Row, live: Row | None, changes: Changes, events: Sequence[Event]) -> Row | None:
        """Make an unverified grant the live one, in one transaction; None if either row has changed since.

        Raises:
            NotUniqueError: the account is another practice's by now.
        """
        values = columns.promoted(new, live) | dict(changes)
        values |= self._sealed.changed(new, values)
        read = {row.slot: row.version for row in (new, live) if row is not None}
        both = f"SELECT slot, version, lab_state, lab_email FROM {TABLE} WHERE practice_id = ?"  # noqa: S608

        def work(execute: Execute) -> bool:
            found = execute(f"{both}{self._database.dialect.for_update}", (new.practice_id,)).fetchall()
            if {slot: version for slot, version, *_ in found} != read:
                return False
            for slot, _, state, email in found:
                if slot == LIVE:  # what others have recorded of the lab meanwhile stays
                    values.update(lab_state=state, lab_email=email)
            execute(f"DELETE FROM {TABLE} WHERE practice_id = ? AND slot = ?", (new.practice_id, LIVE))  # noqa: S608
            execute(*columns.update(new, values, self._now))
            return True

        self._audit.recorded(events, work)
        row = self._grants.row(new.practice_id)
        return row if row is not None and row.version == values["version"] else None

    def overdue(self) -> list[str]:
        """Return the practices whose new account should have been confirmed by now."""
        sql = f"SELECT practice_id FROM {TABLE} WHERE confirm_by <= {self._now} LIMIT 500"  # noqa: S608
        return [row[0] for row in self._database.all(sql, ())]
