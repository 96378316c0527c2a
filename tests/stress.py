"""The full counts: 64 processes × 16 threads, 20 times, and a thousand kills. Run by scripts/stress."""

from __future__ import annotations

import pytest

from connector.store import Store
from tests.support.kills import kill_at_random
from tests.support.processes import results, workers
from tests.support.stores import grant_for
from tests.support.token_server import TokenServer
from tests.support.work import ask

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]

PROCESSES, THREADS, RUNS, KILLS = 64, 16, 20, 1000


def test_stampede(url: str, store: Store, server: TokenServer) -> None:
    """In every run all threads of all processes have the new token after one call, and the grant lives."""
    server.set(latency=0.25)
    for run in range(RUNS):
        name = f"p{run}"
        store.put(grant_for(name, age=3700), expected_generation=None)
        server.set(calls=0)
        with workers(PROCESSES, ask, url, server.url, name, THREADS) as running:
            found = results(running)
        assert [error for process in found for error in process["errors"]] == []
        assert [token for process in found for token in process["tokens"]] == [f"at-{name}-1"] * (
            PROCESSES * THREADS
        )
        counts = server.counts()
        assert (counts["calls"], counts["reuses"], counts["dead"]) == (1, 0, [])


def test_kills(url: str, store: Store, server: TokenServer) -> None:
    """Of many kills at random moments none leaves an unreadable store or loses a grant without a word."""
    tally = kill_at_random(store, url, server, kills=KILLS, processes=4)
    assert tally.lost == []
    assert tally.refreshed > KILLS / 10
    assert tally.marked + tally.dead > 0
