"""When to refresh: what is asked of a token, ahead of its end, and how long to wait after a failure."""

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

# The longest that one call of a token endpoint takes, all its time limits and its second try to connect
# included.
CALL_SECONDS = 65.0
# The pause before a refresh token is sent a second time, because the first refusal may mean something else.
DOUBT_SECONDS = 1.5
# A process that was stopped between claim and call (SIGSTOP, a paused machine) does not send any more.
SEND_WITHIN = 5.0
# Two calls under one lease. Others take over after it, so it must outlive whatever its owner may still send.
LEASE_SECONDS = 2 * CALL_SECONDS + DOUBT_SECONDS + SEND_WITHIN + 10.0
# Longer than a lease: who waits for a process that died elsewhere takes over, and has time for calls of its
# own.
WAIT_SECONDS = 2 * LEASE_SECONDS
LONGEST_BACKOFF = 300.0

_MOST_FAILURES = 30
_DAY, _HOUR = 86400.0, 3600.0


def refresh_time(row: Row | HeldToken) -> float:
    """Return when to refresh a token ahead of its end.

    Jitter, so that what was refreshed together is not refreshed together for ever. A token that is said to
    live longer than a day is refreshed every hour: perhaps milliseconds were meant.
    """
    part = random.uniform(0.1, 0.2)  # noqa: S311 - no secret
    if row.lifetime > _DAY:
        return (row.refreshed_at or row.now) + _HOUR * (1 - part)
    return row.valid_until - min(row.lifetime * part, 900.0)


def spare_until(row: Row) -> float:
    """Return how long to use an access token, if another attempt to refresh it could end the grant."""
    return row.valid_until - min(10.0, row.lifetime / 10)


def backoff(failures: int) -> float:
    """Return how long to wait after so many failures in a row.

    Jitter, so that a provider that comes back is not met by everybody at once.
    """
    longest = min(2.0 ** min(failures, _MOST_FAILURES), LONGEST_BACKOFF)
    return longest * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


class RefreshWait:
    """Waits for another process's refresh: longer each time, until its lease must have ended.

    Args:
        clock: the time of this process.
        practice_id: whose refresh it is.
    """

    def __init__(self, clock: Clock, practice_id: str) -> None:
        self._clock = clock
        self._practice_id = practice_id
        self._began = clock.monotonic()
        self._deadline = clock.deadline(WAIT_SECONDS)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._deadline.left

    def pause(self) -> None:
        """Wait before the next look.

        Raises:
            connector.errors.StoreLockedError: the other does not finish.
        """
        if not self._deadline.pause(poll_delay(self._clock.monotonic() - self._began)):
            raise self.too_long()

    def too_long(self) -> StoreLockedError:
        """Return the error for a refresh that does not finish."""
        return StoreLockedError(
            f"{self._practice_id} is being refreshed by another process, which does not finish",
            hint="Wait for it to end, or end it if it hangs; its lease ends with it.",
        )


def poll_delay(waited: float) -> float:
    """Return how long to wait before looking again: a little longer each time, never in step with others."""
    return min(0.02 + waited * 0.1, 0.25) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
