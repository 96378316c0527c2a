"""What happened between two versions of a case, and where it stands now."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connector.communicate.case_status import DESIGNED, REJECTED, STEPS, Side, Standing, Step, label_of

__all__ = ["STATUS_CHANGED", "UPDATED", "Change", "Snapshot", "read_change"]

UPDATED = "updated"  # a new version under the same status
STATUS_CHANGED = "status_changed"  # to a status whose history does not tell who did it


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One version of a case, as far as its status goes; holds nothing about a patient.

    Attributes:
        designs: digest of its designs, "" where there are none.
        standing: what was made of it; OTHER before `read_change` has looked at it.
    """

    version: int
    state: str | None
    state_flag: str | None
    designs: str
    standing: Standing = Standing.OTHER

    @property
    def label(self) -> str:
        """What the portal shows."""
        return label_of(self.state, self.state_flag)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened between two versions.

    Attributes:
        event: a step's event, "updated" or "status_changed".
        side: who did it, or None where it cannot be told.
        step: the article's number, or None.
        after: the newer version, with its standing.
    """

    event: str
    side: Side | None
    step: str | None
    after: Snapshot


def read_change(before: Snapshot | None, after: Snapshot, *, gap: bool = False) -> Change:
    """Tell what happened.

    Args:
        before: the version before, with its standing; None where there is none, or it cannot be had.
        after: the newer version.
        gap: whether versions in between, or all before, cannot be had.
    """
    new_design = _has_new_design(before, after)
    if before is not None and _same_label(before, after) and not (before.standing in DESIGNED and new_design):
        return _change(UPDATED, after, _unchanged(before, gap=gap))
    step = next((step for step in STEPS if step.event and _fits(step, before, after, new_design)), None)
    if step is None:
        return _change(STATUS_CHANGED, after, Standing.OTHER)
    if gap and step.standing is Standing.DESIGN_SENT:
        # It may have been sent for approval, and approved, in a version that cannot be had.
        return _change(STATUS_CHANGED, after, Standing.SENT_OR_APPROVED)
    unsure = gap and step.standing in REJECTED
    return _change(step.event or "", after, Standing.REJECTED_OR_RESENT if unsure else step.standing, step)


def _fits(step: Step, before: Snapshot | None, after: Snapshot, new_design: bool) -> bool:
    standing = Standing.OTHER if before is None else before.standing
    return (
        after.label.lower() == step.label.lower()
        and (step.before is None or standing in step.before)
        and step.new_design in (None, new_design)
    )


def _has_new_design(before: Snapshot | None, after: Snapshot) -> bool:
    if before is None or before.standing not in DESIGNED:
        return True  # a case that was not designed before got its design with this, listed or not
    return after.designs not in ("", before.designs)


def _same_label(before: Snapshot, after: Snapshot) -> bool:
    return before.label.lower() == after.label.lower()


def _unchanged(before: Snapshot, *, gap: bool) -> Standing:
    # Another rejection of a new design changes neither the label nor the designs.
    if before.standing is Standing.RESENT or (gap and before.standing in REJECTED):
        return Standing.REJECTED_OR_RESENT
    return before.standing


def _change(event: str, after: Snapshot, standing: Standing, step: Step | None = None) -> Change:
    return Change(
        event=event,
        side=step.side if step else None,
        step=step.number if step else None,
        after=replace(after, standing=standing),
    )
