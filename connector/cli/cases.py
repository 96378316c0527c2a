"""`ormco cases`: list, show, watch and download the practices' cases."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import click

from connector.cli import SuggestingGroup
from connector.cli.exit_statuses import exit_status
from connector.cli.options import (
    PAST,
    FiniteRange,
    When,
    config_from,
    open_connector,
    practice_argument,
    settings_options,
)
from connector.cli.output import emit, error_json, mark, say
from connector.cli.table import table
from connector.communicate.models import KINDS

if TYPE_CHECKING:
    from connector.communicate.history import CaseEvent

__all__ = ["cases"]


class _EventPrinter:
    """Prints events on stdout and problems on stderr, whole lines from any thread."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._guard = threading.Lock()
        self.stop = threading.Event()
        self.broken: OSError | None = None  # the error if stdout has no reader any more

    def event(self, event: CaseEvent) -> None:
        from connector.cli.case_format import event_json, event_line

        try:
            with self._guard:
                emit(event_json(event), event_line(event), as_json=self._as_json)
        except OSError as exc:
            self.broken = exc
            self.stop.set()
            raise

    def problem(self, practice_id: str, error: Exception | None) -> None:
        if self.stop.is_set():
            return
        with self._guard:
            if error is None:
                say(f"{practice_id}: no problem any more.")
                return
            words = error_json(error)
            say(f"{click.style(practice_id, bold=True)}: {words['message']}. {words['hint']}".rstrip())
            if self._as_json:
                emit({"error": {**words, "practice": practice_id}}, "", as_json=True)

    def lag(self, seconds: float) -> None:
        say(f"Each practice is polled only every {seconds:.0f} s. Use more --workers, or more processes.")


all_cases_option = click.option(
    "--all-cases", is_flag=True, help="Also cases without Ormco's lab among their actors."
)
region_option = click.option(
    "--region", metavar="NAME", help="The region of the cases, if it cannot be determined."
)
patient_option = click.option(
    "--show-patient", is_flag=True, help="Show health data: names, order numbers, comments, attachment names."
)


@click.group(cls=SuggestingGroup)
def cases() -> None:
    """Follow the practices' cases: status, history, and the side that has to act next.

    Only cases with Ormco's lab among their actors are read, and nothing that names a patient is shown, unless
    an option requests it.
    """


@cases.command(
    "list",
    epilog="Example: ormco cases list practice-42 --waits-for lab --since 30d",
    short_help="List cases and the side that has to act next.",
)
@practice_argument
@click.option("--since", type=PAST, metavar="WHEN", help="Only cases from this time on: 2026-01-31, 7d, 12h.")
@click.option("--until", type=When(), metavar="WHEN", help="Only cases until this time.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="At most this many cases, the newest first."
)
@click.option("--waits-for", type=click.Choice(["clinic", "lab"]), help="Only if this side has to act.")
@all_cases_option
@region_option
@patient_option
@settings_options
def list_cases(
    practice: str, limit: int | None, waits_for: str | None, show_patient: bool, as_json: bool, **options: Any
) -> None:
    """List a practice's cases, the newest first: status, next actor, age."""
    from connector.cli.case_format import case_json, list_row

    reading = {name: options.pop(name) for name in ("since", "until", "all_cases", "region")}
    with open_connector(config_from(options)) as connector:
        listed = connector.cases.list(practice, limit=limit if waits_for is None else None, **reading)
    found = [one for one in listed if waits_for is None or waits_for in one.next.waits_for][:limit]
    for one in found:
        if one.problem is not None:
            say(f"{mark('warning')} {one.case.id}: status from its label alone: {one.problem.message}.")
    payload = {"practice": practice, "cases": [case_json(one, show_patient=show_patient) for one in found]}
    headings = ("CASE", "STATUS", "NEXT", "AGE", "VERSION", *(("PATIENT", "ORDER") if show_patient else ()))
    rows = [list_row(one, show_patient=show_patient) for one in found]
    others = "" if reading["all_cases"] else " with Ormco's lab; to list the other cases too: --all-cases"
    emit(payload, table(headings, rows) if rows else f"No cases{others or '.'}", as_json=as_json)


@cases.command(
    epilog="Example: ormco cases show practice-42 7f67604b-d51d-5eab-aeb7-f8797375b2dd",
    short_help="Show a case and its history.",
)
@practice_argument
@click.argument("case")
@all_cases_option
@region_option
@patient_option
@settings_options
def show(practice: str, case: str, show_patient: bool, as_json: bool, **options: Any) -> None:
    """Show a case's status, its history, and the possible next steps of each side."""
    from connector.cli.case_format import case_json, case_text, event_json

    reading = {name: options.pop(name) for name in ("all_cases", "region")}
    with open_connector(config_from(options)) as connector:
        found, events = connector.cases.show(practice, case, **reading)
    payload = case_json(found, show_patient=show_patient)
    payload["history"] = [event_json(event) for event in events]
    emit(payload, case_text(found, events, show_patient=show_patient), as_json=as_json)


@cases.command(
    epilog="Example: ormco cases watch --all --json | your-program",
    short_help="Print events of cases as they happen.",
)
@click.argument("practices", nargs=-1, metavar="[PRACTICE]...")
@click.option("--all", "everyone", is_flag=True, help="Every connected practice, including new ones.")
@click.option("--since", type=PAST, metavar="WHEN", help="Start time of a new watch (now).")
@click.option("--name", default="default", metavar="NAME", help="Name of the watch; each gets every event.")
@click.option("--reset", is_flag=True, help="Forget the position of this watch, and begin again.")
@click.option(
    "--interval", type=FiniteRange(1, 86400), default=30, metavar="SECONDS", help="Time between polls (30)."
)
@click.option(
    "--overlap", type=FiniteRange(0), default=86400, metavar="SECONDS", help="Time to read again (86400)."
)
@click.option("--workers", type=click.IntRange(1, 64), default=8, metavar="N", help="Concurrent polls (8).")
@click.option("--once", is_flag=True, help="Poll each practice once, and end.")
@all_cases_option
@region_option
@settings_options
def watch(practices: tuple[str, ...], everyone: bool, reset: bool, as_json: bool, **options: Any) -> None:
    """Print one line for each event: a step that the clinic or the lab took with a case.

    A watch that was stopped or killed continues where it was, on any machine that uses the same store;
    several processes with the same name share the practices. An event may be repeated, with the same id.
    """
    from connector.communicate.watch_plan import WatchPlan

    if everyone == bool(practices):
        raise click.UsageError("Name the practices, or give --all.")
    names = ("name", "since", "interval", "overlap", "workers", "once", "all_cases", "region")
    plan = WatchPlan(**{name: options.pop(name) for name in names})
    named = None if everyone else practices
    printer = _EventPrinter(as_json=as_json)
    with open_connector(config_from(options)) as connector:
        if reset:
            connector.cases.reset_watch(plan.name, practice_ids=named)
        try:
            report = connector.cases.watch(
                named,
                printer.event,
                plan=plan,
                stop=printer.stop,
                on_problem=printer.problem,
                on_lag=printer.lag,
            )
        finally:
            if printer.broken is not None:
                raise printer.broken from None
    # With named practices, one failure is enough; with --all, the command fails only if no poll succeeded.
    failed = list(report.problems.values()) if named or not report.looks else []
    click.get_current_context().exit(exit_status(failed[0]) if failed else 0)


@cases.command(
    epilog="Example: ormco cases download practice-42 7f67604b-d51d-5eab-aeb7-f8797375b2dd --to scans",
    short_help="Download a case's files.",
)
@practice_argument
@click.argument("case")
@click.option(
    "--to", type=click.Path(file_okay=False), metavar="FOLDER", help="Target (a folder named after the case)."
)
@click.option("--only", type=click.Choice(KINDS), multiple=True, help="Only files of this kind; repeatable.")
@click.option("--case-version", type=click.IntRange(0), metavar="N", help="Version of the case (the newest).")
@all_cases_option
@region_option
@patient_option
@settings_options
def download(
    practice: str, case: str, to: str | None, show_patient: bool, as_json: bool, **options: Any
) -> None:
    """Download scans, designs and attachments; interrupted ones are resumed, existing files are kept.

    STL files are fetched with the lab's own account (the connection lab:REGION), if it is connected.
    """
    from connector.cli.case_format import ProgressLine, download_json, download_line
    from connector.words import counted

    folder = to or re.sub(r"[^A-Za-z0-9-]", "_", case)
    reading = {name: options.pop(name) for name in ("all_cases", "region")}
    reading |= {"version": options.pop("case_version"), "kinds": options.pop("only") or KINDS}
    progress, done = ProgressLine(), []
    with open_connector(config_from(options)) as connector:
        for one in connector.cases.download(practice, case, folder, progress=progress, **reading):
            progress.clear()
            say(download_line(one, show_patient=show_patient))
            done.append(one)
    files = [download_json(one, show_patient=show_patient) for one in done]
    had = sum(one.error is None for one in done)
    payload = {"practice": practice, "case": case, "folder": folder, "files": files}
    emit(payload, f"{had} of {counted(len(done), 'file')} saved in {folder}", as_json=as_json)
    click.get_current_context().exit(next((exit_status(one.error) for one in done if one.error), 0))
