"""List, search and count all connections. Nothing here needs a key.

The text for searches is kept in memory: no database index finds a part of a word.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby, islice
from threading import Lock
from typing import Any
from unicodedata import normalize

from connector.clock import Clock
from connector.connection import Connection, ConnectionState
from connector.errors import StoreDamagedError
from connector.store.database import TABLE, Database, marks
from connector.store.row import Row, Rows, select_rows

__all__ = ["Overview", "StoreSummary", "shown"]

_PAGE = 500
_DEGRADED_SECONDS = 3600.0
_NAMES = f"SELECT practice_id, account_email, account_name FROM {TABLE}"  # noqa: S608
_READ_ALONE = 200  # if more practices have changed, the names of all are read
_NAMES_LAST = 60.0  # seconds after which all names are read again, for changes without an event
_END = "\0"  # separates names; a search text that contains it finds nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSummary:
    """The state of all connections, for a monitor.

    Attributes:
        states: the number of practices in each state; together they are all practices.
        needs_attention: the number of practices that need attention.
        unconfirmed: practices whose new account a person has to confirm.
        overdue: connections without failures whose access token expired before it was refreshed.
        lag: seconds since the first of those tokens expired; 0 if there is none.
    """

    states: dict[str, int]
    needs_attention: int
    unconfirmed: int
    overdue: int
    lag: float


class Overview:
    """Reads all connections."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._select = select_rows(database.dialect.now)
        self._names = _PracticeNames(database, clock)

    def connections(self, *, needs_attention: bool = False) -> Iterator[Connection]:
        """Yield all connections by practice id, or only those that need attention."""
        which = f"practice_id IN ({self._needing})" if needs_attention else "1 = 1"
        return map(shown, _by_practice(self._rows(which)))

    def search(self, text: str, *, limit: int) -> list[Connection]:
        """Return connections that contain a text, those that need attention first; see `Connector.search`."""
        matches = self._names.find(text)
        one = next(matches, None)
        if one is None:
            return []
        needing = [row[0] for row in self._database.all(f"{self._needing} ORDER BY practice_id", ())]
        later = set(needing)
        rest = (practice_id for practice_id in chain([one], matches) if practice_id not in later)
        found = list(islice(chain(self._names.among(needing, text), rest), limit))
        sql = f"{self._select} WHERE practice_id IN ({marks(found)}) ORDER BY practice_id, slot"
        rows = self._database.all(sql, found)
        places = {practice_id: place for place, practice_id in enumerate(found)}
        connections = map(shown, _by_practice(Row(*values) for values in rows))
        return sorted(connections, key=lambda connection: places[connection.practice_id])

    def summary(self) -> StoreSummary:
        """Count the connections by state, and measure how late refreshes are."""
        now, states_table = self._database.dialect.now, self._database.dialect.states
        by_state = f"SELECT state, COUNT(*) FROM {states_table} GROUP BY state"  # noqa: S608
        # A new grant beside a live one is not counted: the practice has the state of the live grant.
        unverified = (
            f"SELECT state, COUNT(*) FROM {TABLE} WHERE {_UNVERIFIED} AND practice_id IN "  # noqa: S608
            f"(SELECT practice_id FROM {TABLE} WHERE slot = 'live') GROUP BY state"
        )
        states = Counter(dict(self._database.all(by_state, ())))
        states.subtract(dict(self._database.all(unverified, ())))
        attention = f"SELECT COUNT(*) FROM ({self._needing}) AS needing"  # noqa: S608
        # A connection with failed refreshes does not show that refreshes are late.
        late = (
            f"SELECT COUNT(*), {now} - MIN(due_at) FROM {states_table} "  # noqa: S608
            f"WHERE due_at < (SELECT {now}) AND failures = 0"  # evaluated once, not for each row
        )
        overdue, lag = self._database.one(late, ()) or (0, None)
        unconfirmed = "SELECT COUNT(*) FROM ormco_connections WHERE confirm_by IS NOT NULL"
        return StoreSummary(
            states=dict(+states),
            needs_attention=(self._database.one(attention, ()) or (0,))[0],
            unconfirmed=(self._database.one(unconfirmed, ()) or (0,))[0],
            overdue=overdue,
            lag=lag or 0.0,
        )

    def database_time(self) -> float:
        """Return the time by the database's clock; 0 if there is no store."""
        return (self._database.one(f"SELECT {self._database.dialect.now}", ()) or (0.0,))[0]

    def _rows(self, which: str) -> Iterator[Row]:
        here = f"(practice_id, slot) > (?, ?) AND {which}"
        sql = f"{self._select} WHERE {here} ORDER BY practice_id, slot LIMIT ?"
        last = ("", "")
        while found := self._database.all(sql, (*last, _PAGE)):
            yield from (Row(*values) for values in found)
            last = (found[-1][0], found[-1][1])

    @property
    def _needing(self) -> str:
        """The query for practices that need attention; the only definition of "needs attention".

        Each condition names a state, so that the database can use the index of states.
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
    """Yield the rows of each practice; the rows must be sorted by practice."""
    return (list(each) for _, each in groupby(rows, lambda row: row.practice_id))


def shown(found: Sequence[Row]) -> Connection:
    """Return a practice's connection; a damaged row is returned as a connection with the reason "damaged"."""
    first = found[0]
    try:
        # A row with an unknown slot was written by hand; it is shown too.
        return Rows.of(found).connection or first.connection
    except StoreDamagedError as exc:
        return Connection(
            practice_id=first.practice_id,
            provider=str(first.provider),
            state=ConnectionState.NEEDS_REPAIR,
            since=None,
            reason="damaged",
            last_error=exc.message,
        )


class _PracticeNames:
    """The practice ids, account addresses and names of a store.

    Each event of the audit record names its practice: only practices with new events are read again.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._guard = Lock()
        self._known = _Names({}, event=-1, until=0.0)

    def find(self, text: str) -> Iterator[str]:
        """Yield the practices whose id, account or name contains a text, ignoring case, sorted by id."""
        known, wanted = self._current(), _folded(text)
        place = -1 if _END in wanted else known.text.find(wanted)
        while 0 <= place < len(known.text):
            number = bisect_right(known.starts, place) - 1
            yield known.ids[number]
            place = known.text.find(wanted, known.starts[number + 1])

    def among(self, practice_ids: Iterable[str], text: str) -> Iterator[str]:
        """Yield those of the given practices that contain the text, in the given order."""
        names, wanted = self._known.names, _folded(text)
        return (practice_id for practice_id in practice_ids if wanted in names.get(practice_id, ""))

    def _current(self) -> _Names:
        # Read before the names, so that a change in between is read next time.
        event = (self._database.one("SELECT last FROM ormco_event_counter", ()) or (0,))[0]
        known, now = self._known, self._clock.monotonic()
        if known.event == event and now < known.until:
            return known
        with self._guard:
            names, changed = known.names, self._changed(known, event) if now < known.until else None
            if changed is None:
                names, until = _read(self._database.all(_NAMES, ())), now + _NAMES_LAST
            else:
                sql = f"{_NAMES} WHERE practice_id IN ({marks(changed) or 'NULL'})"
                kept = {key: name for key, name in names.items() if key not in changed}
                names, until = kept | _read(self._database.all(sql, changed)), known.until
            self._known = _Names(names, event=event, until=until)
            return self._known

    def _changed(self, known: _Names, event: int) -> list[str] | None:
        """Return the practices with new events; None if all names have to be read."""
        if event < known.event:
            return None
        sql = (
            "SELECT DISTINCT practice_id FROM ormco_events "
            "WHERE sequence > ? AND practice_id IS NOT NULL ORDER BY practice_id LIMIT ?"
        )
        changed = [row[0] for row in self._database.all(sql, (known.event, _READ_ALONE))]
        return changed if len(changed) < _READ_ALONE else None


class _Names:
    """All names in one text, which is searched a hundred times as fast as a list of names.

    Args:
        names: practice id → its folded names.
        event: the last event when they were read.
        until: the monotonic time at which all names are read again.
    """

    def __init__(self, names: Mapping[str, str], *, event: int, until: float) -> None:
        self.names, self.event, self.until = names, event, until
        self.ids = sorted(names)
        pieces = [names[practice_id] + _END for practice_id in self.ids]
        self.text = "".join(pieces)
        self.starts = [0, *accumulate(map(len, pieces))]


def _read(rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for practice_id, *others in rows:
        own = names.get(practice_id, practice_id)
        names[practice_id] = "\n".join([own, *(str(each) for each in others if each)])
    return {practice_id: _folded(name) for practice_id, name in names.items()}


def _folded(text: str) -> str:
    return normalize("NFKC", text.strip()).casefold()
