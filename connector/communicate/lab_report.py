"""The state of a lab connection, as values and as text, and the wait for it to become active."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from connector.clock import Clock
from connector.communicate.users import AccountConnection, User
from connector.connection import Account, LabConnection
from connector.errors import (
    AccountMismatchError,
    LabConnectionNotFoundError,
    ProviderUnavailableError,
    SettingError,
    StillWaitingError,
    StoreLockedError,
)
from connector.oauth.ormco import LAB_PREFIX

__all__ = [
    "ACTIVE",
    "NONE",
    "REQUESTED",
    "LabReport",
    "Waiting",
    "best_connection",
    "check_lab_account",
    "lab_email",
    "lab_region",
    "lab_side_report",
    "practice_side_report",
    "require_request",
    "wait_until_active",
]

_LOG = logging.getLogger("connector")
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 300.0
_GROWTH = 1.5

NONE, REQUESTED, ACTIVE = "none", "requested", "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabReport:
    """The state of a lab connection, and the action that was taken.

    Attributes:
        practice_id: the practice.
        lab: its state now, and the address of Ormco's lab for this practice.
        region: the region of that lab.
        waiting_on: "lab" or "practice" while one of them has to accept, else None.
        step: the action that was taken: "request", "approve" or "none".
        found: its state, in words.
        others: connections with Ormco's labs of other regions.
    """

    practice_id: str
    lab: LabConnection
    region: str
    waiting_on: str | None
    step: str = "none"
    found: str
    others: tuple[LabConnection, ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether cases can be sent."""
        return self.lab.state == ACTIVE

    @property
    def warning(self) -> str:
        """A warning about labs of other regions, or ""."""
        if not self.others:
            return ""
        emails = " and ".join(str(other.email) for other in self.others)
        return (
            f"the account also has Ormco's lab of another region among its connections ({emails}); that of "
            f"its own region, {self.region}, is {self.lab.email}. Remove the other in the portal, under "
            '"Connections", with the red X, so that no case is sent there'
        )


# Called with the current state before a wait.
Waiting = Callable[[LabReport], object]


def practice_side_report(
    me: User, practice_id: str, region: str, labs: Mapping[str, str], before: LabConnection | None
) -> LabReport:
    """Return a practice's lab connection as its own account shows it; `before` is the last known state."""
    email = labs[region]
    found = best_connection(me, email)
    state, by_lab = _state(found), found is not None and found.asked_us
    words = _words(email, before)
    if not by_lab:
        words[REQUESTED] = f"request sent to {email}, waiting for approval"
    others = {other for other in labs.values() if other.casefold() != email.casefold()}
    return LabReport(
        practice_id=practice_id,
        lab=LabConnection(state=state, email=email),
        region=region,
        waiting_on=None if state != REQUESTED else "practice" if by_lab else "lab",
        found=words[state],
        others=tuple(
            LabConnection(state=_state(each), email=each.email)
            for other in sorted(others)
            if (each := best_connection(me, other)) is not None
        ),
    )


def lab_side_report(
    found: AccountConnection | None, practice_id: str, lab_id: str, labs: Mapping[str, str], step: str
) -> LabReport:
    """Return a practice's lab connection as the lab's account shows it; `found` is the practice there."""
    region = lab_id.removeprefix(LAB_PREFIX)
    email = labs[region]
    state = _state(found)
    words = _words(email) | {NONE: f"{practice_id} has not asked {email} for a connection"}
    return LabReport(
        practice_id=practice_id,
        lab=LabConnection(state=state, email=email),
        region=region,
        waiting_on=None if state == ACTIVE else "practice",
        step=step,
        found=words[state],
    )


def best_connection(me: User, email: str) -> AccountConnection | None:
    """Return an account's connection with an address: the accepted one, else one that it can accept."""
    found = [connection for connection in me.connections if connection.email.casefold() == email.casefold()]
    return max(found, key=lambda connection: (connection.accepted, connection.asked_us), default=None)


def lab_email(labs: Mapping[str, str], lab_id: str) -> str:
    """Return the address of the lab `lab:REGION`.

    Raises:
        connector.errors.SettingError: it is not one of Ormco's labs.
    """
    region = lab_id.removeprefix(LAB_PREFIX)
    if not lab_id.startswith(LAB_PREFIX) or region not in labs:
        raise SettingError(
            f"{lab_id} is not one of Ormco's labs",
            hint=f"They are {', '.join(LAB_PREFIX + name for name in sorted(labs))}.",
        )
    return labs[region]


def lab_region(labs: Mapping[str, str], account: Account, named: str | None = None) -> str:
    """Return the region of an account's own lab, or the region that a person has named.

    Raises:
        connector.errors.SettingError: the account's region is not known, or has no lab.
    """
    region = named or account.region
    if region is None or region not in labs:
        where = f"in {region}" if region else "in a region that is not known"
        raise SettingError(
            f"the account {account} is {where}, so it is not clear which of Ormco's labs is its own",
            hint=f"Name the region, by the practice's location: {', '.join(sorted(labs))}",
        )
    return region


def check_lab_account(me: User, lab_id: str, email: str) -> User:
    """Return a lab's account if it is the one of its region.

    Raises:
        connector.errors.AccountMismatchError: it is another account.
    """
    if (me.account.email or "").casefold() != email.casefold():
        raise AccountMismatchError(
            f"{lab_id} is connected to {me.account}, not to {email}",
            hint=f"Forget {lab_id}, then connect it again and sign in as {email}.",
        )
    return me


def _words(email: str, before: LabConnection | None = None) -> dict[str, str]:
    """Return each state in words, for a connection that the lab has asked for; `before`: its last state."""
    known = before.state if before is not None and before.email == email else NONE
    gone = {
        REQUESTED: f"the request to {email} is gone: the lab rejected it, or it was withdrawn",
        ACTIVE: f"the connection with {email} is gone: the lab removed it, or it was removed in the portal",
    }
    return {
        NONE: gone.get(known, f"Ormco's lab {email} is not among the account's connections"),
        REQUESTED: f"Ormco's lab {email} has asked for the connection; the practice has not accepted it yet",
        ACTIVE: f"Ormco's lab {email} is active",
    }


def wait_until_active(
    report: LabReport,
    seconds: float,
    read: Callable[[], LabReport],
    *,
    waiting: Waiting,
    clock: Clock,
    required: bool = True,
) -> LabReport:
    """Read a lab connection repeatedly, at growing intervals, until it is active.

    Raises:
        connector.errors.StillWaitingError: it did not become active in time.
        connector.errors.LabConnectionNotFoundError: the request is gone, and it is `required`.
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
            _LOG.warning("%s; the wait for %s continues", exc.message, report.lab.email)
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


def _state(connection: AccountConnection | None) -> str:
    return NONE if connection is None else ACTIVE if connection.accepted else REQUESTED
