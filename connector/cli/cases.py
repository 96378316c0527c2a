"""`ormco cases`: list, show, watch and download the practices' cases."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from connector.cli import SuggestingGroup
from connector.cli.exit_statuses import exit_status
from connector.cli.options import (
    FiniteRange,
    Past,
    When,
    config_from,
    open_connector,
    practice_argument,
    settings_options,
)
from connector.cli.output import emit, mark, say
from connector.cli.table import table

__all__ = ["cases"]


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that reads cases: --all-cases and --region."""
    command = click.option(
        "--region", metavar="NAME", help="The region of the cases, if it cannot be found out."
    )(command)
    return click.option(
        "--all-cases", is_flag=True, help="Also cases without Ormco's lab among their actors."
    )(command)


patient_option = click.option(
    "--show-patient", is_flag=True, help="Show health data: names, order numbers, comments, attachment names."
)


@click.group(cls=SuggestingGroup)
def cases() -> None:
    """Follow the practices' cases: the status of each, who did what, who has to act next.

    Only cases with Ormco's lab among their actors are read, and nothing that names a patient is shown, unless
    it is asked for.
    """


@cases.command(
    "list",
    epilog="Example: ormco cases list practice-42 --waits-for lab --since 30d",
    short_help="List cases and who has to act next.",
)
@practice_argument
@click.option(
    "--since", type=Past(), metavar="WHEN", help="Only cases from this time on: 2026-01-31, 7d, 12h."
)
@click.option("--until", type=When(), metavar="WHEN", help="Only cases until this time.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="At most this many cases, the newest first."
)
@click.option("--waits-for", type=click.Choice(["clinic", "lab"]), help="Only if this side has to act.")
@reading_options
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
            say(f"{mark('warning')} {one.case.id}: by its label alone: {one.problem.message}.")
    payload = {"practice": practice, "cases": [case_json(one, show_patient=show_patient) for one in found]}
    headings = ("CASE", "STATUS", "NEXT", "AGE", "VERSION", *(("PATIENT", "ORDER") if show_patient else ()))
    rows = [list_row(one, datetime.now(UTC), show_patient=show_patient) for one in found]
    others = "" if reading["all_cases"] else " with Ormco's lab; for the practice's others: --all-cases"
    emit(payload, table(headings, rows) if rows else f"No cases{others or '.'}", as_json=as_json)


@cases.command(
    epilog="Example: ormco cases show practice-42 7f67604b-d51d-5eab-aeb7-f8797375b2dd",
    short_help="Show a case and its history.",
)
@practice_argument
@click.argument("case")
@reading_options
@patient_option
@settings_options
def show(
    practice: str,
    case: str,
    all_cases: bool,
    region: str | None,
    show_patient: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Show a case's status, who did what when, and what each side can do next."""
    from connector.cli.case_events import event_json, event_rows
    from connector.cli.case_format import case_json, heading, what_next

    with open_connector(config_from(settings)) as connector:
        found, events = connector.cases.show(practice, case, all_cases=all_cases, region=region)
    history = [event_json(event) for event in events]
    text = heading(found, datetime.now(UTC), show_patient=show_patient)
    rows = table(("VERSION", "WHEN", "WHO", "STATUS", "WHAT"), event_rows(events))
    payload = case_json(found, show_patient=show_patient) | {"history": history}
    emit(payload, f"{text}\n\n{rows}\n\n{what_next(found.next)}", as_json=as_json)


@cases.command(
    epilog="Example: ormco cases watch --all --json | your-program",
    short_help="Print what happens to cases, as it happens.",
)
@click.argument("practices", nargs=-1, metavar="[PRACTICE]...")
@click.option("--all", "everyone", is_flag=True, help="Every connected practice, new ones as they come.")
@click.option("--since", type=Past(), metavar="WHEN", help="Start time of a new watch (now).")
@click.option("--name", default="default", metavar="NAME", help="Each name is a watch that gets every event.")
@click.option("--reset", is_flag=True, help="Forget how far this watch has come, and begin anew.")
@click.option(
    "--interval", type=FiniteRange(1, 86400), default=30, metavar="SECONDS", help="Between looks (30)."
)
@click.option(
    "--overlap",
    type=FiniteRange(0),
    default=86400,
    metavar="SECONDS",
    help="Looked at again each time (86400).",
)
@click.option("--workers", type=click.IntRange(1, 64), default=8, metavar="N", help="Looks at a time (8).")
@click.option("--once", is_flag=True, help="Look once at each practice, and end.")
@reading_options
@settings_options
def watch(practices: tuple[str, ...], everyone: bool, reset: bool, as_json: bool, **options: Any) -> None:
    """Print an event for each thing that clinic or lab does to a case, one line each.

    A watch that was stopped or killed goes on where it was, on any machine that uses the same store; several
    processes with the same name share the practices. An event may come a second time, with the same id.
    """
    from connector.cli.case_events import EventPrinter
    from connector.communicate.watch_plan import WatchPlan

    if everyone == bool(practices):
        raise click.UsageError("Name the practices, or give --all.")
    names = ("name", "since", "interval", "overlap", "workers", "once", "all_cases", "region")
    plan = WatchPlan(**{name: options.pop(name) for name in names})
    named = None if everyone else practices
    printer = EventPrinter(as_json=as_json)
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
            printer.end()
    # Of practices that were named, each one counts; of all, that any could be followed.
    failed = list(report.problems.values()) if named or not report.looks else []
    click.get_current_context().exit(exit_status(failed[0]) if failed else 0)


@cases.command(
    epilog="Example: ormco cases download practice-42 7f67604b-d51d-5eab-aeb7-f8797375b2dd --to scans",
    short_help="Download a case's files.",
)
@practice_argument
@click.argument("case")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where to put them (a folder named by the case).",
)
@click.option(
    "--only",
    "kinds",
    type=click.Choice(["scan", "design", "attachment"]),
    multiple=True,
    help="Only files of this kind; repeatable.",
)
@click.option("--case-version", type=click.IntRange(0), metavar="N", help="Of this version (the newest).")
@reading_options
@patient_option
@settings_options
def download(
    practice: str,
    case: str,
    folder: Path | None,
    kinds: tuple[str, ...],
    case_version: int | None,
    show_patient: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Download scans, designs and attachments; interrupted ones are resumed, existing files are kept.

    STL files are fetched as the lab's own account, the connection lab:REGION, if there is one.
    """
    from connector.cli.case_format import ProgressLine, download_json, download_line
    from connector.words import counted

    target = folder or Path(re.sub(r"[^A-Za-z0-9-]", "_", case))
    reading = {name: options.pop(name) for name in ("all_cases", "region")}
    progress, done = ProgressLine(), []
    if kinds:
        reading["kinds"] = kinds
    with open_connector(config_from(options)) as connector:
        for one in connector.cases.download(
            practice, case, target, version=case_version, progress=progress, **reading
        ):
            progress.clear()
            say(download_line(one, show_patient=show_patient))
            done.append(one)
    files = [download_json(one, show_patient=show_patient) for one in done]
    had = sum(one.error is None for one in done)
    payload = {"practice": practice, "case": case, "folder": str(target), "files": files}
    emit(payload, f"{had} of {counted(len(done), 'file')} saved in {target}", as_json=as_json)
    click.get_current_context().exit(next((exit_status(one.error) for one in done if one.error), 0))
