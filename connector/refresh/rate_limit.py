"""Limit the number of calls to a provider, at a time and per second."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from dataclasses import dataclass

from connector.clock import Clock

__all__ = ["Pace", "Throttle", "affordable"]

_SLOWER, _FASTER = 0.5, 1.05
_LONGEST_PAUSE = 60.0
# The calls of this many seconds begin together: a process that wakes for each single call takes twice the
# processor time, because the caches are cold.
_BEAT = 0.25
_NEARLY = 1e-3
# A call needs a socket and one or two files of the store; another 24 files are open for other reasons.
_FILES_EACH, _OTHER_FILES = 3, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Limits on the calls to a provider.

    Attributes:
        at_once: the maximum number of token calls in progress at the same time.
        per_second: the maximum number of token calls per second; it is lower while the provider returns 429.
            The calls of a quarter of a second may begin together.
    """

    at_once: int = 16
    per_second: float = 50.0


class Throttle:
    """Spreads calls over time; the rate falls after a 429 response, and rises with each success."""

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._most = self._rate = pace.per_second
        self._at_once = pace.at_once
        self._slowed_at = self._next_call = self._started = -math.inf
        self._refused = 0
        self._guard = threading.Lock()  # protects the time of the next call

    def wait(self) -> None:
        """Wait until a call may begin."""
        with self._guard:
            now = self._clock.monotonic()
            start = max(self._next_call, self._started + self._beat())
        if start > now:
            self._clock.sleep(start - now)

    def start(self, most: int) -> int:
        """Return the number of calls that may begin now, at most `most`; they count as begun."""
        with self._guard:
            now = self._clock.monotonic()
            first = max(self._next_call, now - self._beat())
            count = max(1, min(most, 1 + int((now - first) * self._rate + _NEARLY)))
            self._next_call = first + count / self._rate
            if self._next_call > now + _NEARLY:  # otherwise more may begin with them
                self._started = now
            return count

    def _beat(self) -> float:
        beat = min(_BEAT, self._at_once / self._rate)
        # Calls begin one by one if there are few, or if the provider has refused some.
        return 0.0 if beat * self._rate <= 1 or self._rate < self._most else beat

    def slow_down(self, began: float, pause: float) -> bool:
        """Halve the rate, once for all calls that were in progress together; return False at the lowest rate.

        `began` is the time at which the refused call began. One refusal does not stop the other calls; if no
        call succeeds any more, all wait for `pause` seconds, which the provider has asked for.
        """
        with self._guard:
            now, slowest = self._clock.monotonic(), min(1.0, self._most)
            is_slowest = self._rate <= slowest
            self._refused += 1
            if began > self._slowed_at:
                self._rate = max(self._rate * _SLOWER, slowest)
                self._slowed_at = now
            if self._refused >= self._at_once:
                self._next_call = max(self._next_call, now + min(pause, _LONGEST_PAUSE))
            return not is_slowest

    def speed_up(self) -> None:
        """Raise the rate a little after a successful call."""
        with self._guard:
            self._refused = 0
            self._rate = min(self._rate * _FASTER, self._most)


def affordable(at_once: int) -> int:
    """Return `at_once`, or the smaller number of calls that the limit on open files permits."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if most != resource.RLIM_INFINITY:
            room = most - len(os.listdir("/dev/fd")) - _OTHER_FILES
            return max(1, min(at_once, room // _FILES_EACH))
    return at_once
