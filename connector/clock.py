"""Read the time, and wait with a deadline.

Tests replace the functions of this module's `Clock`; nothing else in the package reads the time or sleeps.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["Clock", "Deadline", "Stopwatch", "clock_skew", "from_timestamp", "http_date", "isoformat"]


class Clock:
    """The wall clock, a monotonic clock, and sleep."""

    # Seconds since 1970 in UTC. The function itself, for speed: it is called for each token handed out.
    time: staticmethod[[], float] = staticmethod(time.time)

    def utc_now(self) -> datetime:
        """Return the current time as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        time.sleep(seconds)

    def deadline(self, seconds: float) -> Deadline:
        """Return a deadline that is this many seconds from now."""
        return Deadline(self, self.monotonic() + seconds)


class Deadline:
    """The time at which waiting ends: `at` seconds on the monotonic clock."""

    __slots__ = ("_at", "clock")

    def __init__(self, clock: Clock, at: float) -> None:
        self.clock: Clock = clock
        self._at = at

    @property
    def left(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self._at - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left <= 0

    def pause(self, seconds: float) -> bool:
        """Wait for a number of seconds, or until the deadline; return whether time is left."""
        self.clock.sleep(min(seconds, self.left))
        return not self.passed


class Stopwatch:
    """Measures elapsed time, including time in which the machine sleeps and its monotonic clock stops.

    Attributes:
        began: seconds on its monotonic clock.
    """

    __slots__ = ("_clock", "_wall", "began")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall = clock.time()
        self.began: float = clock.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it was created."""
        return max(self._clock.monotonic() - self.began, self._clock.time() - self._wall)


def from_timestamp(seconds: float) -> datetime:
    """Return the aware UTC datetime of a number of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def isoformat(timestamp: datetime | None) -> str | None:
    """Return a datetime as ISO 8601 in UTC, in whole seconds; None for None."""
    if timestamp is None:
        return None
    return timestamp.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def http_date(value: str | None) -> datetime | None:
    """Return the UTC time that a header names, to the second; None if it names none (RFC 9110 §5.6.7)."""
    from email.utils import parsedate_to_datetime  # seldom needed

    try:
        time = parsedate_to_datetime(value or "")
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def clock_skew(date: str | None, now: float) -> float | None:
    """Return the seconds by which this machine's clock is ahead of a server's, to about a second.

    `date` is the Date header (RFC 9110 §6.6.1) of a response that arrived at `now`. None if it
    is missing or cannot be parsed.
    """
    there = http_date(date)
    return None if there is None else now - there.timestamp() - 0.5  # the header has whole seconds, cut off
