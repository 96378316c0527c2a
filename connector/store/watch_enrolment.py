"""The practices that a watch follows: each has a row in the store; a new one is due at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain

from connector.errors import StoreLockedError
from connector.store.database import Database
from connector.store.process import hold_lease

__all__ = ["CAN_BE_WATCHED", "WatchScope", "enrol"]

_ENROLLED_AT_ONCE = 1000
_LEASE = 120.0
_ENROL = "INSERT INTO ormco_watch_claims (watch, practice_id, due_at, failures)"
_UNLESS_THERE = "ON CONFLICT (practice_id, watch) DO NOTHING"
CAN_BE_WATCHED = "slot = 'live' AND provider = ? AND state NOT IN ('revoking', 'revoked')"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchScope:
    """The practices that a watch follows.

    Attributes:
        watch: the watch's name.
        provider: whose connections.
        practice_ids: only these; None: every connected practice except Ormco's own labs, which would bring
            the same cases a second time.
    """

    watch: str
    provider: str
    practice_ids: tuple[str, ...] | None = None


def enrol(db: Database, scope: WatchScope) -> bool:
    """Make rows for practices that have none yet, due at once; return False if another process does."""
    if scope.practice_ids is not None:
        sql = f"{_ENROL} VALUES (?, ?, {db.dialect.now}, 0) {_UNLESS_THERE}"
        db.apply([(sql, (scope.watch, each)) for each in scope.practice_ids])
        return True
    _forget_revoked(db, scope.watch)
    new = _not_enrolled(db, scope)
    if not (first := next(new, None)):
        return True  # as it is most of the time: nothing is written
    # One process makes them; the others look at those that are there already.
    with ExitStack() as held:
        try:
            what = f"the practices of the watch {scope.watch}"
            held.enter_context(hold_lease(db, what, _LEASE))
        except StoreLockedError:
            return False
        for ids in chain([first], new):
            rows = f"VALUES {', '.join([f'(?, ?, {db.dialect.now}, 0)'] * len(ids))}"
            args = [value for practice_id in ids for value in (scope.watch, practice_id)]
            db.apply([(f"{_ENROL} {rows} {_UNLESS_THERE}", args)])
    return True


def _forget_revoked(db: Database, watch: str) -> None:
    """Delete the rows of revoked practices: they would be due for ever, and be claimed in place of others."""
    which = (
        "watch = ? AND claimed_by IS NULL AND practice_id IN "
        "(SELECT practice_id FROM ormco_connections WHERE state = 'revoked' AND slot = 'live')"
    )
    if db.one(f"SELECT 1 FROM ormco_watch_claims WHERE {which} LIMIT 1", (watch,)):  # noqa: S608
        db.apply([(f"DELETE FROM ormco_watch_claims WHERE {which}", (watch,))])  # noqa: S608


def _not_enrolled(db: Database, scope: WatchScope) -> Iterator[list[str]]:
    """Yield practices that can be watched and have no row yet: no statement takes long, however many."""
    connected = (
        f"SELECT practice_id FROM ormco_connections WHERE {CAN_BE_WATCHED} AND practice_id > ? "  # noqa: S608
        "AND substr(practice_id, 1, 4) <> 'lab:' ORDER BY practice_id LIMIT ?"
    )
    # Not in one statement with those: PostgreSQL keeps the plan it has made when there were no rows yet.
    have = "SELECT practice_id FROM ormco_watch_claims WHERE watch = ? AND practice_id BETWEEN ? AND ?"
    last = ""
    while page := [row[0] for row in db.all(connected, (scope.provider, last, _ENROLLED_AT_ONCE))]:
        last = page[-1]
        enrolled = {row[0] for row in db.all(have, (scope.watch, page[0], last))}
        if new := sorted(set(page) - enrolled):
            yield new
