"""Case status: the steps that clinic and lab took with a case, and the side that has to act next.

The provider has two fields, `State` and `StateFlag`; together they are the portal's label. The label alone
does not determine the status. A new design after a rejection does not change it. "Designed approved" is the
label of a design that was sent without asking, and of one that the dentist approved. The previous version,
and a comparison of the designs, decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = [
    "NEXT",
    "REJECTED",
    "STEPS",
    "CaseStatus",
    "Change",
    "Next",
    "Side",
    "Snapshot",
    "label_of",
    "read_change",
]

UPDATED = "updated"  # a new version under the same status
STATUS_CHANGED = "status_changed"  # to a status whose history does not show the actor


class Side(StrEnum):
    """A side that acts on a case."""

    CLINIC = "clinic"
    LAB = "lab"


class CaseStatus(StrEnum):
    """The status of a case: finer than its label."""

    SENT = "sent"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    DESIGN_SENT = "design_sent"  # without asking for approval
    APPROVAL_REQUESTED = "approval_requested"
    REJECTED = "rejected"
    RESENT = "resent"  # a new design after a rejection; the label still says rejected
    APPROVED = "approved"  # by the dentist
    SENT_OR_APPROVED = "sent_or_approved"  # "Designed approved", and no earlier version says which
    REJECTED_OR_RESENT = "rejected_or_resent"  # "Designed rejected", and no earlier version says which
    OTHER = "other"  # a status that the article does not name


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the article on status updates.

    Attributes:
        number: its number among the article's eleven; "5a" is step 5 with "Request approval".
        side: the side that takes it.
        does: the action, in the article's words.
        label: the portal's label afterwards.
        status: the case's status afterwards.
        before: the statuses in which it is possible.
        new_design: whether the designs change with it; None if both are possible.
    """

    number: str
    side: Side
    does: str
    label: str
    event: str
    status: CaseStatus
    before: frozenset[CaseStatus] = frozenset(CaseStatus)
    new_design: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The possible next actions of each side in a status.

    Attributes:
        waits_for: the side that has to act: "clinic", "lab", "clinic or lab" if that is not known, or "".
    """

    waits_for: str
    clinic: str = ""
    lab: str = ""


REJECTED = frozenset({CaseStatus.REJECTED, CaseStatus.RESENT, CaseStatus.REJECTED_OR_RESENT})
_DESIGNED = REJECTED | {
    CaseStatus.DESIGN_SENT,
    CaseStatus.APPROVAL_REQUESTED,
    CaseStatus.APPROVED,
    CaseStatus.SENT_OR_APPROVED,
}
_CLINIC, _LAB = Side.CLINIC, Side.LAB

# fmt: off
# The article, line by line, without the steps 4, 6, 8 and 11, which leave no trace in the portal; a change
# is the first step that matches. "5a" is the label of a design that waits for the dentist, which the
# article omits.
STEPS: tuple[Step, ...] = (
    Step("1", _CLINIC, "scans a TRIOS order and sends it to the lab",
         "Scanned sent", "case_sent", CaseStatus.SENT),
    Step("2", _LAB, "refreshes the TRIOS Inbox and receives the order",
         "Scanned received", "case_received", CaseStatus.RECEIVED),
    Step("3", _LAB, "accepts the order in the TRIOS Inbox",
         "Scanned approved", "case_accepted", CaseStatus.ACCEPTED),
    Step("5", _LAB, 'designs and sends it with "Send update to Customer"',
         "Designed approved", "design_sent", CaseStatus.DESIGN_SENT, new_design=True),
    Step("5a", _LAB, 'designs and sends it with "Request approval"',
         "Designed sent", "approval_requested", CaseStatus.APPROVAL_REQUESTED),
    Step("7", _CLINIC, 'presses "Reject" in TRIOS, since the design is incorrect',
         "Designed rejected", "design_rejected", CaseStatus.REJECTED, frozenset(CaseStatus) - REJECTED),
    Step("9", _LAB, 'redesigns and sends it with "Send update to Customer"',
         "Designed rejected", "design_resent", CaseStatus.RESENT, REJECTED, new_design=True),
    Step("10", _CLINIC, 'sees the new design and presses "Approve" in TRIOS',
         "Designed approved", "design_approved", CaseStatus.APPROVED, _DESIGNED, new_design=False),
)
# fmt: on


_LOOK_AT_DESIGN = "look at the design in TRIOS or on the portal"
_DECIDE = "press Approve or Reject in TRIOS"
_REDESIGN = "press Send and Receive, redesign, then Send update to Customer"
_MANUFACTURE = "press Send and Receive, then manufacture"
_DESIGN = "design, then Send update to Customer (with or without Request approval)"

# fmt: off
NEXT: Mapping[CaseStatus, Next] = {
    CaseStatus.SENT: Next(
        waits_for="lab", clinic="see it in the portal", lab="refresh the TRIOS Inbox in Dental System"),
    CaseStatus.RECEIVED: Next(waits_for="lab", lab="accept the order in the TRIOS Inbox"),
    CaseStatus.ACCEPTED: Next(
        waits_for="lab", clinic="refresh the order in TRIOS to see that it was accepted", lab=_DESIGN),
    CaseStatus.DESIGN_SENT: Next(
        waits_for="lab", clinic=_LOOK_AT_DESIGN, lab="manufacture: no approval was requested"),
    CaseStatus.APPROVAL_REQUESTED: Next(waits_for="clinic", clinic=_DECIDE, lab="wait for the dentist"),
    CaseStatus.REJECTED: Next(waits_for="lab", clinic="wait for a new design", lab=_REDESIGN),
    CaseStatus.RESENT: Next(
        waits_for="clinic", clinic=f"look at the new design and {_DECIDE}", lab="wait for the dentist"),
    CaseStatus.APPROVED: Next(waits_for="lab", clinic=_LOOK_AT_DESIGN, lab=_MANUFACTURE),
    CaseStatus.SENT_OR_APPROVED: Next(waits_for="lab", clinic=_LOOK_AT_DESIGN, lab=_MANUFACTURE),
    CaseStatus.REJECTED_OR_RESENT: Next(
        waits_for="clinic or lab", clinic="check whether there is a new design to approve or reject",
        lab="press Send and Receive to see whether a new design is wanted"),
    CaseStatus.OTHER: Next(waits_for=""),
}
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The parts of one version of a case that decide its status; nothing about a patient.

    Attributes:
        designs: digest of its designs, "" if there are none.
        status: the status that `read_change` found; OTHER before that.
    """

    version: int
    state: str | None
    state_flag: str | None
    designs: str
    status: CaseStatus = CaseStatus.OTHER

    @property
    def label(self) -> str:
        """The portal's label."""
        return label_of(self.state, self.state_flag)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change between two versions.

    Attributes:
        event: a step's event, "updated" or "status_changed".
        side: the side that did it, or None if the history does not show it.
        step: the step's number in the article, or None.
        after: the newer version, with its status.
    """

    event: str
    side: Side | None
    step: str | None
    after: Snapshot


def read_change(before: Snapshot | None, after: Snapshot, *, gap: bool = False) -> Change:
    """Return the change between two versions.

    Args:
        before: the version before, with its status; None if there is none, or it cannot be read.
        after: the newer version.
        gap: whether versions in between, or all before, cannot be read.
    """
    designed = before is not None and before.status in _DESIGNED
    # A case that was not designed before got its design with this version, even if none is listed.
    new_design = not designed or after.designs not in ("", before and before.designs)
    if before is not None and before.label.lower() == after.label.lower() and not (designed and new_design):
        # Another rejection of a new design changes neither the label nor the designs.
        unsure = before.status is CaseStatus.RESENT or (gap and before.status in REJECTED)
        return _change(UPDATED, after, CaseStatus.REJECTED_OR_RESENT if unsure else before.status)
    status = CaseStatus.OTHER if before is None else before.status
    fitting = (step for step in STEPS if step.label.lower() == after.label.lower() and status in step.before)
    step = next((step for step in fitting if step.new_design in (None, new_design)), None)
    if step is None:
        return _change(STATUS_CHANGED, after, CaseStatus.OTHER)
    if gap and step.status is CaseStatus.DESIGN_SENT:
        # It may have been sent for approval, and approved, in a version that cannot be read.
        return _change(STATUS_CHANGED, after, CaseStatus.SENT_OR_APPROVED)
    unsure = gap and step.status in REJECTED
    return _change(step.event, after, CaseStatus.REJECTED_OR_RESENT if unsure else step.status, step)


def label_of(state: str | None, state_flag: str | None) -> str:
    """Return the portal's label for a state and its flag; an unknown pair gets the same form.

    Examples:
        >>> label_of("Scanned", "Sent"), label_of("Manufactured", None)
        ('Scanned sent', 'Manufactured')
    """
    return " ".join(part for part in (state or "", (state_flag or "").lower()) if part) or "-"


def _change(event: str, after: Snapshot, status: CaseStatus, step: Step | None = None) -> Change:
    side, number = (step.side, step.number) if step else (None, None)
    return Change(event=event, side=side, step=number, after=replace(after, status=status))
