"""The schedule: each practice once an interval, by any process with a free worker; problems reported once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from connector.calls import Scope
from connector.clock import Clock
from connector.communicate.watch import PollResult
from connector.communicate.watch_plan import Lateness, WatchPlan, backoff
from connector.communicate.watch_scheduler import WatchScheduler
from connector.errors import (
    CaseNotFoundError,
    ConnectionNotFoundError,
    NeedsRepairError,
    ProviderUnavailableError,
    StoreLockedError,
)
from connector.observers import Observers
from connector.store.store import Store
from connector.store.watch_claims import WatchScope
from tests.support.stores import put, store_at
from tests.support.threads import at_once


class FakeWatch:
    """A practice whose looks end as the script says; after it, well."""

    def __init__(self, practice_id: Any, looks: Any, script: Any) -> None:
        self.practice_id = practice_id
        self.delivered = 0
        self._looks = looks
        self._script = script

    def poll(self, is_enough: Any, keep_claim: Any) -> Any:
        keep_claim()
        self._looks.append(self.practice_id)
        step = next(self._script, None)
        if isinstance(step, Exception):
            raise step
        self.delivered += 1
        return step or PollResult()


def connect(store: Store, *practice_ids: Any) -> None:
    for practice_id in practice_ids:
        put(store, practice_id)


def schedule(
    store: Any,
    names: Any = None,
    *,
    script: Any = (),
    looks: Any = None,
    stop: Any = None,
    reported: Any = None,
    **plan: Any,
) -> Any:
    """Run a scheduler to its end, over practices whose looks follow the script."""
    script, looks = iter(script), [] if looks is None else looks
    reported = [] if reported is None else reported

    def watch_of(claim: Any) -> Any:
        return FakeWatch(claim.practice_id, looks, script)

    scheduler = WatchScheduler(
        store,
        WatchScope(watch="default", provider="test", practice_ids=names),
        watch_of,
        plan=WatchPlan(**{"interval": 0.02, "workers": 2, **plan}),
        clock=Clock(),
        call=lambda practice_id: Scope("cases.watch", practice_id, Observers("an observer")),
        on_problem=lambda practice_id, error: reported.append((practice_id, error)),
        on_lag=lambda seconds: None,
    )
    return scheduler.run(stop or threading.Event())


def test_once_polls_every_practice_once(store: Store) -> None:
    """One round takes every connected practice, due or not, and ends."""
    connect(store, "maple", "linden", "lab:europe")
    for _ in range(2):
        looks: list[Any] = []
        report = schedule(store, once=True, interval=3600, looks=looks)
        assert (sorted(looks), report.looks) == (["linden", "maple"], 2)


def test_processes_share_a_round(store: Store, url: str) -> None:
    """Any number of processes look at each practice once between them."""
    practices = [f"p-{number:03}" for number in range(60)]
    connect(store, *practices)
    looks: list[Any] = []
    reports = at_once(4, lambda number: schedule(store_at(url), once=True, interval=3600, looks=looks))
    # A process that begins a round after another has ended its own polls again; no process polls twice.
    counts = Counter(looks)
    assert set(counts) == set(practices)
    assert sum(report.looks for report in reports) == len(looks)


def test_practice_is_polled_repeatedly(store: Store) -> None:
    """A watch continues at its interval until it is stopped."""
    connect(store, "maple")
    stop, looks = threading.Event(), []

    class Looks(list[Any]):
        def append(self, practice_id: Any) -> None:
            looks.append(practice_id)
            if len(looks) == 5:
                stop.set()

    schedule(store, ("maple",), stop=stop, looks=Looks())
    assert looks == ["maple"] * 5


def test_trouble_is_reported_when_it_changes(store: Store) -> None:
    """A failure is reported once however long it lasts, and so is its end."""
    connect(store, "maple", "linden")
    down, stop = ProviderUnavailableError("down"), threading.Event()
    reported = []

    class Reports(list[Any]):
        def append(self, item: Any) -> None:
            reported.append(item)
            if item[1] is None:
                stop.set()

    script = [down, down, down, down, None, None]
    schedule(store, ("maple",), script=script, stop=stop, reported=Reports())
    assert [(practice, error) for practice, error in reported] == [("maple", down), ("maple", None)]


def test_case_that_cannot_be_read_is_a_problem_but_no_backoff(store: Store) -> None:
    """The practice is named, and looked at again after the usual interval."""
    connect(store, "maple")
    broken = CaseNotFoundError("the case c cannot be read")
    report = schedule(store, script=[PollResult(problem=broken)], once=True, interval=3600)
    assert report.problems == {"maple": broken}
    (claim,) = store.watch_claims.claim(
        WatchScope(watch="default", provider="test"), limit=1, lease=60, not_looked_since=1e12
    )
    assert (claim.failures, claim.problem, claim.late > -3600) == (1, "CaseNotFoundError", True)


def test_named_practice_that_does_not_exist(store: Store) -> None:
    """The others are followed; the one without a connection is a problem of its own."""
    connect(store, "maple")
    report = schedule(store, ("maple", "nobody"), once=True)
    assert report.looks == 1
    assert isinstance(report.problems["nobody"], ConnectionNotFoundError)


def test_named_practices_that_cannot_be_followed_end_the_watch(store: Store) -> None:
    """If nothing is left that a person has named, the watch ends by itself."""
    connect(store, "maple")
    report = schedule(store, ("maple",), script=[NeedsRepairError("dead")])
    assert isinstance(report.problems["maple"], NeedsRepairError)


def test_unfinished_work_is_given_back(store: Store) -> None:
    """A watch that is stopped leaves no claim behind: the next process continues at once."""
    connect(store, *(f"p-{number}" for number in range(20)))
    stop = threading.Event()
    stop.set()
    schedule(store, stop=stop)
    looks: list[Any] = []
    schedule(store, once=True, interval=3600, looks=looks)
    assert len(looks) == 20


class BusyClaims:
    """The claims of a store that is locked at every other call."""

    def __init__(self, claims: Any) -> None:
        self._claims = claims
        self._calls: Any = Counter()

    def __getattr__(self, name: str) -> Any:
        self._calls[name] += 1
        if name in ("claim", "settle") and self._calls[name] % 2:
            raise StoreLockedError("busy")
        return getattr(self._claims, name)


class BusyStore:
    """A store whose claims are busy."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.watch_claims = BusyClaims(store.watch_claims)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_busy_store_ends_no_watch(store: Store) -> None:
    """A store that another process keeps for too long is tried again; no outcome is lost."""
    connect(store, "maple", "linden")
    looks: list[Any] = []
    report = schedule(BusyStore(store), once=True, interval=3600, looks=looks)
    assert (sorted(looks), report.looks) == (["linden", "maple"], 2)
    scope = WatchScope(watch="default", provider="test")
    assert store.watch_claims.claim(scope, limit=9, lease=60) == []


@pytest.mark.parametrize("names", [("maple",), None], ids=["named", "all"])
def test_store_that_is_busy_later_ends_no_watch(store: Store, names: Any) -> None:
    """A running watch continues after a time without the store, whether its practices are named or not."""
    connect(store, "maple")
    stop, looks = threading.Event(), list[Any]()

    class Enrolments:
        """The claims of a store that is busy whenever practices are enrolled a second time."""

        def __init__(self) -> None:
            self.calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(store.watch_claims, name)

        def enrol(self, scope: Any) -> bool:
            self.calls += 1
            if self.calls == 2:
                raise StoreLockedError("busy")
            if self.calls > 3 and len(looks) > 2:
                stop.set()
            return store.watch_claims.enrol(scope)

    busy: Any = BusyStore(store)
    busy.watch_claims = Enrolments()
    schedule(busy, names, stop=stop, looks=looks)
    assert len(looks) >= 3


def test_lag_is_reported_once() -> None:
    """Looks that come far later than planned are reported with the interval that really passes."""
    lags: list[Any] = []
    late = Lateness(interval=10.0, now=0.0, on_lag=lags.append)
    for second in range(1, 60):
        late.add(40.0, now=float(second))
        late.report(float(second))
    assert len(lags) == 1
    assert lags[0] > 15.0
    assert late.interval == 50.0


def test_lateness_from_before_does_not_count() -> None:
    """A practice that was overdue when the process began is no sign of too few workers."""
    lags: list[Any] = []
    late = Lateness(interval=10.0, now=0.0, on_lag=lags.append)
    late.add(86400.0, now=1.0)
    late.report(11.0)
    assert (lags, late.interval) == ([], 11.0)


def test_a_long_first_round_is_reported_in_its_first_minute() -> None:
    """While practices wait for their first look, the interval is estimated by how many had one of late."""
    lags: list[Any] = []
    spans: list[float] = []

    def estimate(seconds: float) -> float:
        spans.append(seconds)
        return 660.0

    late = Lateness(interval=300.0, now=0.0, on_lag=lags.append, estimate=estimate)
    for second in range(1, 120):
        late.add(86400.0, now=float(second))
        late.report(float(second))
    assert (lags, late.interval, spans) == ([660.0], 660.0, [60.0])


def test_polls_in_time_are_not_estimated() -> None:
    """A few practices that are seldom due are no sign of anything."""
    lags: list[Any] = []
    late = Lateness(interval=3600.0, now=0.0, on_lag=lags.append, estimate=lambda seconds: 1e6)
    for second in range(0, 3600, 90):
        late.add(1.0, now=float(second))
        late.report(float(second))
    assert lags == []


@pytest.mark.parametrize(("failures", "least", "most"), [(1, 22, 38), (4, 180, 300), (9, 900, 900)])
def test_backoff_grows(failures: int, least: int, most: int) -> None:
    """A provider that fails is asked ever more seldom, every quarter of an hour at least."""
    assert least <= backoff(ProviderUnavailableError("down"), failures, 30.0) <= most
    assert backoff(ProviderUnavailableError("busy", retry_after=70.0), 1, 30.0) == 70.0
    assert backoff(NeedsRepairError("dead"), failures, 30.0) == 30.0
