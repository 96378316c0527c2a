"""Kill processes in the middle of their work, then see whether any grant was lost without a word."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from connector.connection import ConnectionState, Event, Grant
from connector.store import Store
from tests.support.processes import workers
from tests.support.stores import grant_for
from tests.support.token_server import TokenServer
from tests.support.work import refresh_for_ever

__all__ = ["Tally", "kill_at_random"]


@dataclass
class Tally:
    """What a number of kills left behind.

    Attributes:
        kills: how many.
        refreshed: token calls that were granted.
        marked: grants whose answer may be lost, and that say so.
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
            store.put(grant_for(f"p{number}"), expected_generation=None)
    while tally.kills < kills:
        with workers(processes, refresh_for_ever, url, server.url, practices) as running:
            for process in running:
                time.sleep(random.uniform(0.01, 0.12))
                process.kill()
                tally.kills += 1
        _look(store, server, practices, tally)
    tally.refreshed = server.counts()["granted"]
    return tally


def _look(store: Store, server: TokenServer, practices: int, tally: Tally) -> None:
    newest = server.counts()["newest"]
    for number in range(practices):
        practice_id = f"p{number}"
        grant = store.get(practice_id)
        assert grant is not None
        if grant.connection.state is ConnectionState.NEEDS_REPAIR:
            tally.dead += 1
            assert grant.connection.reason == "answer_lost", grant.connection
            server.set(newest={**newest, practice_id: 0}, dead=[])
            _start_again(store, grant)
        elif grant.refresh_sent_at is not None:
            tally.marked += 1
        elif (
            grant.tokens is None
            or grant.tokens.access_token != f"at-{practice_id}-{newest.get(practice_id, 0)}"
        ):
            tally.lost.append(f"{practice_id}: {grant.connection}")


def _start_again(store: Store, grant: Grant) -> None:
    """Give a dead practice fresh consent."""
    fresh = grant_for(grant.connection.practice_id)
    store.delete(grant.connection.practice_id, _forgotten(grant))
    store.put(fresh, expected_generation=None)


def _forgotten(grant: Grant) -> Event:
    return Event(
        at=grant.connection.since, kind="forget", outcome="ok", practice_id=grant.connection.practice_id
    )
