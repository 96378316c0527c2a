"""Compute when to refresh a token before it expires, and how long to wait after a failure."""

from __future__ import annotations

import random

from connector.clock import Clock
from connector.errors import StoreLockedError
from connector.store.held_token import HeldToken
from connector.store.row import Row

__all__ = [
    "CALL_SECONDS",
    "LEASE_SECONDS",
    "LONGEST_BACKOFF",
    "SEND_WITHIN",
    "WAIT_SECONDS",
    "RefreshWait",
    "backoff",
    "poll_delay",
    "refresh_time",
    "spare_until",
]

# The longest time of one call to a token endpoint, with all its time limits and its second connection
# attempt.
CALL_SECONDS = 65.0
# The pause before a refresh token is sent a second time, after a refusal that may be temporary.
DOUBT_SECONDS = 1.5
# A process that was stopped for longer between claim and call (SIGSTOP, a paused machine) does not send.
SEND_WITHIN = 5.0
# Time for two calls. Other processes take over after the lease, so it must outlast its owner's calls.
LEASE_SECONDS = 2 * CALL_SECONDS + DOUBT_SECONDS + SEND_WITHIN + 10.0
# Longer than a lease: a process can wait for the lease of a process that died on another machine, and then
# make its own calls.
WAIT_SECONDS = 2 * LEASE_SECONDS
LONGEST_BACKOFF = 300.0

_MOST_FAILURES = 30
_DAY, _HOUR = 86400.0, 3600.0


def refresh_time(row: Row | HeldToken) -> float:
    """Return when to refresh a token before it expires.

    Jitter spreads tokens that were refreshed together. A token with a lifetime of more than a day is
    refreshed every hour, because the provider may have stated milliseconds.
    """
    part = random.uniform(0.1, 0.2)  # noqa: S311 - no secret
    if row.lifetime > _DAY:
        return (row.refreshed_at or row.now) + _HOUR * (1 - part)
    return row.valid_until - min(row.lifetime * part, 900.0)


def spare_until(row: Row) -> float:
    """Return the time until which to use an access token if another refresh could end the grant."""
    return row.valid_until - min(10.0, row.lifetime / 10)


def backoff(failures: int) -> float:
    """Return the seconds to wait after a number of failures in a row.

    Jitter keeps a provider that recovers from receiving all calls at the same time.
    """
    longest = min(2.0 ** min(failures, _MOST_FAILURES), LONGEST_BACKOFF)
    return longest * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


class RefreshWait:
    """Waits for another process's refresh with growing pauses, until its lease must have ended."""

    def __init__(self, clock: Clock, practice_id: str) -> None:
        self._clock = clock
        self._practice_id = practice_id
        self._began = clock.monotonic()
        self._deadline = clock.deadline(WAIT_SECONDS)

    @property
    def left(self) -> float:
        """The seconds that are left to wait."""
        return self._deadline.left

    def pause(self) -> None:
        """Wait before the next read.

        Raises:
            connector.errors.StoreLockedError: the other process does not finish.
        """
        if not self._deadline.pause(poll_delay(self._clock.monotonic() - self._began)):
            raise self.too_long()

    def too_long(self) -> StoreLockedError:
        """Return the error for a refresh that does not finish."""
        return StoreLockedError(
            f"{self._practice_id} is being refreshed by another process, which does not finish",
            hint="Wait until that process ends, or end it if it hangs; its lease ends with it.",
        )


def poll_delay(waited: float) -> float:
    """Return the seconds to wait before the next read: longer each time, with jitter."""
    return min(0.02 + waited * 0.1, 0.25) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
