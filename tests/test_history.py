"""The history of a case: its versions, as far as they can be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.communicate.history import Source, events_between, status_of, versions_of
from connector.communicate.models import Case, CaseFile
from connector.communicate.status import CaseStatus, Snapshot

DAY = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = Source(practice_id="maple", region="europe")
STORY = [
    *("Scanned sent", "Scanned received", "Scanned approved"),
    *("Designed sent/a", "Designed rejected/a", "Designed rejected/b", "Designed approved/b"),
]


class Versions:
    """A case's versions as a server has them; counts what is asked."""

    def __init__(self, story: Any, first: int = 1, gone: Any = ()) -> None:
        self.asked = 0
        self.gone = set(gone)
        self.all = {number: self.version(number, entry) for number, entry in enumerate(story, first)}
        self.newest = max(self.all.values(), key=lambda case: case.version)

    def version(self, number: int, entry: Any) -> Any:
        label, _, design = entry.partition("/")
        state, _, flag = label.partition(" ")
        files = (CaseFile(kind="design", sha1=design * 40),) if design else ()
        at = DAY + timedelta(hours=number)
        return Case(
            id="c",
            version=number,
            state=state,
            state_flag=flag.capitalize(),
            created=DAY,
            updated=at,
            files=files,
        )

    def find(self, case_id: str, number: int) -> Any:
        self.asked += 1
        return None if number in self.gone else self.all.get(number)

    def events(self, before: Any = None, since: Any = None) -> Any:
        seen = events_between(before, self.newest, self.find, source=SOURCE, since=since)
        return [one.event for one in seen]


def names(events: Any) -> Any:
    return [event.event for event in events]


def test_whole_history() -> None:
    """Every version is an event, from the first."""
    versions = Versions(STORY)
    assert names(versions.events()) == [
        *("case_sent", "case_received", "case_accepted", "approval_requested"),
        *("design_rejected", "design_resent", "design_approved"),
    ]
    assert [case.version for case in versions_of(versions.newest, versions.find)] == list(range(1, 8))


def test_versions_counted_from_zero() -> None:
    """A server that counts from 0 loses nothing."""
    assert names(Versions(STORY, first=0).events())[0] == "case_sent"


def test_only_new_versions_are_read() -> None:
    """After a known version, only later ones are requested and reported."""
    versions = Versions(STORY)
    known: Any = {"state": "Designed", "state_flag": "Rejected", "status": CaseStatus.REJECTED}
    before = Snapshot(version=5, designs=versions.all[5].designs, **known)
    assert names(versions.events(before)) == ["design_resent", "design_approved"]
    assert versions.asked == 1


def test_since_asks_for_no_more_than_needed() -> None:
    """For a case that was never seen, versions are requested back to the timestamp, and one before."""
    versions = Versions(STORY)
    events = versions.events(since=DAY + timedelta(hours=6))
    assert names(events) == ["design_resent", "design_approved"]
    assert versions.asked == 2
    assert versions.events(since=DAY + timedelta(hours=8)) == []


def test_gap_makes_a_label_ambiguous() -> None:
    """If a version in between is gone, an ambiguous label is not read as if it were known."""
    versions = Versions([*STORY[:3], "Designed sent/a", "Designed approved/a"], gone=[4])
    last = versions.events()[-1]
    assert (last.event, last.actor, last.status) == ("status_changed", None, CaseStatus.SENT_OR_APPROVED)


def test_history_without_any_earlier_version() -> None:
    """The newest version alone is reported as what it is."""
    (event,) = Versions(STORY[:6], gone=range(6)).events()
    assert (event.event, event.status, event.case_version) == (
        "design_rejected",
        CaseStatus.REJECTED_OR_RESENT,
        6,
    )


@pytest.mark.parametrize(
    ("length", "status", "asked"),
    [
        (3, CaseStatus.ACCEPTED, 0),
        (4, CaseStatus.APPROVAL_REQUESTED, 0),
        (5, CaseStatus.REJECTED, 1),
        (6, CaseStatus.RESENT, 2),
    ],
)
def test_status_reads_versions_only_if_the_label_is_ambiguous(length: int, status: Any, asked: int) -> None:
    """A rejected case is looked into for a new design; other labels cost nothing."""
    versions = Versions(STORY[:length])
    assert status_of(versions.newest, versions.find) is status
    assert versions.asked == asked


def test_thousands_of_versions_are_not_read() -> None:
    """A version number that jumps costs a bounded number of calls."""
    versions = Versions(["Scanned sent"], first=1_000_000)
    assert len(versions.events()) == 1
    assert versions.asked <= 100


def test_status_text_of_the_provider_is_made_safe_for_terminals() -> None:
    """A status with control characters, or without an end, is cut and cleaned."""
    case = Case(id="c", version=1, state="Foo\x1b[2J\n" + "x" * 500, state_flag="Bar\x00")
    (seen,) = events_between(None, case, lambda case_id, number: None, source=SOURCE)
    assert seen.event.label.isprintable()
    assert len(seen.event.label) < 130
