"""The case status: the article's steps, its two ambiguous labels, and statuses that cannot be determined."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connector.communicate.status import NEXT, STEPS, CaseStatus, Side, Snapshot, label_of, read_change

ARTICLE = {  # number: (side, the portal's label afterwards), of the steps that the portal shows
    "1": (Side.CLINIC, "Scanned sent"),
    "2": (Side.LAB, "Scanned received"),
    "3": (Side.LAB, "Scanned approved"),
    "5": (Side.LAB, "Designed approved"),
    "7": (Side.CLINIC, "Designed rejected"),
    "9": (Side.LAB, "Designed rejected"),
    "10": (Side.CLINIC, "Designed approved"),
}


def version(number: int, label: Any, designs: str = "") -> Any:
    state, _, flag = label.partition(" ")
    return Snapshot(version=number, state=state, state_flag=flag.capitalize() or None, designs=designs)


def play(*labels: Any) -> Any:
    """Read a history, each entry "Label" or "Label/designs", version after version."""
    before, changes = None, []
    for number, entry in enumerate(labels, 1):
        label, _, designs = entry.partition("/")
        changes.append(read_change(before, version(number, label, designs)))
        before = changes[-1].after
    return changes


def test_table_matches_the_article() -> None:
    """The table has the article's steps that the portal shows, each with its side and its label."""
    steps = {step.number: (step.side, step.label) for step in STEPS if re.fullmatch(r"\d+", step.number)}
    assert steps == ARTICLE
    assert all(each == each.name.lower() for each in (*CaseStatus, *Side))


def test_workflow_without_approval() -> None:
    """Sent, received, accepted, designed: each step is reported with who took it."""
    changes = play("Scanned sent", "Scanned received", "Scanned approved", "Designed approved/a")
    assert [(change.event, change.side, change.step) for change in changes] == [
        ("case_sent", Side.CLINIC, "1"),
        ("case_received", Side.LAB, "2"),
        ("case_accepted", Side.LAB, "3"),
        ("design_sent", Side.LAB, "5"),
    ]
    assert changes[-1].after.status is CaseStatus.DESIGN_SENT


def test_workflow_with_approval() -> None:
    """A design that waits for the dentist, is rejected, sent again and approved."""
    changes = play(
        "Scanned approved",
        "Designed sent/a",
        "Designed rejected/a",
        "Designed rejected/b",
        "Designed approved/b",
    )[1:]
    assert [(change.event, change.side, change.step) for change in changes] == [
        ("approval_requested", Side.LAB, "5a"),
        ("design_rejected", Side.CLINIC, "7"),
        ("design_resent", Side.LAB, "9"),
        ("design_approved", Side.CLINIC, "10"),
    ]
    waits = " ".join(NEXT[status].waits_for or "-" for status in CaseStatus)
    assert waits == "lab lab lab lab clinic lab clinic lab lab clinic or lab -"


@pytest.mark.parametrize(
    ("labels", "event", "side"),
    [
        (("Designed rejected/a", "Designed approved/b"), "design_sent", Side.LAB),
        (("Designed rejected/a", "Designed approved/a"), "design_approved", Side.CLINIC),
        (("Designed sent/a", "Designed approved/a"), "design_approved", Side.CLINIC),
        (("Designed approved/a", "Designed approved/b"), "design_sent", Side.LAB),
        (("Designed sent/a", "Designed sent/b"), "approval_requested", Side.LAB),
        (("Designed approved/a", "Designed approved/"), "updated", None),
        (("Designed rejected/a", "Designed rejected/"), "updated", None),
        (("Designed sent/a", "Designed rejected/a", "Designed rejected/b"), "design_resent", Side.LAB),
        (("Designed sent/a", "Designed rejected/a", "Designed rejected/a"), "updated", None),
        (("Scanned sent", "Shipped home", "Designed approved/a"), "design_sent", Side.LAB),
    ],
)
def test_a_label_is_read_with_its_history(labels: Any, event: str, side: Side | None) -> None:
    """A new design means that the lab sent it, none that the dentist responded; a lost list means neither."""
    last = play(*labels)[-1]
    assert (last.event, last.side) == (event, side)


def test_second_rejection_cannot_be_distinguished_from_an_update() -> None:
    """The rejection of a new design changes no visible field, so either side may have to act."""
    last = play("Designed sent/a", "Designed rejected/a", "Designed rejected/b", "Designed rejected/b")[-1]
    assert (last.event, last.side, last.step) == ("updated", None, None)
    assert last.after.status is CaseStatus.REJECTED_OR_RESENT


def test_label_alone_names_no_actor() -> None:
    """Without earlier versions, no event names an approval or a sending."""
    approved = read_change(None, version(5, "Designed approved", "a"), gap=True)
    rejected = read_change(None, version(5, "Designed rejected", "a"), gap=True)
    assert (approved.event, approved.side) == ("status_changed", None)
    assert approved.after.status is CaseStatus.SENT_OR_APPROVED
    assert (rejected.event, rejected.after.status) == ("design_rejected", CaseStatus.REJECTED_OR_RESENT)


def test_missing_versions_in_between_are_not_guessed() -> None:
    """A design that was sent and approved between two polls is not reported as sent without asking."""
    before = read_change(None, version(3, "Scanned approved")).after
    assert read_change(before, version(4, "Scanned approved"), gap=True).after.status is before.status
    first = play("Designed sent/a", "Designed rejected/a")[-1].after
    for gap, status in ((False, CaseStatus.REJECTED), (True, CaseStatus.REJECTED_OR_RESENT)):
        assert read_change(first, version(4, "Designed rejected", "a"), gap=gap).after.status is status
    assert read_change(before, version(6, "Designed approved", "a"), gap=True).side is None
    assert read_change(before, version(4, "Designed approved", "a")).event == "design_sent"


@pytest.mark.parametrize(
    "labels", [("Scanned rejected",), ("Designed approved/a", "Manufactured"), ("Foo bar",)]
)
def test_unknown_status_passes_through(labels: Any) -> None:
    """A pair that is not in the article's table is passed on unchanged, without an actor."""
    last = play("Scanned sent", *labels)[-1]
    assert (last.event, last.side, last.after.status) == ("status_changed", None, CaseStatus.OTHER)
    assert last.after.label == labels[-1]


def test_case_of_the_words_does_not_matter() -> None:
    """The same words in other capitals are the same status."""
    after = Snapshot(version=1, state="SCANNED", state_flag="sent", designs="")
    assert read_change(None, after).event == "case_sent"


def test_every_status_says_what_comes_next() -> None:
    """There is no status without a word on what each side can do."""
    assert set(NEXT) == set(CaseStatus)
    assert all(following.lab for status, following in NEXT.items() if status is not CaseStatus.OTHER)


@pytest.mark.parametrize(
    ("state", "flag", "label"),
    [("Scanned", "Sent", "Scanned sent"), ("Manufactured", None, "Manufactured"), (None, None, "-")],
)
def test_label(state: str | None, flag: str | None, label: str) -> None:
    """The label is the two fields side by side."""
    assert label_of(state, flag) == label
