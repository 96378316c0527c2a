"""Who did what to a case, and who has to act next.

The provider has two fields, `State` and `StateFlag`; side by side they are the portal's label. The label
alone does not tell where a case stands: a new design after a rejection leaves it as it is, and "Designed
approved" is said of a design that was sent without asking and of one that the dentist approved. What tells is
the version before, and whether the designs are still the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["DESIGNED", "NEXT", "REJECTED", "STEPS", "Next", "Side", "Standing", "Step", "label_of"]


class Side(StrEnum):
    """Who acts on a case."""

    CLINIC = "clinic"
    LAB = "lab"


class Standing(StrEnum):
    """Where a case stands: finer than its label."""

    SENT = "sent"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    DESIGN_SENT = "design_sent"  # without asking for approval
    APPROVAL_REQUESTED = "approval_requested"
    REJECTED = "rejected"
    RESENT = "resent"  # a new design after a rejection; the label still says rejected
    APPROVED = "approved"  # by the dentist
    SENT_OR_APPROVED = "sent_or_approved"  # "Designed approved", and no earlier version tells which
    REJECTED_OR_RESENT = "rejected_or_resent"  # "Designed rejected", and no earlier version tells which
    OTHER = "other"  # a status that the article does not know


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the article on status updates.

    Attributes:
        number: its place among the article's eleven; "5a" is step 5 with "Request approval".
        side: who takes it.
        does: what they do, in the article's words.
        label: the portal's label afterwards.
        event: the event's name, or None for a step that leaves no trace in the portal.
        standing: where the case stands afterwards.
        before: where it has to stand before; None: anywhere else.
        new_design: whether the designs change with it; None: no matter.
    """

    number: str
    side: Side
    does: str
    label: str
    event: str | None = None
    standing: Standing = Standing.OTHER
    before: frozenset[Standing] | None = None
    new_design: bool | None = None


REJECTED = frozenset({Standing.REJECTED, Standing.RESENT, Standing.REJECTED_OR_RESENT})
DESIGNED = REJECTED | {
    Standing.DESIGN_SENT,
    Standing.APPROVAL_REQUESTED,
    Standing.APPROVED,
    Standing.SENT_OR_APPROVED,
}
_CLINIC, _LAB = Side.CLINIC, Side.LAB

# fmt: off
# The article, line by line; a change is the first step that fits. "5a" is the label of a design that waits
# for the dentist, which the article leaves out.
STEPS: tuple[Step, ...] = (
    Step(number="1", side=_CLINIC, does="scans a TRIOS order and sends it to the lab",
         label="Scanned sent", event="case_sent", standing=Standing.SENT),
    Step(number="2", side=_LAB, does="refreshes the TRIOS Inbox and receives the order",
         label="Scanned received", event="case_received", standing=Standing.RECEIVED),
    Step(number="3", side=_LAB, does="accepts the order in the TRIOS Inbox",
         label="Scanned approved", event="case_accepted", standing=Standing.ACCEPTED),
    Step(number="4", side=_CLINIC, does="refreshes the order in TRIOS and sees that it was accepted",
         label="Scanned approved"),
    Step(number="5", side=_LAB, does="designs and sends it with \"Send update to Customer\"",
         label="Designed approved", event="design_sent", standing=Standing.DESIGN_SENT, new_design=True),
    Step(number="5a", side=_LAB, does="designs and sends it with \"Request approval\"",
         label="Designed sent", event="approval_requested", standing=Standing.APPROVAL_REQUESTED),
    Step(number="6", side=_CLINIC, does="sees the design in TRIOS and on the portal",
         label="Designed approved"),
    Step(number="7", side=_CLINIC, does="presses \"Reject\" in TRIOS, since the design is incorrect",
         label="Designed rejected", event="design_rejected", standing=Standing.REJECTED,
         before=frozenset(Standing) - REJECTED),
    Step(number="8", side=_LAB, does="presses \"Send and Receive\"; Dental Manager shows Rejected",
         label="Designed rejected"),
    Step(number="9", side=_LAB, does="redesigns and sends it with \"Send update to Customer\"",
         label="Designed rejected", event="design_resent", standing=Standing.RESENT,
         before=REJECTED, new_design=True),
    Step(number="10", side=_CLINIC, does="sees the new design and presses \"Approve\" in TRIOS",
         label="Designed approved", event="design_approved", standing=Standing.APPROVED,
         before=DESIGNED, new_design=False),
    Step(number="11", side=_LAB, does="presses \"Send and Receive\" and can manufacture",
         label="Designed approved"),
)
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What each side can do where a case stands; `waits_for` is who has to.

    Attributes:
        waits_for: "clinic", "lab", "clinic or lab" where it cannot be told, or "" where it is not known.
    """

    waits_for: str
    clinic: str = ""
    lab: str = ""


_LOOK_AT_DESIGN = "look at the design in TRIOS or on the portal"
_DECIDE = "press Approve or Reject in TRIOS"
_REDESIGN = "press Send and Receive, redesign, then Send update to Customer"
_MANUFACTURE = "press Send and Receive, then manufacture"

NEXT: Mapping[Standing, Next] = {
    Standing.SENT: Next(
        waits_for="lab", clinic="see it in the portal", lab="refresh the TRIOS Inbox in Dental System"
    ),
    Standing.RECEIVED: Next(waits_for="lab", lab="accept the order in the TRIOS Inbox"),
    Standing.ACCEPTED: Next(
        waits_for="lab",
        clinic="refresh the order in TRIOS to see that it was accepted",
        lab="design, then Send update to Customer (with or without Request approval)",
    ),
    Standing.DESIGN_SENT: Next(
        waits_for="lab", clinic=_LOOK_AT_DESIGN, lab="manufacture: no approval was asked"
    ),
    Standing.APPROVAL_REQUESTED: Next(waits_for="clinic", clinic=_DECIDE, lab="wait for the dentist"),
    Standing.REJECTED: Next(waits_for="lab", clinic="wait for a new design", lab=_REDESIGN),
    Standing.RESENT: Next(
        waits_for="clinic", clinic=f"look at the new design and {_DECIDE}", lab="wait for the dentist"
    ),
    Standing.APPROVED: Next(waits_for="lab", clinic=_LOOK_AT_DESIGN, lab=_MANUFACTURE),
    Standing.SENT_OR_APPROVED: Next(waits_for="lab", clinic=_LOOK_AT_DESIGN, lab=_MANUFACTURE),
    Standing.REJECTED_OR_RESENT: Next(
        waits_for="clinic or lab",
        clinic="look whether there is a new design to approve or reject",
        lab="press Send and Receive to see whether a new design is wanted",
    ),
    Standing.OTHER: Next(waits_for=""),
}


def label_of(state: str | None, state_flag: str | None) -> str:
    """Return the portal's label of a pair; a pair that nobody knows is shown in the same form.

    Examples:
        >>> label_of("Scanned", "Sent"), label_of("Manufactured", None)
        ('Scanned sent', 'Manufactured')
    """
    return " ".join(part for part in (state or "", (state_flag or "").lower()) if part) or "-"
