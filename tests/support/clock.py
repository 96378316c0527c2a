"""A clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime

from connector.clock import Clock


class ManualClock(Clock):
    """A clock that moves only when a test sleeps by it or sets it.

    Args:
        now: what it shows.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._now = (now or datetime.now(UTC)).timestamp()
        self.naps: list[float] = []

    def time(self) -> float:
        """Return the time it shows."""
        return self._now

    def monotonic(self) -> float:
        """Return the same: it never goes back."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let the time pass, at once."""
        self.naps.append(seconds)
        self._now += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
