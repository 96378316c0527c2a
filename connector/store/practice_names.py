"""The text for searches of practices, kept in memory: no database index finds a part of a word."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from threading import Lock
from typing import Any
from unicodedata import normalize

from connector.clock import Clock
from connector.store.database import Database, marks
from connector.store.sealed_columns import TABLE

__all__ = ["PracticeNames"]

_COLUMNS = "practice_id, account_email, account_name"
_READ_ALONE = 200  # practices; of more, all are read
_LASTS = 60.0  # seconds; a change without an event is found by then
_END = "\0"  # between two names; no text that is found contains it


class PracticeNames:
    """The practice ids, account addresses and names of a store.

    Each event of the audit record names its practice; only those that have one since are read again.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._guard = Lock()
        self._known = _Names({}, event=-1, until=0.0)

    def find(self, text: str) -> Iterator[str]:
        """Yield the practices whose id, account or name contains a text, whatever its case, by their ids.

        Args:
            text: a part of one of them; "" for all.
        """
        known, wanted = self._current(), _folded(text)
        place = -1 if _END in wanted else known.text.find(wanted)
        while 0 <= place < len(known.text):
            number = bisect_right(known.starts, place) - 1
            yield known.ids[number]
            place = known.text.find(wanted, known.starts[number + 1])

    def among(self, practice_ids: Iterable[str], text: str) -> Iterator[str]:
        """Yield those of some practices that `find` yields, in the order in which they are given."""
        names, wanted = self._known.names, _folded(text)
        return (practice_id for practice_id in practice_ids if wanted in names.get(practice_id, ""))

    def _current(self) -> _Names:
        # Read before the names: a change in between is read again the next time.
        event = (self._database.one("SELECT last FROM ormco_event_counter", ()) or (0,))[0]
        known, now = self._known, self._clock.monotonic()
        if known.event == event and now < known.until:
            return known
        with self._guard:
            names, changed = known.names, self._changed(known, event) if now < known.until else None
            if changed is None:
                names, until = _read(self._database.all(f"SELECT {_COLUMNS} FROM {TABLE}", ())), now + _LASTS  # noqa: S608
            else:
                names, until = self._read_again(names, changed), known.until
            self._known = _Names(names, event=event, until=until)
            return self._known

    def _changed(self, known: _Names, event: int) -> list[str] | None:
        """Return the practices that have an event since; None if they are many, or nobody knows."""
        if event < known.event:
            return None
        sql = (
            "SELECT DISTINCT practice_id FROM ormco_events "
            "WHERE sequence > ? AND practice_id IS NOT NULL ORDER BY practice_id LIMIT ?"
        )
        changed = [row[0] for row in self._database.all(sql, (known.event, _READ_ALONE))]
        return changed if len(changed) < _READ_ALONE else None

    def _read_again(self, names: Mapping[str, str], changed: Sequence[str]) -> dict[str, str]:
        sql = f"SELECT {_COLUMNS} FROM {TABLE} WHERE practice_id IN ({marks(changed) or 'NULL'})"  # noqa: S608
        found = self._database.all(sql, changed)
        return {key: name for key, name in names.items() if key not in changed} | _read(found)


class _Names:
    """All names in one text: searching that is a hundred times as fast as one practice after another.

    Args:
        names: practice id → its folded names.
        event: the last event when they were read.
        until: on the steady clock, when all are read again.
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
