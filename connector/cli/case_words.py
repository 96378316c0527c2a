"""Cases and their events as JSON and as words; what names a patient only on request."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from connector.cli.output import age
from connector.clock import isoformat
from connector.redact import shown

if TYPE_CHECKING:
    from connector.communicate.attachments import Download
    from connector.communicate.case import Case
    from connector.communicate.case_history import CaseEvent, CaseStanding
    from connector.communicate.case_status import Next

__all__ = [
    "case_json",
    "download_json",
    "event_json",
    "event_line",
    "heading",
    "list_row",
    "timeline",
    "what_next",
]

_NO_STEP = {
    "updated": "the case was updated under the same status",
    "status_changed": "the status changed; the history does not tell who did it",
}


def case_json(found: CaseStanding, *, show_patient: bool) -> dict[str, Any]:
    """Return what `--json` prints of a case."""
    case = found.case
    kinds = Counter(file.kind for file in case.files)
    return {
        "case": case.id,
        "case_version": case.version,
        "label": shown(case.label),
        "state": case.state,
        "state_flag": case.state_flag,
        "standing": found.standing.value,
        **_next_json(found.next),
        "region": found.region,
        "created": isoformat(case.created),
        "updated": isoformat(case.updated),
        "files": {f"{kind}s": kinds[kind] for kind in ("scan", "design", "attachment")},
        "patient": _patient_json(case) if show_patient else None,
    }


def event_json(event: CaseEvent) -> dict[str, Any]:
    """Return what `--json` prints of an event."""
    return {
        "id": event.id,
        "practice": event.practice_id,
        "region": event.region,
        "case": event.case_id,
        "case_version": event.case_version,
        "at": isoformat(event.at),
        "event": event.event,
        "actor": event.actor,
        "step": event.step,
        "label": event.label,
        "previous_label": event.previous_label,
        "state": event.state,
        "state_flag": event.state_flag,
        "standing": event.standing.value,
        **_next_json(event.next),
    }


def download_json(download: Download, *, show_patient: bool) -> dict[str, Any]:
    """Return what `--json` prints of a downloaded file."""
    file, error = download.file, download.error
    # An attachment's own name may be the patient's; those of scans and designs are ours.
    path = str(download.path) if download.path and (show_patient or file.name is None) else None
    return {
        "kind": file.kind,
        "part": file.part,
        "file_type": file.file_type,
        "name": file.name if show_patient else None,
        "path": path,
        "bytes": download.size,
        "sha1": file.sha1,
        "verified": download.verified,
        "error": error and {"kind": error.kind, "message": error.message, "hint": error.hint},
    }


def list_row(found: CaseStanding, now: datetime, *, show_patient: bool) -> tuple[str, ...]:
    """Return a case as a row of the table."""
    case = found.case
    row = (
        case.id,
        shown(case.label, 40),
        found.next.waits_for or "-",
        age(case.at, now) if case.at else "-",
        str(case.version),
    )
    if not show_patient:
        return row
    return (*row, shown(case.patient_name) or "-", shown(next(iter(case.order_numbers.values()), "-")))


def heading(found: CaseStanding, now: datetime, *, show_patient: bool) -> str:
    """Return what a case is, in a few lines."""
    case = found.case
    since = f", for {age(case.at, now)}" if case.at else ""
    kinds = Counter(file.kind for file in case.files)
    files = (
        ", ".join(f"{kinds[kind]} {kind}{'' if kinds[kind] == 1 else 's'}" for kind in kinds) or "no files"
    )
    lines = [
        f"Case {case.id} in {found.region}",
        f"{shown(case.label)}{since}; version {case.version}; {files}",
    ]
    if show_patient:
        lines += [f"{name}: {shown(str(value))}" for name, value in _patient_lines(case)]
    return "\n".join(lines)


def timeline(events: list[CaseEvent]) -> list[tuple[str, ...]]:
    """Return a case's history as rows: version, when, who, label, what."""
    return [
        (str(event.case_version), isoformat(event.at) or "-", event.actor or "-", event.label, _does(event))
        for event in events
    ]


def event_line(event: CaseEvent) -> str:
    """Return an event in one line."""
    who = f"{event.actor} {_does(event)}" if event.actor else _does(event)
    waits = f" (next: {event.next.waits_for})" if event.next.waits_for else ""
    at = isoformat(event.at) or "-"
    return f"{at}  {event.practice_id}  {event.case_id}  v{event.case_version}  {event.label}: {who}{waits}"


def what_next(following: Next) -> str:
    """Return what each side can do, a line each."""
    lines = [f"Next: {following.waits_for or 'not known'}"]
    lines += [
        f"  {side} can: {text}"
        for side, text in (("clinic", following.clinic), ("lab", following.lab))
        if text
    ]
    return "\n".join(lines)


def _does(event: CaseEvent) -> str:
    from connector.communicate.case_status import STEPS

    does = {step.number: step.does for step in STEPS}
    return does.get(event.step or "") or _NO_STEP.get(event.event, event.event)


def _next_json(following: Next) -> dict[str, Any]:
    return {
        "next_actor": following.waits_for or None,
        "next": {"clinic": following.clinic or None, "lab": following.lab or None},
    }


def _patient_json(case: Case) -> dict[str, Any]:
    return {
        "name": case.patient_name or None,
        "first_name": case.patient.first_name,
        "last_name": case.patient.last_name,
        "external_id": case.patient.external_id,
        "reference": case.patient.reference,
        "order_numbers": dict(case.order_numbers),
        "operator": case.operator,
        "comments": list(case.comments),
        "attachments": [file.name for file in case.files if file.kind == "attachment"],
    }


def _patient_lines(case: Case) -> list[tuple[str, object]]:
    lines = [
        ("Patient", case.patient_name),
        ("External id", case.patient.external_id),
        ("Reference", case.patient.reference),
        *case.order_numbers.items(),
        ("Operator", case.operator),
        *(("Comment", comment) for comment in case.comments),
        *(("Attachment", file.name) for file in case.files if file.kind == "attachment"),
    ]
    return [(name, value) for name, value in lines if value]
