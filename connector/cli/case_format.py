"""Cases, their events and downloads as JSON and as text; patient data only on request."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from connector.cli.output import age, error_json, mark, shown_time, write
from connector.cli.table import table
from connector.clock import isoformat
from connector.redact import shown

if TYPE_CHECKING:
    from connector.communicate.download import Download
    from connector.communicate.history import CaseEvent, CaseSummary
    from connector.communicate.models import Case, CaseFile
    from connector.communicate.status import Next

__all__ = [
    "ProgressLine",
    "case_json",
    "case_text",
    "download_json",
    "download_line",
    "event_json",
    "event_line",
    "list_row",
]

_NO_STEP = {
    "updated": "the case was updated under the same status",
    "status_changed": "the status changed; the history does not show the actor",
}
_EVERY_SECONDS = 0.1


class ProgressLine:
    """One line on a terminal's stderr with the progress of a file; nothing if there is no terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last = 0.0
        self._width = 0

    def __call__(self, file: CaseFile, done: int, size: int | None) -> None:
        """Show how many bytes have arrived."""
        now = time.monotonic()
        if not self._terminal or now - self._last < _EVERY_SECONDS:
            return
        self._last = now
        share = f" of {_bytes(size)} ({100 * done // size} %)" if size else ""
        line = f"… {_what(file)}: {_bytes(done)}{share}"
        # Overwrite the previous line with spaces: not every terminal knows the sequence that clears a line.
        write(f"{line:{self._width}}", err=True, newline=False, over=True)
        self._width = len(line)

    def clear(self) -> None:
        """Remove the line."""
        if self._width:
            write(" " * self._width, err=True, newline=False, over=True)
            write("", err=True, newline=False, over=True)
            self._width = 0


def case_json(found: CaseSummary, *, show_patient: bool) -> dict[str, Any]:
    """Return the JSON object of a case."""
    case = found.case
    kinds = Counter(file.kind for file in case.files)
    return {
        "case": case.id,
        "case_version": case.version,
        "label": shown(case.label),
        "state": case.state,
        "state_flag": case.state_flag,
        "standing": found.status.value,
        **_next_json(found.next),
        "region": found.region,
        "created": isoformat(case.created),
        "updated": isoformat(case.updated),
        "files": {f"{kind}s": kinds[kind] for kind in ("scan", "design", "attachment")},
        "problem": found.problem and error_json(found.problem),
        "patient": _patient_json(case) if show_patient else None,
    }


def download_json(download: Download, *, show_patient: bool) -> dict[str, Any]:
    """Return the JSON object of a downloaded file."""
    file = download.file
    # An attachment's name may be the patient's; files of scans and designs are named by this package.
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
        "error": download.error and error_json(download.error),
    }


def download_line(download: Download, *, show_patient: bool) -> str:
    """Return the result of a download in one line; an attachment's own name only on request."""
    file, error = download.file, download.error
    name = f" {shown(file.name)}" if show_patient and file.name else ""
    if error is not None:
        return f"{mark('failed')} {_what(file)}{name}: {error.message}. {error.hint}".rstrip()
    proof = "its SHA-1 is right" if download.verified else "the provider gives no SHA-1 to check it with"
    return f"{mark('ok')} {_what(file)}{name}: {_bytes(download.size)}, {proof}"


def list_row(found: CaseSummary, *, show_patient: bool) -> tuple[str, ...]:
    """Return a case as a row of the table."""
    case = found.case
    row = (case.id, shown(case.label, 40), found.next.waits_for or "-", _age(case) or "-", str(case.version))
    if not show_patient:
        return row
    return (*row, shown(case.patient_name) or "-", shown(next(iter(case.order_numbers.values()), "-")))


def case_text(found: CaseSummary, events: Sequence[CaseEvent], *, show_patient: bool) -> str:
    """Return a case, its history as a table, and each side's possible next steps."""
    case, following = found.case, found.next
    since = f", for {_age(case)}" if case.at else ""
    kinds = Counter(file.kind for file in case.files)
    files = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in kinds.items())
    lines = [
        f"Case {case.id} in {found.region}",
        f"{shown(case.label)}{since}; version {case.version}; {files or 'no files'}",
    ]
    if show_patient:
        lines += [f"{name}: {shown(str(value))}" for name, value in _patient_lines(case)]
    rows = [
        (str(event.case_version), shown_time(event.at), event.actor or "-", event.label, _does(event))
        for event in events
    ]
    lines += ["", table(("VERSION", "WHEN", "WHO", "STATUS", "WHAT"), rows), ""]
    lines += [f"Next: {following.waits_for or 'not known'}"]
    lines += [f"  {side} can: {text}" for side in ("clinic", "lab") if (text := getattr(following, side))]
    return "\n".join(lines)


def event_json(event: CaseEvent) -> dict[str, Any]:
    """Return the JSON object of an event."""
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
        "standing": event.status.value,
        **_next_json(event.next),
    }


def event_line(event: CaseEvent) -> str:
    """Return an event in one line."""
    who = f"{event.actor} {_does(event)}" if event.actor else _does(event)
    waits = f" (next: {event.next.waits_for})" if event.next.waits_for else ""
    case = f"{event.practice_id}  {event.case_id}  v{event.case_version}"
    return f"{shown_time(event.at)}  {case}  {event.label}: {who}{waits}"


def _does(event: CaseEvent) -> str:
    from connector.communicate.status import STEPS

    does = {step.number: step.does for step in STEPS}
    return does.get(event.step or "") or _NO_STEP.get(event.event, event.event)


def _next_json(following: Next) -> dict[str, Any]:
    return {
        "next_actor": following.waits_for or None,
        "next": {"clinic": following.clinic or None, "lab": following.lab or None},
    }


def _age(case: Case) -> str:
    return age(case.at, datetime.now(UTC)) if case.at else ""


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


def _what(file: CaseFile) -> str:
    key = (file.sha1 or file.id or "")[:8]
    return shown(" ".join(part for part in (file.kind, file.part, file.file_type, key) if part), 60)


def _bytes(size: int) -> str:
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} B"
