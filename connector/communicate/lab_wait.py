"""Wait for a lab connection to become active: up to a day, at growing intervals, through outages."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from connector.clock import Clock
from connector.communicate.lab_report import NONE, LabReport
from connector.errors import (
    LabConnectionNotFoundError,
    ProviderUnavailableError,
    StillWaitingError,
    StoreLockedError,
)

__all__ = ["Waiting", "require_request", "wait_until_active"]

# Called with the present state before the wait.
Waiting = Callable[[LabReport], object]

_LOG = logging.getLogger("connector")
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 300.0
_GROWTH = 1.5


def wait_until_active(
    report: LabReport,
    seconds: float,
    read: Callable[[], LabReport],
    *,
    waiting: Waiting,
    clock: Clock,
    required: bool = True,
) -> LabReport:
    """Read a lab connection again and again, at growing intervals, until it is active.

    Args:
        report: its present state.
        seconds: seconds to wait; 0 not to wait.
        read: reads the state.
        waiting: called before the wait.
        clock: the time.
        required: give up if the request is gone.

    Raises:
        connector.errors.StillWaitingError: it did not become active in time.
        connector.errors.LabConnectionNotFoundError: the request is gone.
    """
    if seconds <= 0 or report.is_active:
        return report
    waiting(report)
    deadline, pause = clock.deadline(seconds), _FIRST_PAUSE
    while not deadline.passed:
        # Jitter, so that practices that were connected together do not call the API together.
        deadline.pause(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        try:
            report = read()
        except (ProviderUnavailableError, StoreLockedError) as exc:
            # A wait of up to a day has to continue through an outage.
            _LOG.warning("%s; the wait for %s goes on", exc.message, report.lab.email)
            pause = max(pause, getattr(exc, "retry_after", None) or 0.0)
        if required:
            require_request(report)
        if report.is_active:
            return report
    raise StillWaitingError(
        f"{report.found}; the wait has ended", hint="It can take 24 hours: wait again, up to a day."
    )


def require_request(report: LabReport) -> None:
    """Refuse to wait if no request exists."""
    if report.lab.state == NONE:
        raise LabConnectionNotFoundError(report.found, hint="Request the lab connection first.")
