"""The history of a case: its versions, read as who did what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from connector.communicate.case import Case
from connector.communicate.case_changes import Change, Snapshot, read_change
from connector.communicate.case_status import NEXT, REJECTED, STEPS, Next, Side, Standing
from connector.redact import shown

__all__ = [
    "CaseEvent",
    "CaseStanding",
    "FindVersion",
    "Seen",
    "Through",
    "events_between",
    "snapshot_of",
    "standing_of",
    "versions_of",
]

# More versions than this between two looks are not read one by one.
_MOST_VERSIONS = 100
_FIRST = 1
_LONGEST_WORD = 60

FindVersion = Callable[[str, int], Case | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEvent:
    """One thing that somebody did to a case; holds nothing about the patient.

    Attributes:
        practice_id: through whose connection it was seen.
        region: in which region.
        case_id: the case.
        case_version: the version of the case that came of it.
        event: a step's event of `case_status.STEPS`, "updated" or "status_changed".
        actor: who did it, "clinic" or "lab", or None where it cannot be told.
        step: the step's number in the article, or None.
        label: the portal's label after it, `previous_label` before it.
        state: as the provider wrote it.
        state_flag: as the provider wrote it.
        standing: where the case stands after it.
        at: when, or None where the provider does not tell.
    """

    practice_id: str
    region: str
    case_id: str
    case_version: int
    event: str
    actor: Side | None
    step: str | None
    label: str
    previous_label: str | None
    state: str | None
    state_flag: str | None
    standing: Standing
    at: datetime | None

    @property
    def id(self) -> str:
        """The same whenever this event is delivered: what is delivered twice is recognised by it."""
        return f"{self.case_id}:{self.case_version}"

    @property
    def next(self) -> Next:
        """What each side can do now."""
        return NEXT[self.standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseStanding:
    """A case, and where it stands.

    Attributes:
        case: its newest version.
        standing: finer than its label.
        region: where it was read.
    """

    case: Case
    standing: Standing
    region: str

    @property
    def next(self) -> Next:
        """What each side can do now."""
        return NEXT[self.standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """Through whose connection a case is seen, and in which region."""

    practice_id: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An event, and the version to go on from."""

    event: CaseEvent
    snapshot: Snapshot


def snapshot_of(case: Case) -> Snapshot:
    """Return what matters of a case for its status, in words fit for the store and for a terminal."""
    return Snapshot(
        version=case.version,
        state=case.state and shown(case.state, _LONGEST_WORD),
        state_flag=case.state_flag and shown(case.state_flag, _LONGEST_WORD),
        designs=case.designs,
    )


def standing_of(case: Case, find: FindVersion) -> Standing:
    """Tell where a case stands, asking for earlier versions only where its label leaves open who has to act.

    Args:
        case: its newest version.
        find: returns one version of a case, or None where it is not to be had.
    """
    standing = read_change(None, snapshot_of(case), gap=case.version > _FIRST).after.standing
    if standing in REJECTED and case.version > _FIRST:
        before: Snapshot | None = None
        for version in _back(case, find, lambda earlier: earlier.label != case.label):
            before = _change(before, version).after
        standing = before.standing if before else standing
    return standing


def events_between(
    before: Snapshot | None,
    newest: Case,
    find: FindVersion,
    *,
    through: Through,
    since: datetime | None = None,
) -> Iterator[Seen]:
    """Yield what happened to a case up to its newest version, the oldest first.

    Args:
        before: the last version that is known, or None for a case that was never seen.
        newest: its newest version.
        find: returns one version of a case, or None where it is not to be had.
        through: through whose connection it is seen.
        since: of a case that was never seen, only what happened from then on; None: all.
    """
    if before is not None:
        first = max(before.version + 1, newest.version - _MOST_VERSIONS)
        between = (find(newest.id, number) for number in range(first, newest.version))
        versions = [*(case for case in between if case is not None), newest]
    else:
        versions = _back(newest, find, lambda case: not _is_since(case, since))
    everything = before is not None or since is None
    for case in versions:
        change = _change(before, case)
        # A server that does not tell when had a reason to name the newest version.
        if everything or (_is_since(case, since) if case.updated else case is newest):
            yield Seen(event=_event(before, case, change, through), snapshot=change.after)
        before = change.after


def versions_of(newest: Case, find: FindVersion) -> list[Case]:
    """Return every version of a case that is to be had, the oldest first."""
    return _back(newest, find, lambda case: False)


def _back(newest: Case, find: FindVersion, enough: Callable[[Case], bool]) -> list[Case]:
    """Return a case's versions up to the newest, from the first, or from the last that is enough."""
    versions = [newest]
    for number in range(newest.version - 1, max(newest.version - _MOST_VERSIONS, 0) - 1, -1):
        oldest = versions[-1]
        if enough(oldest) or (oldest.version == _FIRST and oldest.label.lower() == STEPS[0].label.lower()):
            break
        if (case := find(newest.id, number)) is not None:
            versions.append(case)
    return versions[::-1]


def _change(before: Snapshot | None, case: Case) -> Change:
    expected = before.version + 1 if before else _FIRST
    return read_change(before, snapshot_of(case), gap=case.version > expected)


def _is_since(case: Case, since: datetime | None) -> bool:
    return since is None or case.updated is None or case.updated >= since


def _event(before: Snapshot | None, case: Case, change: Change, through: Through) -> CaseEvent:
    return CaseEvent(
        practice_id=through.practice_id,
        region=through.region,
        case_id=case.id,
        case_version=case.version,
        event=change.event,
        actor=change.side,
        step=change.step,
        label=change.after.label,
        previous_label=before.label if before else None,
        state=case.state,
        state_flag=case.state_flag,
        standing=change.after.standing,
        at=case.at,
    )
