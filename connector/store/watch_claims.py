"""Share a watch between processes: each claims the practices that are due, for a limited time.

A claim is two columns of the practice's row: its owner and its end. It ends when it is settled, when its time
is over, or when its owner, a process of this machine, has ended. All times are by the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from connector.errors import StoreLockedError
from connector.store.database import Database, Execute, Statement, marks
from connector.store.owners import claim_name, gone_owners, hold_lease

__all__ = ["WatchClaim", "WatchClaims", "WatchOutcome", "WatchScope"]

_CHUNK = 400
_ENROLLED_AT_ONCE = 1000
_ENROL_SECONDS = 120.0
_ENROL = (
    "INSERT INTO ormco_watch_claims (watch, practice_id, due_at, failures) VALUES {} "
    "ON CONFLICT (practice_id, watch) DO NOTHING"
)
_CAN_BE_WATCHED = "slot = 'live' AND provider = ? AND state NOT IN ('revoking', 'revoked')"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchScope:
    """The practices that a watch follows.

    Attributes:
        watch: the watch's name.
        provider: the provider of the connections.
        practice_ids: only these practices; None: every connected practice, without Ormco's own labs, which
            have the same cases.
    """

    watch: str
    provider: str
    practice_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class WatchClaim:
    """A practice that only this process polls until the claim is settled or ends.

    Attributes:
        late: seconds since the poll was due.
        failures: the number of polls that failed in a row, in any process.
        problem: the kind of the last failure, or None.
    """

    watch: str
    practice_id: str
    owner: str = field(repr=False)
    late: float = 0.0
    failures: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOutcome:
    """The result of a poll.

    Attributes:
        due_in: seconds until the next poll.
        looked: False if the claim is returned without a poll.
    """

    claim: WatchClaim
    due_in: float
    looked: bool = True
    failures: int = 0
    problem: str | None = None


class WatchClaims:
    """Reads and writes the rows of `ormco_watch_claims`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._now = db.dialect.now

    def enrol(self, scope: WatchScope) -> bool:
        """Add rows for practices that have none; return False if another process is adding them."""
        row = f"(?, ?, {self._now}, 0)"
        if scope.practice_ids is not None:
            self._db.apply([(_ENROL.format(row), (scope.watch, each)) for each in scope.practice_ids])
            return True
        self._forget_revoked(scope.watch)
        new = self._not_enrolled(scope)
        if not (first := next(new, None)):
            return True
        # One process adds the rows; the others poll practices that have a row already.
        lease = hold_lease(self._db, f"the practices of the watch {scope.watch}", _ENROL_SECONDS)
        with ExitStack() as held:
            try:
                held.enter_context(lease)
            except StoreLockedError:
                return False
            for ids in chain([first], new):
                args = [value for practice_id in ids for value in (scope.watch, practice_id)]
                self._db.apply([(_ENROL.format(", ".join([row] * len(ids))), args)])
        return True

    def claim(
        self, scope: WatchScope, *, limit: int, lease: float, not_looked_since: float | None = None
    ) -> list[WatchClaim]:
        """Claim practices, the most urgent first.

        Args:
            scope: the practices to follow.
            limit: the maximum number of practices.
            lease: seconds after which a claim that was neither extended nor settled is free again.
            not_looked_since: claim practices that were not polled since this time; None: those that are due.
        """
        owner = claim_name()
        mark = (
            f"UPDATE ormco_watch_claims SET claimed_by = ?, claimed_until = {self._now} + ? WHERE watch = ?",  # noqa: S608
            (owner, lease, scope.watch),
        )
        claimed: list[WatchClaim] = []
        # Most of the time nothing is due: find that out without a lock.
        first = "SELECT MIN(due_at) AS first FROM ormco_watch_claims WHERE watch = ?"
        is_due = f"SELECT 1 FROM ({first}) AS due WHERE first <= {self._now}"  # noqa: S608
        if not_looked_since is None and self._db.one(is_due, (scope.watch,)) is None:
            return []
        for part in _parts(scope):
            condition, args = self._pending(part, not_looked_since)
            sql = (
                f"SELECT practice_id, {self._now} - due_at, failures, problem FROM ormco_watch_claims "  # noqa: S608
                # Its own claims, too: the transaction runs again if the first response was lost.
                f"WHERE {condition} "
                f"AND (claimed_until IS NULL OR claimed_until < {self._now} OR claimed_by = ?) "
                f"ORDER BY due_at LIMIT ?{self._db.dialect.skip_locked}"
            )
            args = (*args, owner, limit - len(claimed))
            rows = self._db.transact(lambda run, sql=sql, args=args: self._take(run, sql, args, mark))  # type: ignore[misc]
            claimed += [WatchClaim(scope.watch, id_, owner, *facts) for id_, *facts in rows]
            if len(claimed) >= limit:
                break
        return claimed

    def count_pending(self, scope: WatchScope, not_looked_since: float) -> int:
        """Return the number of practices that were not polled since a time, claimed or not."""
        pending = (self._pending(part, not_looked_since) for part in _parts(scope))
        sql = "SELECT COUNT(*) FROM ormco_watch_claims WHERE "
        return sum((self._db.one(sql + which, args) or (0,))[0] for which, args in pending)

    def round_seconds(self, watch: str, seconds: float) -> float | None:
        """Return the seconds that one poll of every practice takes, estimated from the last `seconds`.

        The polls of all processes count; practices that fail do not. None if there was no poll.
        """
        recent = f"SUM(CASE WHEN looked_at > {self._now} - ? THEN 1 ELSE 0 END)"
        sql = f"SELECT COUNT(*), {recent} FROM ormco_watch_claims WHERE watch = ? AND failures = 0"  # noqa: S608
        practices, looks = self._db.one(sql, (seconds, watch)) or (0, 0)
        return seconds * practices / looks if looks else None

    def extend(self, claim: WatchClaim, lease: float) -> bool:
        """Extend a claim; return False if this process does not have it any more."""
        sql = (
            f"UPDATE ormco_watch_claims SET claimed_until = {self._now} + ? "  # noqa: S608
            "WHERE watch = ? AND practice_id = ? AND claimed_by = ?"
        )
        return self._db.apply([(sql, (lease, claim.watch, claim.practice_id, claim.owner))]) == [1]

    def settle(self, outcomes: Iterable[WatchOutcome]) -> None:
        """Return claims with the results of their polls, in one transaction."""
        sql = (
            "UPDATE ormco_watch_claims SET claimed_by = NULL, claimed_until = NULL, "  # noqa: S608
            f"due_at = {self._now} + ?, failures = ?, problem = ?, "
            f"looked_at = CASE WHEN ? = 1 THEN {self._now} ELSE looked_at END "
            "WHERE watch = ? AND practice_id = ? AND claimed_by = ?"
        )
        settled = []
        for one in outcomes:
            which = (one.claim.watch, one.claim.practice_id, one.claim.owner)
            settled.append((sql, (one.due_in, one.failures, one.problem, int(one.looked), *which)))
        if settled:
            self._db.apply(settled)

    def release_dead(self, watch: str) -> None:
        """Free the claims of ended processes of this machine; claims of other machines expire."""
        sql = "SELECT DISTINCT claimed_by FROM ormco_watch_claims WHERE watch = ? AND claimed_by IS NOT NULL"
        what = "claimed_by = NULL, claimed_until = NULL WHERE watch = ? AND claimed_by = ?"
        if gone := gone_owners(self._db, sql, (watch,)):
            self._db.apply([(f"UPDATE ormco_watch_claims SET {what}", (watch, owner)) for owner in gone])  # noqa: S608

    def _pending(self, scope: WatchScope, since: float | None) -> tuple[str, tuple[object, ...]]:
        """Return the SQL condition for the practices to poll, and its parameters."""
        when = f"due_at <= {self._now}" if since is None else "(looked_at IS NULL OR looked_at < ?)"
        condition = f"watch = ? AND {when}"
        args: tuple[object, ...] = (scope.watch,) if since is None else (scope.watch, since)
        if scope.practice_ids is not None:
            which = f"{condition} AND practice_id IN ({marks(scope.practice_ids)})"
            return which, (*args, *scope.practice_ids)
        # PostgreSQL could turn an EXISTS into a join of all rows; this is evaluated row by row, up to LIMIT.
        connected = (
            "(SELECT 1 FROM ormco_connections k WHERE "  # noqa: S608
            f"k.practice_id = ormco_watch_claims.practice_id AND {_CAN_BE_WATCHED}) = 1"
        )
        return f"{condition} AND {connected}", (*args, scope.provider)

    def _take(self, execute: Execute, select: str, args: Sequence[object], mark: Statement) -> list[Any]:
        """Select rows and mark them as claimed, inside a transaction."""
        for statement in self._db.dialect.in_index_order:
            execute(statement, ())
        rows: list[Any] = execute(select, args).fetchall()
        for start in range(0, len(rows), _CHUNK):
            ids = [row[0] for row in rows[start : start + _CHUNK]]
            execute(f"{mark[0]} AND practice_id IN ({marks(ids)})", (*mark[1], *ids))
        return rows

    def _forget_revoked(self, watch: str) -> None:
        """Delete the rows of revoked practices, which would stay due and be claimed before others."""
        which = (
            "watch = ? AND claimed_by IS NULL AND practice_id IN "
            "(SELECT practice_id FROM ormco_connections WHERE state = 'revoked' AND slot = 'live')"
        )
        if self._db.one(f"SELECT 1 FROM ormco_watch_claims WHERE {which} LIMIT 1", (watch,)):  # noqa: S608
            self._db.apply([(f"DELETE FROM ormco_watch_claims WHERE {which}", (watch,))])  # noqa: S608

    def _not_enrolled(self, scope: WatchScope) -> Iterator[list[str]]:
        """Yield lists of practices that can be watched and have no row yet."""
        connected = (
            f"SELECT practice_id FROM ormco_connections WHERE {_CAN_BE_WATCHED} AND practice_id > ? "  # noqa: S608
            "AND substr(practice_id, 1, 4) <> 'lab:' ORDER BY practice_id LIMIT ?"
        )
        # Not in one statement: PostgreSQL would keep a plan from the time when there were no rows.
        have = "SELECT practice_id FROM ormco_watch_claims WHERE watch = ? AND practice_id BETWEEN ? AND ?"
        last = ""
        while page := [row[0] for row in self._db.all(connected, (scope.provider, last, _ENROLLED_AT_ONCE))]:
            last = page[-1]
            enrolled = {row[0] for row in self._db.all(have, (scope.watch, page[0], last))}
            if new := sorted(set(page) - enrolled):
                yield new


def _parts(scope: WatchScope) -> Iterable[WatchScope]:
    """Split a long list of practices into parts that fit into one statement."""
    names = scope.practice_ids
    if names is None:
        return [scope]
    return [replace(scope, practice_ids=names[i : i + _CHUNK]) for i in range(0, len(names), _CHUNK)]
