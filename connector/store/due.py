"""Connections whose refresh is due: found, counted, and claimed several at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from connector.errors import ConnectorError
from connector.store.database import Database, Execute, marks
from connector.store.process import is_gone, new_mark, this_process
from connector.store.row import COLUMNS, LONGEST_BACKOFF, LONGEST_LEASE, Row
from connector.store.sealed_columns import TABLE

__all__ = ["DueGrant", "DueGrants"]

_LONGEST_LIFE = 2 * 86400.0
_NEAR_ITS_END = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DueGrant:
    """A connection whose tokens are to be refreshed.

    Attributes:
        has_failed: whether the last refresh failed.
        due_in: seconds until its access token expires; negative if it has expired.
    """

    practice_id: str
    has_failed: bool
    due_in: float


class DueGrants:
    """Finds due connections. A token is never due before half of its lifetime.

    Args:
        database: the database of the connections.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = database.dialect.now

    def find(self, within: float, *, before: float = math.inf, limit: int = 1000) -> list[DueGrant]:
        """Return the connections that are due within a time: sound ones first, then the most urgent.

        Args:
            within: seconds until the access token expires.
            before: only those that were refreshed before this time, by the database's clock.
            limit: how many at most.
        """
        rows = self._database.all(
            f"SELECT practice_id, failures > 0, due_at - {self._now} FROM {TABLE} WHERE {self._is_due} "  # noqa: S608
            "ORDER BY failures > 0, due_at, practice_id LIMIT ?",
            (within, before, limit),
        )
        return [DueGrant(practice_id=row[0], has_failed=bool(row[1]), due_in=row[2]) for row in rows]

    def count(self, within: float, *, before: float = math.inf) -> int:
        """Count the connections that `find` finds."""
        sql = f"SELECT COUNT(*) FROM {TABLE} WHERE {self._is_due}"  # noqa: S608
        return (self._database.one(sql, (within, before)) or (0,))[0]

    def release_dead(self) -> None:
        """End the leases of processes of this machine that have ended; others' end with their time.

        What is recorded of the calls that they may have made stays.
        """
        held = f"SELECT DISTINCT refresh_by FROM {TABLE} WHERE refresh_by IS NOT NULL"  # noqa: S608
        end = f"UPDATE {TABLE} SET refresh_by = NULL, refresh_until = NULL, version = ? WHERE refresh_by = ?"  # noqa: S608
        dead = [owner for (owner,) in self._database.all(held, ()) if is_gone(owner)]
        if dead:
            self._database.apply([(end, (new_mark(), owner)) for owner in dead])

    def claim(
        self, practice_ids: Sequence[str], within: float, *, before: float, seconds: float
    ) -> list[Row]:
        """Take the leases on those of some connections that are still due; return their rows.

        A claim is also the record that the refresh token is about to be sent. Many are made in one
        transaction, because a claim for each would be a third of the work of a refresh.

        Args:
            practice_ids: found by `find`, perhaps a while ago.
            within: as for `find`.
            before: as for `find`.
            seconds: until each refresh has to be over.
        """
        self._database.keep_disk_reserve()
        mark = new_mark()
        which = f"slot = 'live' AND practice_id IN ({marks(practice_ids)})"
        # In the order of their ids, and without waiting for rows that others are writing: no deadlock.
        free = (
            f"SELECT practice_id FROM {TABLE} WHERE {which} AND state IN ('connected', 'degraded') "  # noqa: S608
            f"AND (refresh_until IS NULL OR refresh_until <= {self._now} "
            f"OR refresh_until >= {self._now} + {LONGEST_LEASE}) AND {self._is_due} "
            f"ORDER BY practice_id{self._database.dialect.skip_locked}"
        )
        claim = (
            f"UPDATE {TABLE} SET refresh_by = ?, refresh_until = {self._now} + ?, version = ?, "  # noqa: S608
            f"refresh_since = CASE WHEN refresh_sends = 0 THEN {self._now} "
            f"ELSE COALESCE(refresh_since, {self._now}) END, refresh_sends = refresh_sends + 1 "
            f"WHERE slot = 'live' AND practice_id IN ({free})"
        )
        # By its mark: a commit whose response was lost is tried again, and then changes nothing.
        claimed = f"SELECT {', '.join(COLUMNS)}, {self._now} FROM {TABLE} WHERE {which} AND version = ?"  # noqa: S608
        give_back = (
            f"UPDATE {TABLE} SET refresh_by = NULL, refresh_until = NULL, version = ?, "  # noqa: S608
            "refresh_since = CASE WHEN refresh_sends > 1 THEN refresh_since END, "
            f"refresh_sends = refresh_sends - 1 WHERE {which} AND version = ?"
        )

        def work(execute: Execute) -> list[Row]:
            execute(claim, (this_process(), seconds, mark, *practice_ids, within, before))
            return [Row(*values) for values in execute(claimed, (*practice_ids, mark)).fetchall()]

        try:
            return self._database.transact(work)
        except BaseException:
            # It may have been committed: give it back, because nothing will be sent.
            with suppress(ConnectorError):
                self._database.apply([(give_back, (new_mark(), *practice_ids, mark))])
            raise

    @property
    def _is_due(self) -> str:
        now = self._now
        # No token is said to be due in days: a wrong clock has set it, and it is due at once.
        return (
            f"(retry_at IS NULL OR retry_at <= {now} OR retry_at >= {now} + {LONGEST_BACKOFF}) "
            f"AND (due_at > {now} + {_LONGEST_LIFE} OR (due_at <= {now} + ? AND "
            f"COALESCE(refreshed_at, 0) < ? AND COALESCE(refreshed_at, 0) + due_at <= 2 * {now} "
            # A refresh is in progress, or its response may be lost: then the token is used to its end first.
            f"AND (refresh_sends = 0 OR COALESCE(expires_at, due_at) <= {now} + {_NEAR_ITS_END})))"
        )
