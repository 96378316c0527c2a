"""Claims on a watch's practices: a process claims those that are due, by lease.

A claim is two columns of the practice's row: who has it, and until when. It ends when it is settled, when its
time is over, or when its owner is found dead on this machine. All times are the database's own, so that no
process's clock decides what another may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.store.database import Database, Execute, Statement, marks
from connector.store.process import claim_name, is_gone
from connector.store.watch_enrolment import CAN_BE_WATCHED, WatchScope, enrol

__all__ = ["WatchClaim", "WatchClaims", "WatchOutcome"]

_CHUNK = 400


@dataclass(frozen=True, slots=True)
class WatchClaim:
    """A practice that this process alone looks at until it settles the claim, or the claim ends.

    Attributes:
        owner: names this claim in the store.
        late: seconds since the look was due.
        failures: looks that failed in a row, in any process.
        problem: kind of the last failure, or None.
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
        due_in: seconds until the next look.
        looked: False if the claim is given back unused.
        failures: looks that failed in a row.
        problem: kind of the failure, or None.
    """

    claim: WatchClaim
    due_in: float
    looked: bool = True
    failures: int = 0
    problem: str | None = None


class WatchClaims:
    """The rows by which any number of processes share a watch."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._now = db.dialect.now

    def enrol(self, scope: WatchScope) -> bool:
        """Make rows for practices that have none yet; return False if another process does."""
        return enrol(self._db, scope)

    def claim(
        self, scope: WatchScope, *, limit: int, lease: float, not_looked_since: float | None = None
    ) -> list[WatchClaim]:
        """Claim practices, the most urgent first; no other process gets them meanwhile.

        Args:
            scope: the practices to follow.
            limit: how many at most.
            lease: seconds after which a claim that was neither extended nor settled is free again.
            not_looked_since: claim what nobody has looked at since this time, by the database's clock, due or
                not; None: what is due.
        """
        owner = claim_name()
        mark = (
            f"UPDATE ormco_watch_claims SET claimed_by = ?, claimed_until = {self._now} + ? WHERE watch = ?",  # noqa: S608
            (owner, lease, scope.watch),
        )
        claimed: list[WatchClaim] = []
        # A look without a lock first: most of the time nothing is due.
        first = "SELECT MIN(due_at) AS first FROM ormco_watch_claims WHERE watch = ?"
        is_due = f"SELECT 1 FROM ({first}) AS due WHERE first <= {self._now}"  # noqa: S608
        if not_looked_since is None and self._db.one(is_due, (scope.watch,)) is None:
            return []
        for part in _parts(scope):
            condition, args = self._pending(part, not_looked_since)
            sql = (
                f"SELECT practice_id, {self._now} - due_at, failures, problem FROM ormco_watch_claims "  # noqa: S608
                # A claim of its own: the transaction runs again if its first response was lost.
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
        """Return how many practices nobody has looked at since a time, claimed or not."""
        pending = (self._pending(part, not_looked_since) for part in _parts(scope))
        sql = "SELECT COUNT(*) FROM ormco_watch_claims WHERE "
        return sum((self._db.one(sql + which, args) or (0,))[0] for which, args in pending)

    def round_seconds(self, watch: str, seconds: float) -> float | None:
        """Return how long a look at every practice takes, at the pace of the last so many seconds.

        The looks of all processes count; practices that are seldom looked at because they fail do not. None:
        there were no looks.
        """
        recent = f"SUM(CASE WHEN looked_at > {self._now} - ? THEN 1 ELSE 0 END)"
        sql = f"SELECT COUNT(*), {recent} FROM ormco_watch_claims WHERE watch = ? AND failures = 0"  # noqa: S608
        practices, looks = self._db.one(sql, (seconds, watch)) or (0, 0)
        return seconds * practices / looks if looks else None

    def extend(self, claim: WatchClaim, lease: float) -> bool:
        """Keep a claim for longer; return whether it was still this process's."""
        sql = (
            f"UPDATE ormco_watch_claims SET claimed_until = {self._now} + ? "  # noqa: S608
            "WHERE watch = ? AND practice_id = ? AND claimed_by = ?"
        )
        return self._db.apply([(sql, (lease, claim.watch, claim.practice_id, claim.owner))]) == [1]

    def settle(self, outcomes: Iterable[WatchOutcome]) -> None:
        """Give claims back, with what came of them and when the next look is due, in one transaction."""
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
        """Free the claims of processes of this machine that have ended; others' end with their lease."""
        sql = "SELECT DISTINCT claimed_by FROM ormco_watch_claims WHERE watch = ? AND claimed_by IS NOT NULL"
        dead = [owner for (owner,) in self._db.all(sql, (watch,)) if is_gone(owner)]
        what = "claimed_by = NULL, claimed_until = NULL WHERE watch = ? AND claimed_by = ?"
        if dead:
            self._db.apply([(f"UPDATE ormco_watch_claims SET {what}", (watch, owner)) for owner in dead])  # noqa: S608

    def _pending(self, scope: WatchScope, since: float | None) -> tuple[str, tuple[object, ...]]:
        """Return the condition that finds what is to be looked at, and its parameters."""
        when = f"due_at <= {self._now}" if since is None else "(looked_at IS NULL OR looked_at < ?)"
        condition = f"watch = ? AND {when}"
        args: tuple[object, ...] = (scope.watch,) if since is None else (scope.watch, since)
        if scope.practice_ids is not None:
            which = f"{condition} AND practice_id IN ({marks(scope.practice_ids)})"
            return which, (*args, *scope.practice_ids)
        # Not EXISTS, which PostgreSQL may take for a join of all: a row at a time, until there are enough.
        connected = (
            "(SELECT 1 FROM ormco_connections k WHERE "  # noqa: S608
            f"k.practice_id = ormco_watch_claims.practice_id AND {CAN_BE_WATCHED}) = 1"
        )
        return f"{condition} AND {connected}", (*args, scope.provider)

    def _take(self, execute: Execute, select: str, args: Sequence[object], mark: Statement) -> list[Any]:
        """Select rows and mark them as claimed, inside a transaction."""
        for statement in self._db.dialect.in_index_order:
            execute(statement, ())
        rows = execute(select, args).fetchall()
        for start in range(0, len(rows), _CHUNK):
            ids = [row[0] for row in rows[start : start + _CHUNK]]
            execute(f"{mark[0]} AND practice_id IN ({marks(ids)})", (*mark[1], *ids))
        return rows


def _parts(scope: WatchScope) -> Iterable[WatchScope]:
    """Cut a long list of names into pieces that fit into one statement."""
    names = scope.practice_ids
    if names is None:
        return [scope]
    return [
        replace(scope, practice_ids=names[start : start + _CHUNK]) for start in range(0, len(names), _CHUNK)
    ]
