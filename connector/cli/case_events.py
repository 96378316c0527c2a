"""Case events as JSON and as text, and a printer for a watch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from connector.cli.case_format import next_json
from connector.cli.output import emit, emit_error, error_json, say, shown_time
from connector.clock import isoformat

if TYPE_CHECKING:
    from connector.communicate.history import CaseEvent

__all__ = ["EventPrinter", "event_json", "event_rows"]

_NO_STEP = {
    "updated": "the case was updated under the same status",
    "status_changed": "the status changed; the history does not say who did it",
}


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
        **next_json(event.next),
    }


def event_rows(events: Sequence[CaseEvent]) -> list[tuple[str, ...]]:
    """Return a case's history as rows: version, when, who, label, what."""
    return [
        (str(event.case_version), shown_time(event.at), event.actor or "-", event.label, _does(event))
        for event in events
    ]


def _event_line(event: CaseEvent) -> str:
    """Return an event in one line."""
    who = f"{event.actor} {_does(event)}" if event.actor else _does(event)
    waits = f" (next: {event.next.waits_for})" if event.next.waits_for else ""
    case = f"{event.practice_id}  {event.case_id}  v{event.case_version}"
    return f"{shown_time(event.at)}  {case}  {event.label}: {who}{waits}"


def _does(event: CaseEvent) -> str:
    from connector.communicate.status import STEPS

    does = {step.number: step.does for step in STEPS}
    return does.get(event.step or "") or _NO_STEP.get(event.event, event.event)


class EventPrinter:
    """Prints events on stdout and problems on stderr, whole lines from any thread.

    Attributes:
        stop: set when the reader of stdout has gone away.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.stop: threading.Event = threading.Event()
        self._as_json = as_json
        self._guard = threading.Lock()
        self._broken: OSError | None = None

    def event(self, event: CaseEvent) -> None:
        """Print an event; it counts as delivered once it is written to stdout."""
        with self._guard:
            try:
                emit(event_json(event), _event_line(event), as_json=self._as_json)
            except OSError as exc:
                self._broken = exc
                self.stop.set()
                raise

    def problem(self, practice_id: str, error: Exception | None) -> None:
        """Print the problem of a practice, or that it is over."""
        if self.stop.is_set():
            return
        with self._guard:
            if error is None:
                say(f"{practice_id}: is right again.")
                return
            words = error_json(error)
            say(f"{click.style(practice_id, bold=True)}: {words['message']}. {words['hint']}".rstrip())
            emit_error({**words, "practice": practice_id}, as_json=self._as_json)

    def lag(self, seconds: float) -> None:
        """Report that practices are polled later than planned."""
        with self._guard:
            say(
                f"Each practice is looked at every {seconds:.0f} s, to judge by the last looks: use more "
                "--workers, or more processes."
            )

    def end(self) -> None:
        """Raise the error of a reader that went away, if that ended the watch."""
        if self._broken is not None:
            raise self._broken from None
