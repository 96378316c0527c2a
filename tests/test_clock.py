"""Time, and waits that end."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from connector.clock import Clock, clock_skew, from_timestamp, isoformat
from tests.support.clock import ManualClock


def test_the_clock_shows_the_time_of_the_system() -> None:
    """Wall time is aware and in UTC, monotonic time increases, and a sleep takes time."""
    clock = Clock()
    assert abs(clock.time() - time.time()) < 60
    assert clock.utc_now().tzinfo is UTC
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() > before


def test_a_deadline_counts_down_to_nothing() -> None:
    """The time that is left shrinks, and is never negative."""
    clock = ManualClock()
    deadline = clock.deadline(10)
    clock.sleep(4)
    assert (deadline.left, deadline.passed) == (6, False)
    clock.sleep(60)
    assert (deadline.left, deadline.passed) == (0, True)


def test_a_pause_ends_with_the_deadline() -> None:
    """A pause is cut short at the deadline, and says whether time is left after it."""
    clock = ManualClock()
    deadline = clock.deadline(10)
    assert deadline.pause(4)
    assert not deadline.pause(30)
    assert clock.naps == [4, 6]


def test_timestamps_are_printed_in_utc() -> None:
    """Times are ISO 8601 in UTC with whole seconds, from any time zone."""
    moment = datetime(2026, 11, 22, 14, 0, 0, 999, timezone(timedelta(hours=2)))
    assert isoformat(moment) == "2026-11-22T12:00:00Z"
    assert isoformat(None) is None
    assert from_timestamp(0) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Sun, 22 Nov 2026 12:00:00 GMT", 59.5),
        ("Sun, 22 Nov 2026 12:00:00 -0000", 59.5),
        ("Sun, 22 Nov 2026 13:02:00 +0100", -60.5),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_header_shows_a_difference_of_clocks(date: str | None, ahead: float | None) -> None:
    """A server's Date is compared with the time here; one that cannot be read says nothing."""
    now = datetime(2026, 11, 22, 12, 1, tzinfo=UTC).timestamp()
    assert clock_skew(date, now) == ahead
