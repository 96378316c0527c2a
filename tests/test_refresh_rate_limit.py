"""The rate of calls to a provider, by a clock that moves only during waits."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from connector.refresh.rate_limit import Pace, Throttle, affordable
from tests.support.clock import ManualClock


def throttle(clock: ManualClock, *, at_once: int = 1, per_second: float = 1.0) -> Throttle:
    return Throttle(clock, Pace(at_once=at_once, per_second=per_second))


def start(throttle: Throttle, clock: ManualClock) -> float:
    """Wait for one call's turn; return when it begins."""
    throttle.wait()
    assert throttle.start(1) == 1
    return clock.monotonic()


def seconds_of(calls: int, throttle: Throttle, clock: ManualClock) -> float:
    """How long it takes until so many calls have begun."""
    before = clock.monotonic()
    for _ in range(calls):
        start(throttle, clock)
    return clock.monotonic() - before


@pytest.mark.parametrize("after", [0.0, 1.0])
def test_refusals_of_concurrent_calls_halve_the_rate_once(clock: ManualClock, after: float) -> None:
    """The first refusal halves the rate; one of a call that began before that does not halve it again.

    A clock may show the same time for both: some move in steps of 16 ms.
    """
    slowed = throttle(clock, at_once=4, per_second=8.0)
    began = start(slowed, clock)
    clock.advance(after)
    slowed.slow_down(began, 0.0)
    slowed.slow_down(began, 0.0)
    clock.advance(10.0)
    start(slowed, clock)
    assert seconds_of(40, slowed, clock) == pytest.approx(10, abs=0.5)
    slowed.slow_down(start(slowed, clock), 0.0)
    assert seconds_of(20, slowed, clock) == pytest.approx(10, abs=1.0)


@pytest.mark.parametrize(("per_second", "least"), [(8.0, 1.0), (0.5, 0.5)])
def test_a_rate_is_never_below_one_call_a_second(per_second: float, least: float, clock: ManualClock) -> None:
    """However often a provider refuses; a rate that was set lower is kept."""
    slowed = throttle(clock, at_once=100, per_second=per_second)
    for _ in range(20):
        slowed.slow_down(start(slowed, clock), 0.0)
    start(slowed, clock)
    assert seconds_of(10, slowed, clock) == pytest.approx(10 / least, rel=0.1)


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (3600.0, 60.0)])
def test_if_every_call_is_refused_all_wait(asked: float, waited: float, clock: ManualClock) -> None:
    """After as many refusals as calls at a time, the next call waits as requested, a minute at most."""
    slowed = throttle(clock, at_once=3, per_second=1000.0)
    began = start(slowed, clock)
    for _ in range(2):
        slowed.slow_down(began, asked)
    assert seconds_of(1, slowed, clock) < 1
    slowed.slow_down(began, asked)
    assert seconds_of(1, slowed, clock) == pytest.approx(waited, abs=1.0)


def test_a_success_between_refusals_prevents_the_wait(clock: ManualClock) -> None:
    """Refusals count in a row: while one call succeeds, the others are not held up."""
    slowed = throttle(clock, at_once=2, per_second=1000.0)
    for _ in range(3):
        slowed.slow_down(start(slowed, clock), 30.0)
        slowed.speed_up()
    assert seconds_of(1, slowed, clock) < 1


def test_no_more_calls_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """If few files may be open, fewer calls are made at a time, and one at least; Windows has no limit."""
    with monkeypatch.context() as windows:
        windows.setitem(sys.modules, "resource", None)
        assert affordable(1000) == 1000
    resource = pytest.importorskip("resource", reason="there is no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert affordable(4) == 4
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        assert 1 <= affordable(1000) <= (64 - 24) // 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def starts(throttle: Throttle, clock: ManualClock, count: int, *, most: int = 1) -> list[float]:
    """Return when so many calls begin that take no time, in seconds from now."""
    began, starts = clock.monotonic(), list[float]()
    while len(starts) < count:
        throttle.wait()
        calls = throttle.start(min(most, count - len(starts)))
        starts += [round(clock.monotonic() - began, 3)] * calls
    return starts


@pytest.mark.parametrize("most", [1, 4, 100])
def test_calls_begin_together(most: int, clock: ManualClock) -> None:
    """A quarter of a second's worth of calls begins at a time, the first at once."""
    begun = Counter(starts(throttle(clock, at_once=16, per_second=40), clock, 41, most=most))
    assert begun == {0.0: 11, 0.25: 10, 0.5: 10, 0.75: 10}


def test_calls_begin_one_by_one_after_a_refusal(clock: ManualClock) -> None:
    """A provider that refuses some calls gets no bursts, until the rate is the full one again."""
    slowed = throttle(clock, at_once=16, per_second=40)
    slowed.slow_down(start(slowed, clock), 0.0)
    clock.advance(1.0)
    assert starts(slowed, clock, 4, most=16) == [0.0, 0.05, 0.1, 0.15]
    for _ in range(20):
        slowed.speed_up()
    clock.advance(1.0)
    assert slowed.start(16) > 1


@pytest.mark.parametrize("at_once", [1, 16])
def test_infrequent_calls_are_spread_evenly(at_once: int, clock: ManualClock) -> None:
    """If there are few calls a second, they do not wait for one another."""
    assert starts(throttle(clock, at_once=at_once, per_second=2), clock, 4) == [0.0, 0.5, 1.0, 1.5]


def test_pause_allows_no_burst(clock: ManualClock) -> None:
    """After a time without calls there are no more of them at once than otherwise."""
    rested = throttle(clock, at_once=16, per_second=40)
    start(rested, clock)
    clock.advance(3600)
    assert Counter(starts(rested, clock, 21)) == {0.0: 11, 0.25: 10}


def test_rate_is_reduced_down_to_the_slowest(clock: ManualClock) -> None:
    """A refusal halves the rate; the caller is told when it cannot be reduced any more."""
    slowed = throttle(clock, at_once=16, per_second=4)
    assert [slowed.slow_down(start(slowed, clock), 0.0) for _ in range(3)] == [True, True, False]
