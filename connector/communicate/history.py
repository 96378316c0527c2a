"""The history of a case: its versions, interpreted as events with their actors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from connector.communicate.models import Case
from connector.communicate.status import (
    NEXT,
    REJECTED,
    STEPS,
    CaseStatus,
    Change,
    Next,
    Side,
    Snapshot,
    read_change,
)
from connector.errors import ConnectorError
from connector.redact import shown

__all__ = [
    "CaseEvent",
    "CaseSummary",
    "FindVersion",
    "SeenEvent",
    "Source",
    "events_between",
    "snapshot_of",
    "status_of",
    "versions_of",
]

# More versions than this between two polls are not read one by one.
_MOST_VERSIONS = 100
_FIRST = 1
_LONGEST_WORD = 60

# Returns one version of a case by id and number, or None if it cannot be read.
FindVersion = Callable[[str, int], Case | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEvent:
    """One event of a case; it contains nothing about the patient.

    Attributes:
        id: the same at each delivery of this event, to recognise a repeated one.
        practice_id: the practice through whose connection it was seen.
        region: the region in which it was read.
        case_id: the case.
        case_version: the version of the case that the event created; 0 if the provider states no number.
        event: a step's event of `status.STEPS`, "updated" or "status_changed".
        actor: the side that acted, "clinic" or "lab", or None if the history does not show it.
        step: the step's number in the article, or None.
        label: the portal's label after it, `previous_label` before it.
        state, state_flag: as the provider wrote them.
        status: the case's status after it.
        at: its time, or None if the provider does not state it.
    """

    id: str
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
    status: CaseStatus
    at: datetime | None

    @property
    def next(self) -> Next:
        """The possible next actions of each side."""
        return NEXT[self.status]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSummary:
    """A case and its status.

    Attributes:
        case: its newest version.
        status: its status, which is finer than its label.
        region: the region in which it was read.
        problem: the error because of which the status is that of the label alone, without history; or None.
    """

    case: Case
    status: CaseStatus
    region: str
    problem: ConnectorError | None = None

    @property
    def next(self) -> Next:
        """The possible next actions of each side."""
        return NEXT[self.status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The connection through which a case is read, and its region."""

    practice_id: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    """An event, the version to compare the next one with, and a digest of that version's content."""

    event: CaseEvent
    snapshot: Snapshot
    content: str


def snapshot_of(case: Case) -> Snapshot:
    """Return the parts of a case that decide its status, in a form safe for the store and a terminal."""
    return Snapshot(
        version=case.version,
        state=case.state and shown(case.state, _LONGEST_WORD),
        state_flag=case.state_flag and shown(case.state_flag, _LONGEST_WORD),
        designs=case.designs,
    )


def status_of(case: Case, find: FindVersion) -> CaseStatus:
    """Return a case's status; earlier versions are read only if its label does not show the next actor."""
    status = read_change(None, snapshot_of(case), gap=case.version != _FIRST).after.status
    if status in REJECTED and case.version > _FIRST:
        before: Snapshot | None = None
        for version in _back(case, find, lambda earlier: earlier.label != case.label):
            before = _change(before, version).after
        status = before.status if before else status
    return status


def events_between(
    before: Snapshot | None, newest: Case, find: FindVersion, *, source: Source, since: datetime | None = None
) -> Iterator[SeenEvent]:
    """Yield the events of a case up to its newest version, the oldest first.

    Versions after a known one are read one at a time, so that each event can be delivered before the next
    version is read.

    Args:
        before: the last version that is known, or None for a case that was never seen.
        newest: its newest version.
        find: returns one version of a case, or None if it cannot be read.
        source: the connection through which it is read.
        since: for a case that was never seen, only events from this time on; None: all.
    """
    versions: Iterable[Case]
    if before is not None:
        first = max(before.version + 1, newest.version - _MOST_VERSIONS)
        between = (find(newest.id, number) for number in range(first, newest.version))
        versions = chain((case for case in between if case is not None), (newest,))
    else:
        versions = _back(newest, find, lambda case: not _is_since(case, since))
    everything = before is not None or since is None
    for case in versions:
        change = _change(before, case)
        # If the server states no time, the newest version counts as new: the server had a reason to list it.
        if everything or (_is_since(case, since) if case.updated else case is newest):
            event = _event(before, case, change, source)
            yield SeenEvent(event=event, snapshot=change.after, content=case.content)
        before = change.after


def versions_of(newest: Case, find: FindVersion) -> list[Case]:
    """Return every version of a case that can be read, the oldest first."""
    return _back(newest, find, lambda case: False)


def _back(newest: Case, find: FindVersion, enough: Callable[[Case], bool]) -> list[Case]:
    """Return the newest versions of a case, the oldest first, back to the first or to one that is enough."""
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
    # For versions without a number, the versions in between are not known.
    return read_change(before, snapshot_of(case), gap=case.version > expected or case.version < _FIRST)


def _is_since(case: Case, since: datetime | None) -> bool:
    return since is None or case.updated is None or case.updated >= since


def _event(before: Snapshot | None, case: Case, change: Change, source: Source) -> CaseEvent:
    # Versions with the same number are distinguished by their content.
    rises = case.version > (before.version if before else 0)
    return CaseEvent(
        id=f"{case.id}:{case.version}" if rises else f"{case.id}:{case.version}-{case.content[:12]}",
        practice_id=source.practice_id,
        region=source.region,
        case_id=case.id,
        case_version=case.version,
        event=change.event,
        actor=change.side,
        step=change.step,
        label=change.after.label,
        previous_label=before.label if before else None,
        state=case.state,
        state_flag=case.state_flag,
        status=change.after.status,
        at=case.at,
    )
