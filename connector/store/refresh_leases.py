"""Take the lease on a row before a refresh token is sent, and end it with or without new tokens.

The lease is also the record that the token is about to be sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from connector.connection import ConnectionState, Event
from connector.errors import ConnectorError
from connector.oauth.token_set import TokenSet
from connector.store import columns
from connector.store.audit import AuditLog
from connector.store.columns import Changes
from connector.store.database import TABLE, Database, Execute, marks
from connector.store.grants import GrantRecords
from connector.store.owners import gone_owners, new_mark, this_process
from connector.store.row import BELIEVED_BACKOFF, BELIEVED_LEASE, LIVE, Row, select_rows

__all__ = ["DueGrant", "RefreshLeases"]

_LONGEST_LIFE = 2 * 86400.0
_NEAR_ITS_END = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DueGrant:
    """A connection whose tokens are due for a refresh.

    Attributes:
        has_failed: whether the last refresh failed.
        due_in: seconds until its access token expires; negative if it has expired.
    """

    practice_id: str
    has_failed: bool
    due_in: float


class RefreshLeases:
    """Claims rows, and ends the claims."""

    def __init__(
        self, database: Database, grants: GrantRecords, audit: AuditLog, *, record_refreshes: bool = False
    ) -> None:
        self._database = database
        self._grants = grants
        self._audit = audit
        self._record_refreshes = record_refreshes
        self._now = database.dialect.now

    def claim(self, row: Row, seconds: float) -> Row | None:
        """Take the lease on a row as it was read; return None if the row has changed since."""
        self._database.keep_disk_reserve()
        mark = new_mark()
        try:
            changes = columns.claimed(row, this_process(), seconds)
            return self._grants.change(row, {**changes, "version": mark})
        except BaseException:
            # The claim may have been committed: end it, because no token will be sent.
            with suppress(ConnectorError):
                present = self._grants.row(row.practice_id, row.slot)
                if present is not None and present.version == mark:
                    self.end(present, lost=False)
            raise

    def settle(self, row: Row, tokens: TokenSet, *, rejected: bool = False) -> Row | None:
        """Store a new token set in place of the one that was sent; return None if the row no longer has it.

        `rejected` says whether an API had rejected the old access token.
        """
        present: Row | None = row
        # If a revocation was requested meanwhile, it needs these tokens: they are the ones to revoke.
        while present is not None and present.state != ConnectionState.REVOKED:
            changes = columns.settled(present, tokens, self._database.clock, rejected=rejected)
            events = []
            # A success after a failure is an event; a routine refresh is counted in the row.
            if present.slot == LIVE and (changes["state"] != present.state or self._record_refreshes):
                state, detail = str(changes["state"]), {"generation": str(changes["generation"])}
                facts = {"state": ConnectionState(state), "detail": detail}
                events.append(self._audit.event("refresh", "ok", present.practice_id, **facts))
            if stored := self._grants.change(present, changes, events, tokens=tokens):
                return stored
            present = self._same_grant(present)
        return None

    def end(
        self, claimed: Row, changes: Changes | None = None, *, lost: bool, events: Sequence[Event] = ()
    ) -> Row | None:
        """End a lease without new tokens, and make further changes.

        `lost` says whether the refresh token may have been used up by this call.
        """
        present: Row | None = claimed
        lease = claimed.refresh_by, claimed.refresh_sends
        while present is not None and (present.refresh_by, present.refresh_sends) == lease:
            end = columns.ended(present, lost=lost)
            if present.state in (claimed.state, ConnectionState.CONNECTED):
                stored = self._grants.change(present, end | dict(changes or {}), events)
            else:  # keep the state that another process has written
                stored = self._grants.change(present, end)
            if stored:
                return stored
            present = self._same_grant(present)
        return None

    def _same_grant(self, row: Row) -> Row | None:
        """Return the row as it is now, if it still has the same tokens.

        The caller may repeat its write without a limit, because each failure means that another write has
        succeeded; new tokens that are not stored would be lost.
        """
        present = self._grants.row(row.practice_id, row.slot)
        # A practice may have been forgotten and connected again.
        if present and (present.generation, present.connected_at) == (row.generation, row.connected_at):
            return present
        return None

    def find_due(self, within: float, *, before: float = math.inf, limit: int = 1000) -> list[DueGrant]:
        """Return the connections that are due within a time: first those without failures, most urgent first.

        Only those that were refreshed before `before`, by the database's clock. A token is never due before
        half of its lifetime.
        """
        rows = self._database.all(
            f"SELECT practice_id, failures > 0, due_at - {self._now} FROM {TABLE} WHERE {self._is_due} "  # noqa: S608
            "ORDER BY failures > 0, due_at, practice_id LIMIT ?",
            (within, before, limit),
        )
        return [DueGrant(practice_id=row[0], has_failed=bool(row[1]), due_in=row[2]) for row in rows]

    def count_due(self, within: float, *, before: float = math.inf) -> int:
        """Count the connections that `find_due` finds."""
        sql = f"SELECT COUNT(*) FROM {TABLE} WHERE {self._is_due}"  # noqa: S608
        return (self._database.one(sql, (within, before)) or (0,))[0]

    def release_dead(self) -> None:
        """End the leases of ended processes of this machine; leases of other machines expire.

        The rows still record that their refresh tokens may have been sent.
        """
        held = f"SELECT DISTINCT refresh_by FROM {TABLE} WHERE refresh_by IS NOT NULL"  # noqa: S608
        end = f"UPDATE {TABLE} SET refresh_by = NULL, refresh_until = NULL, version = ? WHERE refresh_by = ?"  # noqa: S608
        if gone := gone_owners(self._database, held):
            self._database.apply([(end, (new_mark(), owner)) for owner in gone])

    def claim_due(
        self, practice_ids: Sequence[str], within: float, *, before: float, seconds: float, limit: int = 1000
    ) -> list[Row]:
        """Take the leases on the given connections that are still due, `limit` at most; return their rows.

        They were found by `find_due`, perhaps some time ago. All leases are taken in one transaction: single
        claims would be a third of the work of a refresh. `seconds` is the duration of the leases.
        """
        self._database.keep_disk_reserve()
        mark = new_mark()
        which = f"slot = 'live' AND practice_id IN ({marks(practice_ids)})"
        # Rows are locked in the order of their ids, and locked rows are skipped, so there is no deadlock.
        free = (
            f"SELECT practice_id FROM {TABLE} WHERE {which} AND state IN ('connected', 'degraded') "  # noqa: S608
            f"AND (refresh_until IS NULL OR refresh_until <= {self._now} "
            f"OR refresh_until >= {self._now} + {BELIEVED_LEASE}) AND {self._is_due} "
            f"ORDER BY practice_id LIMIT ?{self._database.dialect.skip_locked}"
        )
        # Found in a separate subquery, because PostgreSQL may run the condition of an UPDATE more than once.
        claim = (
            f"WITH free AS ({free}) UPDATE {TABLE} "  # noqa: S608
            f"SET refresh_by = ?, refresh_until = {self._now} + ?, version = ?, "
            f"refresh_since = CASE WHEN refresh_sends = 0 THEN {self._now} "
            f"ELSE COALESCE(refresh_since, {self._now}) END, refresh_sends = refresh_sends + 1 "
            "WHERE slot = 'live' AND practice_id IN (SELECT practice_id FROM free)"
        )
        claimed = f"{select_rows(self._now)} WHERE {which} AND version = ?"
        give_back = (
            f"UPDATE {TABLE} SET refresh_by = NULL, refresh_until = NULL, version = ?, "  # noqa: S608
            "refresh_since = CASE WHEN refresh_sends > 1 THEN refresh_since END, "
            f"refresh_sends = refresh_sends - 1 WHERE {which} AND version = ?"
        )

        attempts = count()

        def work(execute: Execute) -> list[Row]:
            # If the response to a commit was lost, the leases that it took are these: take no more.
            if next(attempts) == 0 or not execute(claimed, (*practice_ids, mark)).fetchall():
                execute(claim, (*practice_ids, within, before, limit, this_process(), seconds, mark))
            return [Row(*values) for values in execute(claimed, (*practice_ids, mark)).fetchall()]

        try:
            return self._database.transact(work)
        except BaseException:
            # The claim may have been committed: end it, because no token will be sent.
            with suppress(ConnectorError):
                self._database.apply([(give_back, (new_mark(), *practice_ids, mark))])
            raise

    @property
    def _is_due(self) -> str:
        now = self._now
        # A due time more than two days ahead was set by a wrong clock: the token is due immediately.
        return (
            f"(retry_at IS NULL OR retry_at <= {now} OR retry_at >= {now} + {BELIEVED_BACKOFF}) "
            f"AND (due_at > {now} + {_LONGEST_LIFE} OR (due_at <= {now} + ? AND "
            f"COALESCE(refreshed_at, 0) < ? AND COALESCE(refreshed_at, 0) + due_at <= 2 * {now} "
            # If a refresh is in progress or its response may be lost, the old token is used until it expires.
            f"AND (refresh_sends = 0 OR COALESCE(expires_at, due_at) <= {now} + {_NEAR_ITS_END})))"
        )
