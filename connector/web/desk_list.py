"""The support desk's list: all practices, those that need help first."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import render_template, request

from connector import words
from connector.connection import Account, Connection
from connector.errors import ConnectorError

if TYPE_CHECKING:
    from connector.connector import Connector
    from connector.store.overview import StoreSummary

__all__ = ["DeskList"]

_ROWS = 25
_MOST_ROWS = 1000
_COUNTED_FOR = 10.0  # seconds


class DeskList:
    """Shows, searches and counts the connections.

    Args:
        connector: the library.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._counted: tuple[int, float, StoreSummary] | None = None

    def page(self) -> str:
        """Return the whole page."""
        return render_template("ormco/desk.html", last=self._last_event(), **self._found())

    def rows(self) -> str:
        """Return only the rows, for a search while it is typed."""
        return render_template("ormco/desk_rows.html", **self._found())

    def _found(self) -> dict[str, Any]:
        text = request.args.get("q", "")
        shown = min(max(request.args.get("rows", _ROWS, type=int), _ROWS), _MOST_ROWS)
        counted, connections = self._summary(), self._connector.search(text, limit=shown)
        total = words.counted(sum(counted.states.values()), "practice")
        return {
            "query": text,
            "connections": connections,
            "unconfirmed": self._unconfirmed(connections),
            "count": f"{total} · {words.counted(counted.needs_attention, '', 'need attention')}",
            "shown": shown,
            "more": shown + 4 * _ROWS,
        }

    def _unconfirmed(self, connections: Collection[Connection]) -> dict[str, Account]:
        """Return the accounts that wait for confirmation, by practice, except those that cannot be read."""
        found: dict[str, Account] = {}
        for connection in connections:
            if words.next_step(connection) is words.NextStep.CONFIRM:
                with suppress(ConnectorError):
                    if account := self._connector.unconfirmed_account(connection.practice_id):
                        found[connection.practice_id] = account
        return found

    def _summary(self) -> StoreSummary:
        """Count all connections, or return a recent count if no event has been recorded since."""
        last, now = self._last_event(), time.monotonic()
        counted = self._counted
        if counted is None or counted[0] != last or now - counted[1] > _COUNTED_FOR:
            counted = self._counted = last, now, self._connector.summary()
        return counted[2]

    def _last_event(self) -> int:
        last = self._connector.events(limit=1, last=True)
        return last[-1].sequence if last else 0

    def changes(self) -> dict[str, Any]:
        """Return the practices that changed since an event, in any process."""
        after = request.args.get("after", 0, type=int)
        new = self._connector.events(after=after, limit=1000)
        return {
            "after": new[-1].sequence if new else after,
            "practices": sorted({event.practice_id for event in new if event.practice_id}),
        }
