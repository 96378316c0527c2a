"""The plan of a watch on cases, its pauses between polls, and its final report."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from connector.communicate.case_list import check_time
from connector.errors import GrantError, ProviderUnavailableError, SettingError

__all__ = ["ClaimLostError", "HandlerFailedError", "Lag", "Lateness", "WatchPlan", "WatchReport", "backoff"]

_LONGEST_DAYS = 3650


class HandlerFailedError(Exception):
    """The handler raised; the events that it did not accept are delivered again."""


class ClaimLostError(Exception):
    """Another process polls the practice now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """The options of a watch.

    Attributes:
        name: the name of the watch; each name has its own cursors, and gets every event.
        since: the start for practices that the watch has not polled yet; None: now.
        all_cases: whether to include cases without Ormco's lab among their actors.
        region: the region of the cases, if it cannot be determined.
        interval: seconds between two polls of a practice.
        workers: the number of practices that are polled at the same time.
        once: whether to end when every practice has been polled once.
        overlap: seconds before the last poll that are requested again, because an update may show up late in
            the provider's list; known updates are not delivered again.
        keep_days: days without an event after which a case is forgotten; its next event is then delivered
            like that of a new case.

    Raises:
        connector.errors.SettingError: a number is out of its range.
    """

    name: str = "default"
    since: datetime | None = None
    all_cases: bool = False
    region: str | None = None
    interval: float = 30.0
    workers: int = 8
    once: bool = False
    overlap: float = 86400.0
    keep_days: float = 400.0

    def __post_init__(self) -> None:
        """Refuse numbers with which a watch would never poll, or would lose events."""
        allowed = {
            "interval": (0.001, 86400.0),
            "workers": (1, 256),
            "overlap": (0.0, _LONGEST_DAYS * 86400.0),
            "keep_days": (1.0, _LONGEST_DAYS),
        }
        for name, (least, most) in allowed.items():
            if not least <= getattr(self, name) <= most:
                raise SettingError(
                    f"the {name} of a watch is {getattr(self, name)}",
                    hint=f"It can be from {least} to {most}.",
                )
        if not self.name.isprintable() or not 0 < len(self.name) <= 200:
            raise SettingError("the name of a watch is not usable", hint="Use 1 to 200 printable characters.")

    def begun_by(self, now: datetime) -> WatchPlan:
        """Return the plan with its beginning checked: a watch from a future time would deliver nothing.

        Raises:
            connector.errors.SettingError: it begins in the future, or before 1900.
        """
        return replace(self, since=check_time(self.since, now, "the time to begin at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """The result of a watch.

    Attributes:
        delivered: the number of events that the handler accepted.
        problems: practice → its error at the end.
        looks: the number of successful polls of a practice.
        interval: actual seconds between two polls of a practice; an estimate from the last polls if no round
            was completed.
    """

    delivered: int = 0
    looks: int = 0
    problems: dict[str, Exception] = field(default_factory=dict)
    interval: float = 0.0


_LONGEST_BACKOFF = 900.0
_LONGEST_REDELIVERY = 60.0

_LONGEST_SPAN = 60.0
_MUCH = 1.5

# Called with the actual seconds between two polls, when they become far more than planned.
Lag = Callable[[float], object]


class Lateness:
    """Measures how much later than planned the polls are, averaged over an interval or a minute.

    While many practices wait for their first poll, the lateness of a poll says little: it cannot be more than
    the age of the process. The duration of a round is then estimated from the number of recent polls.

    Args:
        interval: the planned seconds between two polls.
        now: the present time on a monotonic clock.
        on_lag: called when the polls become far too late.
        estimate: returns the seconds of a round, estimated from the polls of the last `seconds`, or None.

    Attributes:
        interval: actual seconds between two polls.
    """

    def __init__(
        self,
        interval: float,
        now: float,
        on_lag: Lag,
        estimate: Callable[[float], float | None] = lambda seconds: None,
    ) -> None:
        self.interval: float = interval
        self._planned = interval
        self._span = min(max(interval, 1.0), _LONGEST_SPAN)
        self._on_lag = on_lag
        self._estimate = estimate
        self._began = self._window = now
        self._sum, self._count, self._is_late = 0.0, 0, False

    def add(self, late: float, now: float) -> None:
        """Count a poll that began `late` seconds after it was due."""
        # Lateness from before this process began does not show a lack of workers.
        self._sum += min(late, now - self._began)
        self._count += 1

    def report(self, now: float) -> None:
        """End the current interval if it is over."""
        passed = now - self._window
        if not self._count or passed < self._span:
            return
        mean = self._sum / self._count
        self._window, self._sum, self._count = now, 0.0, 0
        self.interval = self._planned + mean
        if mean > self._span / 4:  # there is a backlog
            self.interval = max(self.interval, self._estimate(passed) or 0.0)
        was_late, self._is_late = self._is_late, self.interval > self._planned * _MUCH
        if self._is_late and not was_late:
            self._on_lag(self.interval)


def backoff(error: Exception, failures: int, interval: float) -> float:
    """Return the seconds until a practice is polled again after a failed poll."""
    if isinstance(error, GrantError):
        return interval  # only the store is read: another attempt costs little
    patience = 2.0 ** min(failures, 20) * (0.75 + random.random() / 2)  # noqa: S311 - no secret
    if isinstance(error, HandlerFailedError):
        return min(patience / 4, _LONGEST_REDELIVERY)
    asked = error.retry_after if isinstance(error, ProviderUnavailableError) else None
    return max(asked or 0.0, min(interval * patience / 2, _LONGEST_BACKOFF))
