"""When a practice is looked at again, and whether the looks come in time."""

from __future__ import annotations

import random
from collections.abc import Callable

from connector.communicate.watch import HandlerFailedError
from connector.errors import GrantError, ProviderUnavailableError

__all__ = ["Lag", "Lateness", "backoff"]

_LONGEST_BACKOFF = 900.0
_LONGEST_REDELIVERY = 60.0

# Called with the seconds that really lie between two looks, when they become far more than planned.
Lag = Callable[[float], object]


class Lateness:
    """How much later than planned the looks come, averaged over an interval.

    Args:
        interval: the planned seconds between two looks.
        now: the present, on a steady clock.
        on_lag: told when it becomes much.
    """

    def __init__(self, interval: float, now: float, on_lag: Lag) -> None:
        self.mean: float = 0.0
        self._interval = interval
        self._on_lag = on_lag
        self._began = self._window = now
        self._sum, self._count, self._is_late = 0.0, 0, False

    def add(self, late: float, now: float) -> None:
        """Take a look into account that began so many seconds after it was due."""
        # What was late before this process began is not for want of workers.
        self._sum += min(late, now - self._began)
        self._count += 1

    def report(self, now: float) -> None:
        """End the present interval if it is over."""
        if not self._count or now - self._window < max(self._interval, 1.0):
            return
        self.mean = self._sum / self._count
        self._window, self._sum, self._count = now, 0.0, 0
        was_late, self._is_late = self._is_late, self.mean > self._interval / 2
        if self._is_late and not was_late:
            self._on_lag(self._interval + self.mean)


def backoff(error: Exception, failures: int, interval: float) -> float:
    """Return the seconds until a practice is looked at again after a look that failed."""
    if isinstance(error, GrantError):
        return interval  # known from the store alone: asking costs nobody anything
    patience = 2.0 ** min(failures, 20) * (0.75 + random.random() / 2)  # noqa: S311 - no secret
    if isinstance(error, HandlerFailedError):
        return min(patience / 4, _LONGEST_REDELIVERY)
    asked = error.retry_after if isinstance(error, ProviderUnavailableError) else None
    return max(asked or 0.0, min(interval * patience / 2, _LONGEST_BACKOFF))
