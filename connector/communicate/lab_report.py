"""How a lab connection stands, in values and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.communicate.users_api import Partner, UserAndPartners
from connector.connection import LabConnection
from connector.oauth.provider import Provider

__all__ = [
    "ACTIVE",
    "NONE",
    "REQUESTED",
    "LabReport",
    "best",
    "lab_side_report",
    "portal_steps",
    "practice_side_report",
]

NONE, REQUESTED, ACTIVE = "none", "requested", "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabReport:
    """What was found of a lab connection, and what was done about it.

    Attributes:
        practice_id: whose.
        lab: its state now, and the address of Ormco's lab for this practice.
        region: the region that lab is for.
        waiting_on: "lab" or "practice" while one of them has to accept, else None.
        step: what was done: "request", "approve" or "none".
        found: how it stands, in words.
        others: Ormco's labs of other regions that the account has to do with.
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
        """What is wrong beside it, in words: labs of other regions; or nothing."""
        if not self.others:
            return ""
        emails = " and ".join(str(other.email) for other in self.others)
        return (
            f"the account also has Ormco's lab of another region among its connections ({emails}); that of "
            f"its own region, {self.region}, is {self.lab.email}. Remove the other in the portal, under "
            '"Connections", with the red X, so that no case is sent there'
        )


def practice_side_report(
    me: UserAndPartners,
    practice_id: str,
    region: str,
    labs: Mapping[str, str],
    before: LabConnection | None,
) -> LabReport:
    """Read a practice's lab connection from its account.

    Args:
        me: the practice's account.
        practice_id: whose it is.
        region: the region of the lab it should have.
        labs: region → address of Ormco's lab.
        before: how it stood when it was last looked at.
    """
    email = labs[region]
    partner = best(me, email)
    others = {other for other in labs.values() if other.casefold() != email.casefold()}
    return LabReport(
        practice_id=practice_id,
        lab=LabConnection(state=_state(partner), email=email),
        region=region,
        waiting_on=None if partner is None or partner.accepted else "practice" if partner.asked_us else "lab",
        found=_words(partner, email, before),
        others=tuple(
            LabConnection(state=_state(found), email=found.email)
            for other in sorted(others)
            if (found := best(me, other)) is not None
        ),
    )


def best(me: UserAndPartners, email: str) -> Partner | None:
    """Return an account's connection with an address: the accepted one, else what only needs our yes."""
    found = [partner for partner in me.partners if partner.has_address(email)]
    return max(found, key=lambda partner: (partner.accepted, partner.asked_us), default=None)


def lab_side_report(
    partner: Partner | None, practice_id: str, region: str, email: str, step: str
) -> LabReport:
    """Read a practice's lab connection from the lab's account.

    Args:
        partner: the practice, seen from the lab; None where neither has asked.
        practice_id: the practice.
        region: the lab's.
        email: the lab's.
        step: what was done.
    """
    state = _state(partner)
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


def portal_steps(provider: Provider, practice_id: str, email: str) -> str:
    """Return the guide's steps 1-4 of "Getting Connected", for where the API does not help."""
    portal = f" ({provider.portal_url})" if provider.portal_url else ""
    return (
        f'Do it by hand: log in to the practice\'s 3Shape Communicate account{portal}; under "Connections", '
        f'select "Add Connection"; type {email} and select "Find"; in the search results select "Ormco '
        f'Corporation" with exactly this address. Then: ormco lab status {practice_id} --wait 86400'
    )


def _words(partner: Partner | None, email: str, before: LabConnection | None) -> str:
    if partner is not None:
        if partner.accepted:
            return f"Ormco's lab {email} is active"
        if partner.asked_us:
            return (
                f"Ormco's lab {email} has asked for the connection, and the practice has not accepted it yet"
            )
        return f"request sent to {email}, waiting for approval"
    known = before.state if before is not None and before.email == email else NONE
    return {
        REQUESTED: f"the request to {email} is gone: the lab rejected it, or somebody withdrew it",
        ACTIVE: f"the connection with {email} is gone: the lab removed it, or somebody did in the portal",
    }.get(known, f"Ormco's lab {email} is not among the account's connections")


def _state(partner: Partner | None) -> str:
    return NONE if partner is None else ACTIVE if partner.accepted else REQUESTED
