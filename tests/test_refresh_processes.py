"""Many processes on one grant: one token call, and no crash that costs it without a word."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from connector.errors import NeedsRepairError
from connector.store.columns import FromNow
from connector.store.store import Store
from tests.support.kills import kill_at_random
from tests.support.postgres import PostgresServer, find_binaries, shared_server
from tests.support.processes import go, results, workers
from tests.support.stores import KINDS, put, row_of, store_at, tokens_on
from tests.support.token_server import TokenServer
from tests.support.work import STEPS, ask, crash

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
also_pooled = pytest.mark.parametrize("url", KINDS, indirect=True)


@also_pooled
def test_one_call_for_all(url: str, store: Store, server: TokenServer) -> None:
    """Many processes with many threads on one ended token make one call, and all get its token."""
    put(store, "p", age=3700)
    server.set(latency=0.1)
    with workers(6, ask, url, server.url, "p", 4) as running:
        found = results(running)
    assert [process["errors"] for process in found] == [[]] * 6
    assert {token for process in found for token in process["tokens"]} == {"at-p-1"}
    counts = server.counts()
    assert (counts["calls"], counts["reuses"], counts["dead"]) == (1, 0, [])


def test_different_practices_do_not_wait_for_each_other(url: str, store: Store, server: TokenServer) -> None:
    """The token calls of different practices are in progress at the same time."""
    for number in range(6):
        put(store, f"p{number}", age=3700)
    server.set(latency=0.5)
    with workers(6, ask, url, server.url, "p{}", 1) as running:
        found = results(running)
    assert [process["tokens"] for process in found] == [[f"at-p{number}-1"] for number in range(6)]
    assert server.counts()["most_under_way"] > 1


@pytest.mark.parametrize(("step", "failures"), [(step, at % 2) for at, step in enumerate(STEPS)])
def test_killed_at_a_step(url: str, store: Store, server: TokenServer, step: str, failures: int) -> None:
    """At whatever point a refresh is killed, the store records it, and the next refresh acts on it."""
    put(store, "p", age=3700, failures=failures, retry_at=FromNow(-1) if failures else None)
    with workers(1, crash, url, server.url, "p", step) as running:
        go(running)
        running[0].process.join(60)
        assert running[0].process.exitcode == -9
    tokens = tokens_on(store, server.url)
    if step in ("after the answer", "inside the settle"):
        with pytest.raises(NeedsRepairError, match="answer_lost"):
            tokens.access_token("p")
        assert [event.outcome for event in store.audit.events()] == ["answer_lost"]
    else:
        assert tokens.access_token("p") == "at-p-1"
        assert server.counts()["reuses"] == 0


@also_pooled
def test_killed_at_random(url: str, store: Store, server: TokenServer) -> None:
    """However often processes are killed while they refresh, no grant is lost silently."""
    tally = kill_at_random(store, url, server, kills=9)
    assert tally.lost == []
    assert tally.refreshed > 0


def test_stalled_owner_stores_its_tokens(url: str, store: Store, server: TokenServer) -> None:
    """A refresh that is stored after others have marked the grant dead brings the connection back."""
    put(store, "p", age=3700)
    server.set(latency=0.6)
    done: list[str] = []
    thread = threading.Thread(target=lambda: done.append(tokens_on(store, server.url).access_token("p")))
    thread.start()
    time.sleep(0.3)
    given_up = {"state": "needs_repair", "reason": "answer_lost", "refresh_by": None, "refresh_until": None}
    assert store.grants.change(row_of(store, "p"), given_up)
    thread.join()
    assert done == ["at-p-1"]
    assert row_of(store, "p").state == "connected"


def test_database_restarts_during_the_call(server: TokenServer) -> None:
    """A PostgreSQL that is stopped during a token call costs neither a grant nor a second call."""
    shared_server()  # skips or fails if there is no PostgreSQL
    binaries = find_binaries()
    assert binaries is not None
    server.set(latency=1.0)
    with PostgresServer(binaries) as database:
        url = database.create_database()
        store = store_at(url)
        put(store, "p", age=3700)
        with workers(4, ask, url, server.url, "p", 2) as running:
            threading.Timer(0.4, database.stop, ("immediate",)).start()
            threading.Timer(0.9, database.start).start()
            found = results(running)
        assert [process["errors"] for process in found] == [[]] * 4
        assert {token for process in found for token in process["tokens"]} == {"at-p-1"}
        assert server.counts()["calls"] == 1
        store.close()
