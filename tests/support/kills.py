"""Kill processes in the middle of their work, then see whether any grant was lost without a word."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from connector.connection import ConnectionState
from connector.store.store import Store
from tests.support.processes import workers
from tests.support.stores import put, row_of, token_set, value_of
from tests.support.token_server import TokenServer
from tests.support.work import refresh_for_ever


@dataclass
class Tally:
    """The result of a number of kills.

    Attributes:
        kills: how many.
        refreshed: token calls that were granted.
        marked: grants whose response may be lost, and that say so.
        dead: grants that died of it, and say so.
        lost: grants whose tokens are not the newest, without a word of it. There must be none.
    """

    kills: int = 0
    refreshed: int = 0
    marked: int = 0
    dead: int = 0
    lost: list[str] = field(default_factory=list)


def kill_at_random(
    store: Store, url: str, server: TokenServer, *, kills: int, practices: int = 4, processes: int = 3
) -> Tally:
    """Let processes refresh practices and kill them all at random moments, again and again."""
    tally = Tally()
    store.check()
    for number in range(practices):
        if store.connection(f"p{number}") is None:
            put(store, f"p{number}")
    while tally.kills < kills:
        with workers(processes, refresh_for_ever, url, server.url, practices) as running:
            for process in running:
                time.sleep(random.uniform(0.01, 0.12))
                process.kill()
                tally.kills += 1
        _check_grants(store, server, practices, tally)
    tally.refreshed = server.counts()["granted"]
    return tally


def _check_grants(store: Store, server: TokenServer, practices: int, tally: Tally) -> None:
    newest = server.counts()["newest"]
    for number in range(practices):
        row, (_, refresh_token) = row_of(store, f"p{number}"), value_of(store, f"p{number}")
        assert refresh_token is not None
        _, name, refreshes = refresh_token.split("-")
        if row.state == ConnectionState.NEEDS_REPAIR:
            tally.dead += 1
            assert row.reason == "answer_lost", row
            # A new consent, under a name that no late call can affect.
            put(store, f"p{number}", tokens=token_set(f"p{number}.{tally.dead}"))
        elif row.refresh_sends:
            tally.marked += 1
        elif int(refreshes) != newest.get(name, 0):
            tally.lost.append(f"{name}: {row}")
