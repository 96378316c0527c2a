"""Claims by lease: each practice is looked at by one process at a time, whichever database keeps them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from connector.connection import ConnectionState
from connector.store.owners import hold_lease
from connector.store.store import Store
from connector.store.watch_claims import WatchOutcome, WatchScope
from tests.support.stores import put, store_at
from tests.support.threads import at_once

EVERYBODY = WatchScope(watch="default", provider="test")
LEASE = 60.0


def connect(store: Store, *practice_ids: str, state: ConnectionState = ConnectionState.CONNECTED) -> None:
    for practice_id in practice_ids:
        put(store, practice_id, state=state.value)


def enrol(store: Store, *practice_ids: str) -> None:
    connect(store, *practice_ids)
    store.watch_claims.enrol(EVERYBODY)


def set_state(store: Store, practice_id: str, state: str) -> None:
    sql = "UPDATE ormco_connections SET state = ? WHERE practice_id = ?"
    store.database.apply([(sql, (state, practice_id))])


def claim(store: Store, scope: Any = EVERYBODY, limit: int = 100, lease: Any = LEASE, **options: Any) -> Any:
    return store.watch_claims.claim(scope, limit=limit, lease=lease, **options)


def names(claims: Any) -> Any:
    return sorted(each.practice_id for each in claims)


def test_enrol_takes_in_connected_practices(store: Store) -> None:
    """Every connected practice is due at once, new ones when they come; labs and revoked ones are not."""
    connect(store, "gone", state=ConnectionState.REVOKED)
    enrol(store, "maple", "lab:europe")
    assert names(claim(store)) == ["maple"]
    enrol(store, "linden")
    assert names(claim(store)) == ["linden"]


def enrolments(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets how many rows each statement of an enrolment makes."""
    made: list[int] = []
    apply = store.database.apply

    def count(statements: Any) -> Any:
        counts = apply(statements)
        made.extend(counts if "ormco_watch_claims" in statements[0][0] else [])
        return counts

    monkeypatch.setattr(store.database, "apply", count)
    return made


def test_enrol_takes_in_some_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many practices there are, all are taken in, by statements that each take in a few."""
    monkeypatch.setattr("connector.store.watch_claims._ENROLLED_AT_ONCE", 3)
    connect(store, *(f"p{number}" for number in range(10)))
    made = enrolments(store, monkeypatch)
    assert store.watch_claims.enrol(EVERYBODY)
    assert made == [3, 3, 3, 1]
    assert len(names(claim(store, limit=20))) == 10
    assert store.watch_claims.enrol(EVERYBODY)
    assert len(made) == 4


def test_one_process_at_a_time_enrols(store: Store, url: str) -> None:
    """While one process enrols practices, others poll those that are enrolled already."""
    connect(store, "maple")
    other = store_at(url)
    with hold_lease(other.database, "the practices of the watch default", LEASE):
        assert not store.watch_claims.enrol(EVERYBODY)
    assert claim(store) == []
    assert store.watch_claims.enrol(EVERYBODY)
    assert names(claim(store)) == ["maple"]


def test_revoked_practices_are_not_claimed(store: Store) -> None:
    """A practice that was revoked loses its row, and is due at once when it is connected again."""
    enrol(store, "maple", "linden")
    (mine, _) = claim(store)
    store.watch_claims.settle([WatchOutcome(claim=replace(mine, practice_id="maple"), due_in=3600.0)])
    set_state(store, "maple", "revoked")
    store.watch_claims.enrol(EVERYBODY)
    set_state(store, "maple", "connected")
    store.watch_claims.enrol(EVERYBODY)
    assert names(claim(store)) == ["maple"]


def test_claimed_practice_is_not_claimed_again(store: Store, url: str) -> None:
    """A practice that one process has claimed is no other's until it is settled and due again."""
    enrol(store, "maple")
    (mine,) = claim(store)
    other = store_at(url)
    assert claim(other) == []
    store.watch_claims.settle([WatchOutcome(claim=mine, due_in=3600.0)])
    assert claim(other) == []
    other.watch_claims.settle([WatchOutcome(claim=mine, due_in=0.0)])  # no longer its own claim: ignored
    assert claim(other) == []


def test_settled_practice_is_due_again(store: Store) -> None:
    """The outcome of a poll says when the next is due, and the next claim has its failures."""
    enrol(store, "maple")
    (first,) = claim(store)
    store.watch_claims.settle([WatchOutcome(claim=first, due_in=-5.0, failures=2, problem="needs_repair")])
    (second,) = claim(store)
    assert (second.failures, second.problem) == (2, "needs_repair")
    assert 4.9 < second.late < 60


def test_claim_ends_with_its_lease(store: Store) -> None:
    """A claim that was neither settled nor extended is free when its time is over."""
    enrol(store, "maple")
    (lost,) = claim(store, lease=-1.0)
    (mine,) = claim(store)
    assert not store.watch_claims.extend(lost, LEASE)
    assert store.watch_claims.extend(mine, LEASE)
    assert claim(store) == []


def test_claim_of_a_dead_process_is_freed(store: Store, url: str) -> None:
    """The claims of a killed process of this machine are free at once, before their lease ends."""
    enrol(store, "maple")
    code = (
        "import sys; from tests.test_store_watch_claims import *\nsys.exit(len(claim(store_at(sys.argv[1]))))"
    )
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == 1
    assert claim(store) == []
    store.watch_claims.release_dead("default")
    assert names(claim(store)) == ["maple"]
    store.watch_claims.release_dead("default")
    assert claim(store) == []


def test_named_practices_only(store: Store) -> None:
    """A scope with names has only these practices, connected or not, however many."""
    connect(store, "maple", "linden")
    several = tuple(f"p-{number}" for number in range(900))
    scope = replace(EVERYBODY, practice_ids=("maple", *several))
    store.watch_claims.enrol(scope)
    assert names(claim(store, scope, limit=1000)) == sorted(("maple", *several))


def test_claim_by_the_last_poll(store: Store) -> None:
    """A round claims all practices that were not polled since it began, due or not, and counts the rest."""
    enrol(store, "maple", "linden")
    began = store.overview.database_time()
    (first,) = claim(store, limit=1, not_looked_since=began)
    store.watch_claims.settle([WatchOutcome(claim=first, due_in=0.0)])
    (second,) = claim(store, not_looked_since=began)
    assert names([first, second]) == ["linden", "maple"]
    assert store.watch_claims.count_pending(EVERYBODY, began) == 1
    store.watch_claims.settle([WatchOutcome(claim=second, due_in=0.0)])
    assert store.watch_claims.count_pending(EVERYBODY, began) == 0


def test_processes_share_without_overlap(store: Store, url: str) -> None:
    """Many that claim at the same time get every practice once between them."""
    enrol(store, *(f"p-{number:03}" for number in range(60)))

    def take(number: int) -> list[str]:
        own, found = store_at(url), list[str]()
        while got := claim(own, limit=5):
            found += names(got)
        return found

    taken = [name for each in at_once(8, take) for name in each]
    assert sorted(taken) == [f"p-{number:03}" for number in range(60)]


def test_length_of_a_round(store: Store) -> None:
    """It follows from the last polls of all processes; practices that fail do not count."""
    enrol(store, *(f"p{number}" for number in range(10)))
    assert store.watch_claims.round_seconds("default", 60.0) is None
    claims = claim(store, limit=3)
    failing = WatchOutcome(claim=claims[0], due_in=900, failures=2, problem="NotFoundError")
    store.watch_claims.settle([failing, *(WatchOutcome(claim=one, due_in=30) for one in claims[1:])])
    assert store.watch_claims.round_seconds("default", 60.0) == pytest.approx(60.0 * 9 / 2)
