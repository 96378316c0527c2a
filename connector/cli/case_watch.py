"""What `ormco cases watch` prints while it runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import click

from connector.cli.case_words import event_json, event_line
from connector.cli.output import emit, emit_error, say
from connector.communicate.case_history import CaseEvent
from connector.communicate.watch import WatchPlan
from connector.errors import ConnectorError

__all__ = ["Printer", "plan_of"]


def plan_of(options: Mapping[str, Any]) -> WatchPlan:
    """Return the plan that the command's options make."""
    return WatchPlan(
        name=options["name"],
        since=options["since"],
        all_cases=options["all_cases"],
        region=options["region"],
        interval=options["interval"],
        workers=options["workers"],
        once=options["once"],
    )


class Printer:
    """Prints events on stdout and problems on stderr, whole lines from any thread.

    Attributes:
        stop: set when nobody reads any more.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.stop = threading.Event()
        self._as_json = as_json
        self._guard = threading.Lock()
        self._broken: OSError | None = None

    def event(self, event: CaseEvent) -> None:
        """Print an event; it counts as delivered once it has left this process."""
        with self._guard:
            try:
                emit(event_json(event), event_line(event), as_json=self._as_json)
            except OSError as exc:
                self._broken = exc
                self.stop.set()
                raise

    def problem(self, practice_id: str, error: Exception | None) -> None:
        """Print what is wrong with a practice, or that it is right again."""
        if self.stop.is_set():
            return
        kind, message, hint = "unexpected", f"something unexpected happened ({type(error).__name__})", ""
        if isinstance(error, ConnectorError):
            kind, message, hint = error.kind, error.message, error.hint
        with self._guard:
            if error is None:
                say(f"{practice_id}: is right again.")
                return
            say(f"{click.style(practice_id, bold=True)}: {message}. {hint}".rstrip())
            emit_error(kind, message, hint=hint, as_json=self._as_json, practice=practice_id)

    def end(self) -> None:
        """Raise what ended it, if that was a reader who went away."""
        if self._broken is not None:
            raise self._broken
