"""Runs of refreshes: shared, resumable, and within the limits of the provider."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest

from connector.clock import Stopwatch
from connector.errors import ProviderUnavailableError, StoreUnavailableError
from connector.refresh.bulk import refresh_due
from connector.refresh.rate_limit import Pace
from connector.refresh.tally import Done, RefreshSummary, Tally
from connector.store.columns import FromNow
from connector.store.row import Row
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.stores import DATABASES, fresh_url, put, row_of, store_at, tokens_on, value_of
from tests.support.token_server import TokenServer

FAST = Pace(at_once=4, per_second=10_000)


# The pooler changes no statement, and test_store.py proves it.
both = pytest.mark.parametrize("url", DATABASES, indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of SQLite; a test of statements names others."""
    return fresh_url(getattr(request, "param", "sqlite"), tmp_path)


@pytest.fixture
def store(url: str, clock: ManualClock) -> Store:
    return store_at(url, clock=clock)


def fill(store: Store, count: int, *, age: float = 3500) -> None:
    for number in range(count):
        put(store, f"p{number}", age=age)


@both
@pytest.mark.parametrize("within", [600, 86_400])
def test_only_due_tokens_are_refreshed(store: Store, server: TokenServer, within: float) -> None:
    """Tokens that expire within the time are refreshed once, also if the new ones expire within it too."""
    fill(store, 3)
    put(store, "fresh")
    put(store, "dead", age=3500, state="needs_repair", due_at=None)
    summary = refresh_due(tokens_on(store, server.url), store, within=within, pace=FAST)
    assert (summary.total, summary.refreshed, summary.failed, summary.skipped) == (3, 3, 0, 0)
    assert (summary.overdue, summary.lag, row_of(store, "p0").rejected_generation) == (0, 0.0, None)
    assert refresh_due(tokens_on(store, server.url), store, within=within, pace=FAST).total == 0
    assert server.counts()["calls"] == 3


@both
def test_a_claim_takes_only_what_is_still_due(store: Store) -> None:
    """What was refreshed, refused or claimed since a run read what is due is left alone.

    A lease that ended is claimed again: that its refresh token may have been sent is counted and dated.
    """
    put(store, "young", age=1700)
    put(store, "old", age=1900)
    put(store, "waits", age=1900, retry_at=FromNow(60))
    put(store, "dead", age=1900, state="needs_repair")
    put(store, "lost", age=1900, refresh_sends=1, refresh_since=FromNow(-60))
    put(store, "ended", age=3700)
    first = store.leases.claim_due(["ended"], 600, before=math.inf, seconds=-1)[0]
    names = ["young", "old", "waits", "dead", "lost", "ended", "nobody"]
    claimed = store.leases.claim_due(names, 86_400, before=math.inf, seconds=60)
    assert {(row.practice_id, row.refresh_sends) for row in claimed} == {("old", 1), ("ended", 2)}
    assert all(row.is_leased for row in claimed)
    assert row_of(store, "ended").refresh_since == first.refresh_since
    assert [row for row in claimed if row_of(store, row.practice_id).version != row.version] == []
    assert store.leases.claim_due(names, 86_400, before=math.inf, seconds=60) == []
    assert store.leases.claim(row_of(store, "old")._replace(version=1), 60) is None


@both
def test_a_claim_takes_no_more_than_it_may(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if it is repeated after a lost response; what it leaves is claimed by the next one."""
    fill(store, 5)
    transact = store.database.transact
    monkeypatch.setattr(store.database, "transact", lambda work: [transact(work), transact(work)][1])
    names = [f"p{number}" for number in range(5)]
    taken = [
        {row.practice_id for row in store.leases.claim_due(names, 600, before=math.inf, seconds=60, limit=2)}
        for _ in range(4)
    ]
    assert [len(some) for some in taken] == [2, 2, 1, 0]
    assert set.union(*taken) == set(names)


def test_rows_that_another_run_has_claimed_are_skipped(
    store: Store, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run fills its calls with what is free, sound connections first, and counts the rest as skipped."""
    fill(store, 12)
    put(store, "failed", age=3500, failures=1)
    look, others = store.leases.find_due, [f"p{number}" for number in range(7)]

    def look_and_wait(*args: Any, **options: Any) -> Any:
        found = look(*args, **options)
        store.leases.claim_due(others, 600, before=math.inf, seconds=60)
        return found

    monkeypatch.setattr(store.leases, "find_due", look_and_wait)
    done: list[Done] = []
    pace = replace(FAST, at_once=1)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=pace, progress=done.append)
    assert (summary.total, summary.refreshed, summary.skipped, summary.failed) == (13, 6, 7, 0)
    assert done[-1].practice_id == "failed"


def test_a_claim_reserves_space_for_the_new_tokens(store: Store, tmp_path: Path) -> None:
    """A refresh token is sent only if the response can be stored on a disk that becomes full meanwhile."""
    put(store, "p", age=1900)
    reserve = tmp_path / "stores" / "store.db-reserve"
    reserve.unlink(missing_ok=True)
    assert store.leases.claim_due(["p"], 86_400, before=math.inf, seconds=60)
    assert reserve.stat().st_size == 1 << 20


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_claim_waits_for_no_other_writer(store: Store, url: str) -> None:
    """A row that another process is writing is its own; the rest is claimed at once."""
    for name in ("p", "q", "r"):
        put(store, name, age=1900)
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM ormco_connections WHERE practice_id = 'q' FOR UPDATE")
        claimed = store.leases.claim_due(["r", "q", "p"], 86_400, before=math.inf, seconds=60)
    assert {row.practice_id for row in claimed} == {"p", "r"}


@both
@pytest.mark.parametrize(
    "interruption", [StoreUnavailableError("the server was restarted"), KeyboardInterrupt()]
)
def test_a_claim_whose_commit_was_not_confirmed_is_given_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    """It may be in the store, and nothing was sent: the next run need not wait for its lease."""
    put(store, "first", age=1900)
    put(store, "again", age=3700, refresh_sends=1, refresh_since=FromNow(-160))
    since, transact = row_of(store, "again").refresh_since, store.database.transact

    def interrupted(work: Any) -> None:
        transact(work)
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(store.database, "transact", interrupted)
        with pytest.raises(type(interruption)):
            store.leases.claim_due(["first", "again"], 86_400, before=math.inf, seconds=60)
    first, again = row_of(store, "first"), row_of(store, "again")
    assert (first.refresh_by, first.refresh_sends, first.refresh_since) == (None, 0, None)
    assert (again.refresh_by, again.refresh_sends, again.refresh_since) == (None, 1, since)
    assert len(store.leases.claim_due(["first", "again"], 86_400, before=math.inf, seconds=60)) == 2


@pytest.mark.parametrize("outcome", ["skipped", "refreshed"])
def test_leases_of_an_interrupted_run_are_given_back(store: Store, server: TokenServer, outcome: str) -> None:
    """Ctrl-C between a claim and its calls leaves no lease, and no refresh that seems to be lost.

    The next run refreshes what the interrupted one left.
    """
    fill(store, 4, age=3595)
    assert store.leases.claim(row_of(store, "p1"), 60)

    def stop(done: Done) -> None:
        if done.outcome == outcome:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST, progress=stop)
    rows = [row_of(store, f"p{number}") for number in range(4)]
    assert [row.refresh_sends for row in rows] == [0, 1, 0, 0]
    assert [row.is_leased for row in rows] == [False, True, False, False]
    left = 3 - server.counts()["calls"]
    assert refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST).refreshed == left
    assert (server.counts()["calls"], server.counts()["reuses"]) == (3, 0)


@pytest.mark.parametrize("column", ["refresh_count", "failures"])
def test_a_damaged_row_is_one_failure(store: Store, server: TokenServer, column: str) -> None:
    """It is not sent, and other processes can claim it; the rest of the run continues."""
    fill(store, 3)
    damage = f"UPDATE ormco_connections SET {column} = 'many' WHERE practice_id = 'p1'"
    store.database.apply([(damage, ())])
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST)
    assert (summary.refreshed, summary.failed, server.counts()["calls"]) == (2, 1, 2)
    leases = "SELECT COUNT(refresh_by) FROM ormco_connections"
    assert store.database.one(leases, ()) == (0,)


def test_tokens_that_could_not_be_stored_are_stored_by_the_next_run(
    store: Store, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their refresh token is not sent a second time, however long ago the lease ended."""
    put(store, "p", age=3000)
    tokens = tokens_on(store, server.url)
    with monkeypatch.context() as patch:
        patch.setattr(store.leases, "settle", Mock(side_effect=StoreUnavailableError("the disk is full")))
        with pytest.raises(StoreUnavailableError):
            tokens.refresh("p", force=True)
    claimed = store.leases.claim_due(["p"], 86_400, before=math.inf, seconds=60)
    assert claimed == []  # the first attempt still has the lease
    store.database.apply([("UPDATE ormco_connections SET refresh_until = 0, expires_at = 0", ())])
    (row,) = store.leases.claim_due(["p"], 86_400, before=math.inf, seconds=60)
    assert tokens.finish_refresh(row, Stopwatch(store.clock))
    assert (server.counts()["calls"], value_of(store, "p")[1]) == (1, "rt-p-1")


@both
def test_a_run_waits_for_no_dead_process(store: Store, server: TokenServer) -> None:
    """What a killed process of this machine was refreshing is due at once; a process elsewhere may live."""
    fill(store, 2, age=3700)
    here, elsewhere = store.leases.claim_due(["p0", "p1"], 600, before=math.inf, seconds=60)
    host = (here.refresh_by or "").rsplit(" ", 2)[0]
    store.grants.change(here, {"refresh_by": f"{host} 999999999 1"})
    store.grants.change(elsewhere, {"refresh_by": "another-host 999999999 1"})
    shown: list[Done] = []
    tokens = tokens_on(store, server.url)
    summary = refresh_due(tokens, store, within=600, pace=FAST, progress=shown.append)
    assert (summary.total, summary.refreshed, summary.skipped, summary.failed) == (2, 1, 1, 0)
    outcomes = {here.practice_id: "refreshed", elsewhere.practice_id: "skipped"}
    assert {done.practice_id: done.outcome for done in shown} == outcomes


@pytest.mark.parametrize("slept", ["monotonic", "time"])
def test_a_run_that_was_stopped_between_claim_and_call_sends_nothing(
    store: Store, server: TokenServer, monkeypatch: pytest.MonkeyPatch, slept: str
) -> None:
    """A process that slept in between gives its leases back, also if its machine's steady clock slept too."""
    put(store, "p", age=3500)
    since = Stopwatch(store.clock)
    claimed = store.leases.claim_due(["p"], 600, before=math.inf, seconds=60)[0]
    now = getattr(store.clock, slept)()
    monkeypatch.setattr(store.clock, slept, lambda: now + 30)
    with pytest.raises(ProviderUnavailableError, match="record"):
        tokens_on(store, server.url).finish_refresh(claimed, since)
    assert server.counts()["calls"] == 0
    assert (row_of(store, "p").refresh_sends, row_of(store, "p").is_leased) == (0, False)


def runs(count: int, url: str, server: TokenServer, pace: Pace) -> list[RefreshSummary]:
    """Return the results of several runs at once, each with its own store."""

    def run(_: int) -> RefreshSummary:
        with closing(store_at(url)) as own:
            return refresh_due(tokens_on(own, server.url), own, within=600, pace=pace)

    with ThreadPoolExecutor(count) as pool:
        return [*pool.map(run, range(count))]


@both
def test_runs_share_the_work(url: str, store: Store, server: TokenServer) -> None:
    """Each of two runs makes a part of the calls, at the same time as the other, and none twice."""
    fill(store, 30)
    server.set(latency=0.2)
    summaries = runs(2, url, server, replace(FAST, at_once=2))
    refreshed, counts = [each.refreshed for each in summaries], server.counts()
    assert (sum(refreshed), min(refreshed) >= 5, sum(each.failed for each in summaries)) == (30, True, 0)
    assert (counts["calls"], counts["reuses"], 2 < counts["most_under_way"] <= 4) == (30, 0, True)


def test_a_run_that_cannot_keep_up_reports_its_lag(store: Store, server: TokenServer) -> None:
    """Tokens that had expired before their turn are counted, with the time since the first of them."""
    fill(store, 3, age=3700)
    put(store, "in time", age=3500)
    put(store, "broken", age=9000, failures=5)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST)
    assert (summary.refreshed, summary.overdue) == (5, 3)
    assert 100 <= summary.lag < 1000


def test_tokens_that_end_at_once_end_no_run(store: Store, server: TokenServer) -> None:
    """A run refreshes each connection once, however short the lifetime of its new token."""
    fill(store, 5)
    server.set(expires_in=1, latency=0.3)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=replace(FAST, at_once=1))
    assert (summary.total, summary.refreshed) == (5, 5)


@both
def test_a_row_with_times_of_a_wrong_clock_is_refreshed(store: Store, server: TokenServer) -> None:
    """A token that was refreshed while a clock was years ahead is refreshed now."""
    years = FromNow(1e8)
    put(store, "p", refreshed_at=years, expires_at=FromNow(1e8 + 3600), due_at=FromNow(1e8 + 3600))
    assert refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST).refreshed == 1
    assert refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST).total == 0


def test_a_rate_that_was_reduced_is_raised_again(
    store: Store, clock: ManualClock, server: TokenServer
) -> None:
    """After a 429 calls are made at half of the rate, then a little faster after each success."""
    fill(store, 40)
    server.set(faults=["429:60"])
    refresh_due(tokens_on(store, server.url), store, within=600, pace=Pace(at_once=1, per_second=2))
    naps = [nap for nap in clock.naps if nap > 0.3]
    assert max(naps) == pytest.approx(60, abs=1)  # the only call in progress was refused
    after = naps[naps.index(max(naps)) + 1 :]
    assert (after[0], after[-1]) == pytest.approx((1, 0.5), abs=0.05)


@pytest.mark.parametrize(("fault", "due"), [("503", range(60)), ("401:invalid_client", [60])])
def test_outage_ends_the_run(store: Store, server: TokenServer, fault: str, due: Collection[int]) -> None:
    """A run gives up if every attempt fails, and marks nothing dead; wrong settings hold no row back."""
    fill(store, 60)
    server.set(faults=[fault] * 100)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST)
    assert summary.gave_up
    assert server.counts()["calls"] < 30
    assert len(store.leases.find_due(600)) in due
    assert {found.state.value for found in store.overview.connections()} <= {"connected", "degraded"}


def test_a_store_that_fails_for_a_moment_ends_no_run(
    store: Store, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that could not be claimed are counted as failed; the others are refreshed."""
    fill(store, 6)
    claim, failures = store.leases.claim_due, [StoreUnavailableError("the server was restarted")]

    def claim_later(names: list[str], *args: Any, **options: Any) -> list[Row]:
        if failures:
            raise failures.pop()
        return claim(names, *args, **options)

    monkeypatch.setattr(store.leases, "claim_due", claim_later)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=replace(FAST, at_once=2))
    assert (summary.refreshed, summary.failed) == (4, 2)


def test_a_run_that_gave_up_stays_given_up() -> None:
    """Calls in progress may still succeed; the connections that are left are reported in any case."""
    tally = Tally(RefreshSummary(total=60), lambda done: None)
    for number in range(20):
        tally.report(f"p{number}", "provider_unavailable", ProviderUnavailableError("503"))
    assert tally.summary.gave_up
    for number in range(20, 36):
        tally.report(f"p{number}", "refreshed")
    assert tally.summary.gave_up


def test_dead_grants_are_no_outage(store: Store, server: TokenServer) -> None:
    """A run continues to the end, however many practices revoked access; progress names and counts all."""
    fill(store, 30)
    server.set(faults=["400:invalid_grant"] * 25)
    shown: list[Done] = []
    tokens = tokens_on(store, server.url)
    summary = refresh_due(tokens, store, within=600, pace=FAST, progress=shown.append)
    assert (summary.gave_up, summary.failed, summary.refreshed) == (False, 25, 5)
    assert {done.practice_id for done in shown} == {f"p{number}" for number in range(30)}
    assert max(done.number for done in shown) == 30
    assert sorted(done.outcome for done in shown) == ["needs_repair"] * 25 + ["refreshed"] * 5


@both
def test_tokens_to_be_used_to_their_end_are_not_due(store: Store, server: TokenServer) -> None:
    """A refresh whose response may be lost is neither tried again nor a failure before its token expires."""
    put(store, "lost", age=3500, state="degraded", refresh_sends=1, refresh_since=FromNow(-60))
    fill(store, 2)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST)
    assert (summary.total, summary.refreshed, summary.failed) == (2, 2, 0)
    put(store, "ended", age=3700, state="degraded", refresh_sends=1, refresh_since=FromNow(-160))
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST)
    assert (summary.total, summary.refreshed) == (1, 1)


def test_waiting_rows_do_not_slow_down_the_run(store: Store, clock: ManualClock, server: TokenServer) -> None:
    """A row whose refresh has to wait does not slow down the run."""
    fill(store, 20, age=3590)
    for number in range(5):
        put(store, f"waits{number}", age=3595, state="degraded", refresh_sends=1, refresh_since=FromNow(-60))
    pace = Pace(at_once=1, per_second=1)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=pace)
    assert summary.refreshed == 25
    assert max(clock.naps) < 1.5


def test_a_provider_that_limits_the_rate_is_no_outage(store: Store, server: TokenServer) -> None:
    """Connections that it refuses because of the rate are refreshed later in the same run."""
    fill(store, 60)
    server.set(faults=["429:0"] * 16, latency=0.05)
    pace = Pace(at_once=8, per_second=500)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=pace)
    assert (summary.refreshed, summary.failed, summary.gave_up) == (60, 0, False)


def test_a_run_waits_for_the_first_connection_that_may_be_tried_again(
    store: Store, server: TokenServer
) -> None:
    """If one may be tried again within seconds, the run does so, however long the others have to wait."""
    fill(store, 2)
    server.set(faults=["429:300", "429:3"])
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=replace(FAST, at_once=1))
    assert (summary.refreshed, summary.failed, server.counts()["calls"]) == (1, 1, 3)


@pytest.mark.parametrize(
    ("meanwhile", "skipped"),
    [
        (lambda store, tokens, name: None, 0),
        (lambda store, tokens, name: tokens.refresh(name, force=True), 1),
        (lambda store, tokens, name: store.grants.drop(row_of(store, name), []), 0),
    ],
    ids=["nothing", "refreshed", "forgotten"],
)
def test_one_refusal_delays_no_other_practice(
    store: Store, server: TokenServer, meanwhile: Callable[..., object], skipped: int
) -> None:
    """A 429 for one practice does not delay the others, and is no failure if another run refreshes it."""
    fill(store, 30)
    server.set(faults=["429:60"])
    started, another = store.clock.monotonic(), tokens_on(store, server.url)
    summary = refresh_due(
        tokens_on(store, server.url),
        store,
        within=600,
        pace=FAST,
        progress=lambda done: done.error and meanwhile(store, another, done.practice_id),
    )
    assert (summary.refreshed, summary.skipped, summary.failed) == (29, skipped, 1 - skipped)
    assert store.clock.monotonic() - started < 50


def test_newer_tokens_that_are_there_already_are_no_failure(
    store: Store, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection whose tokens are replaced while it is refreshed counts as skipped."""
    put(store, "late", age=3500)
    monkeypatch.setattr(store.leases, "settle", Mock(return_value=None))
    shown: list[Done] = []
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=FAST, progress=shown.append)
    assert (summary.refreshed, summary.skipped, summary.failed) == (0, 1, 0)
    assert [done.number for done in shown] == [1]


def test_a_provider_that_always_refuses_is_left_alone(store: Store, server: TokenServer) -> None:
    """If it refuses at the slowest rate as well, it is an outage."""
    fill(store, 90)
    server.set(faults=["429:1"] * 200)
    summary = refresh_due(tokens_on(store, server.url), store, within=600, pace=Pace(at_once=4, per_second=4))
    assert (summary.gave_up, summary.refreshed) == (True, 0)
    assert server.counts()["calls"] < 60
