"""All connections at a glance: in order, by a text, and counted. Nothing here needs a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice

from connector.clock import Clock, from_timestamp
from connector.connection import Connection, ConnectionState
from connector.errors import StoreDamagedError
from connector.store.lazy_database import LazyDatabase
from connector.store.practice_names import PracticeNames
from connector.store.row import COLUMNS, TABLE, Row, Rows

__all__ = ["Overview", "StoreSummary"]

_PAGE = 500
_DEGRADED_SECONDS = 3600.0


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


class Overview:
    """Reads all connections.

    Args:
        database: where they are.
        clock: the time.
    """

    def __init__(self, database: LazyDatabase, clock: Clock) -> None:
        self._database = database
        self._names = PracticeNames(database, clock)

    def connections(self, *, needs_attention: bool = False) -> Iterator[Connection]:
        """Yield all connections by practice id.

        Args:
            needs_attention: only those that somebody has to look after.
        """
        which = f"practice_id IN ({self._needing})" if needs_attention else "1 = 1"
        return map(_shown, _by_practice(self._rows(which)))

    def search(self, text: str, *, limit: int) -> list[Connection]:
        """Return connections that contain a text, those that need attention first.

        Args:
            text: a part of the practice id, of the account's address or of its name; "" for all.
            limit: how many at the most.
        """
        matches = self._names.find(text)
        one = next(matches, None)
        if one is None:
            return []
        needing = [row[0] for row in self._database.all(f"{self._needing} ORDER BY practice_id", ())]
        later = set(needing)
        rest = (practice_id for practice_id in chain([one], matches) if practice_id not in later)
        found = list(islice(chain(self._names.among(needing, text), rest), limit))
        marks = ", ".join("?" * len(found))
        sql = f"{self._select} WHERE practice_id IN ({marks}) ORDER BY practice_id, slot"
        rows = self._database.all(sql, found)
        places = {practice_id: place for place, practice_id in enumerate(found)}
        shown = [_shown(each) for each in _by_practice(Row(*values) for values in rows)]
        return sorted(shown, key=lambda connection: places[connection.practice_id])

    def summary(self) -> StoreSummary:
        """Count the connections by state, and tell how late refreshes are."""
        now = self._database.dialect.now
        # The first is read from an index alone, and so is what the second leaves out; the rest is little.
        by_state = f"SELECT state, COUNT(*) FROM {TABLE} GROUP BY state"  # noqa: S608
        unverified = f"SELECT state, COUNT(*) FROM {TABLE} WHERE {_UNVERIFIED} GROUP BY state"  # noqa: S608
        states = Counter(dict(self._database.all(by_state, ())))
        states.subtract(dict(self._database.all(unverified, ())))
        attention = f"SELECT COUNT(*) FROM ({self._needing}) AS needing"  # noqa: S608
        late = f"SELECT COUNT(*), {now} - MIN(due_at) FROM {TABLE} WHERE due_at < {now}"  # noqa: S608
        overdue, lag = self._database.one(late, ()) or (0, None)
        unconfirmed = f"SELECT COUNT(*) FROM {TABLE} WHERE confirm_by IS NOT NULL"  # noqa: S608
        return StoreSummary(
            states=dict(+states),
            needs_attention=(self._database.one(attention, ()) or (0,))[0],
            unconfirmed=(self._database.one(unconfirmed, ()) or (0,))[0],
            overdue=overdue,
            lag=lag or 0.0,
        )

    def _rows(self, which: str) -> Iterator[Row]:
        here = f"(practice_id, slot) > (?, ?) AND {which}"
        sql = f"{self._select} WHERE {here} ORDER BY practice_id, slot LIMIT ?"
        last = ("", "")
        while found := self._database.all(sql, (*last, _PAGE)):
            yield from (Row(*values) for values in found)
            last = (found[-1][0], found[-1][1])

    @property
    def _select(self) -> str:
        return f"SELECT {', '.join(COLUMNS)}, {self._database.dialect.now} FROM {TABLE}"  # noqa: S608

    @property
    def _needing(self) -> str:
        """The ids of the practices that somebody has to look after: the one definition of that.

        Every part of it is a state's, so that all other connections are left out by the index of states.
        """
        now = self._database.dialect.now
        return (
            f"SELECT DISTINCT practice_id FROM {TABLE} WHERE state IN ('needs_repair', 'revoking') "  # noqa: S608
            f"OR {_UNVERIFIED} OR (state = 'degraded' AND (since <= {now} - {_DEGRADED_SECONDS} "
            f"OR COALESCE(expires_at, refreshed_at + 3600, 0) <= {now}))"
        )


# A new grant is degraded until its account is known, or dead.
_UNVERIFIED = "(state IN ('degraded', 'needs_repair') AND slot = 'unverified')"


def _by_practice(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    """Yield the rows of each practice; they come in order."""
    return (list(each) for _, each in groupby(rows, lambda row: row.practice_id))


def _shown(found: Sequence[Row]) -> Connection:
    """Return what may be shown of a practice; what cannot be right is shown as such, and hides no other."""
    first = found[0]
    try:
        # No row of another slot is written; one that somebody has put there is shown by itself.
        return Rows.of(found).connection or first.connection
    except StoreDamagedError as exc:
        return Connection(
            practice_id=first.practice_id,
            provider=str(first.provider),
            state=ConnectionState.NEEDS_REPAIR,
            since=from_timestamp(0),
            reason="damaged",
            last_error=exc.message,
        )
