"""The state of a lab connection, as values and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.communicate.users import AccountConnection, User
from connector.connection import Account, LabConnection
from connector.errors import AccountMismatchError, SettingError
from connector.oauth.ormco import LAB_PREFIX
from connector.oauth.provider import Provider

__all__ = [
    "ACTIVE",
    "NONE",
    "REQUESTED",
    "LabReport",
    "best_connection",
    "check_lab_account",
    "lab_email",
    "lab_region",
    "lab_side_report",
    "portal_steps",
    "practice_side_report",
]

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


def practice_side_report(
    me: User,
    practice_id: str,
    region: str,
    labs: Mapping[str, str],
    before: LabConnection | None,
) -> LabReport:
    """Read a practice's lab connection from its account.

    Args:
        me: the practice's account.
        practice_id: the practice.
        region: the region of the lab it should have.
        labs: region → address of Ormco's lab.
        before: its state when it was last read.
    """
    email = labs[region]
    connection = best_connection(me, email)
    others = {other for other in labs.values() if other.casefold() != email.casefold()}
    return LabReport(
        practice_id=practice_id,
        lab=LabConnection(state=_state(connection), email=email),
        region=region,
        waiting_on=None
        if connection is None or connection.accepted
        else "practice"
        if connection.asked_us
        else "lab",
        found=_words(connection, email, before),
        others=tuple(
            LabConnection(state=_state(found), email=found.email)
            for other in sorted(others)
            if (found := best_connection(me, other)) is not None
        ),
    )


def best_connection(me: User, email: str) -> AccountConnection | None:
    """Return an account's connection with an address: the accepted one, else one that we can accept."""
    found = [connection for connection in me.connections if connection.email.casefold() == email.casefold()]
    return max(found, key=lambda connection: (connection.accepted, connection.asked_us), default=None)


def lab_side_report(
    connection: AccountConnection | None, practice_id: str, region: str, email: str, step: str
) -> LabReport:
    """Read a practice's lab connection from the lab's account.

    Args:
        connection: the practice, seen from the lab; None if neither has asked.
        practice_id: the practice.
        region: the lab's region.
        email: the lab's e-mail address.
        step: the action that was taken.
    """
    state = _state(connection)
    words = {
        NONE: f"{practice_id} has not asked {email} for a connection",
        REQUESTED: f"{email} has asked for the connection itself, and {practice_id} has not accepted it yet",
        ACTIVE: f"Ormco's lab {email} is active",
    }
    return LabReport(
        practice_id=practice_id,
        lab=LabConnection(state=state, email=email),
        region=region,
        waiting_on=None if state == ACTIVE else "practice",
        step=step,
        found=words[state],
    )


def lab_email(labs: Mapping[str, str], lab_id: str) -> str:
    """Return the address of the lab `lab:REGION`.

    Raises:
        connector.errors.SettingError: it is not one of Ormco's labs.
    """
    region = lab_id.removeprefix(LAB_PREFIX)
    if not lab_id.startswith(LAB_PREFIX) or region not in labs:
        raise SettingError(
            f"{lab_id} is none of Ormco's labs",
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


def portal_steps(provider: Provider, email: str) -> str:
    """Return the guide's steps 1-4 of "Getting Connected", for use if the API cannot do it."""
    portal = f" ({provider.portal_url})" if provider.portal_url else ""
    return (
        f'Do it by hand: log in to the practice\'s 3Shape Communicate account{portal}; under "Connections", '
        f'select "Add Connection"; type {email} and select "Find"; in the search results select "Ormco '
        f'Corporation" with exactly this address. Then wait for the lab to accept.'
    )


def _words(connection: AccountConnection | None, email: str, before: LabConnection | None) -> str:
    if connection is not None:
        if connection.accepted:
            return f"Ormco's lab {email} is active"
        if connection.asked_us:
            return (
                f"Ormco's lab {email} has asked for the connection, and the practice has not accepted it yet"
            )
        return f"request sent to {email}, waiting for approval"
    known = before.state if before is not None and before.email == email else NONE
    return {
        REQUESTED: f"the request to {email} is gone: the lab rejected it, or somebody withdrew it",
        ACTIVE: f"the connection with {email} is gone: the lab removed it, or somebody did in the portal",
    }.get(known, f"Ormco's lab {email} is not among the account's connections")


def _state(connection: AccountConnection | None) -> str:
    return NONE if connection is None else ACTIVE if connection.accepted else REQUESTED
