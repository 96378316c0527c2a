"""`ormco cases`: what clinic and lab do with the practices' cases."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from connector.cli.case_options import moment_option, patient_option, reading_options
from connector.cli.exit_statuses import exit_status
from connector.cli.groups import SuggestingGroup
from connector.cli.options import config_from, open_connector, practice_argument, settings_options
from connector.cli.output import emit, say
from connector.cli.table import table

__all__ = ["cases"]


@click.group(cls=SuggestingGroup)
def cases() -> None:
    """Follow the practices' cases: where each stands, who did what, who has to act next.

    Only cases with Ormco's lab among their actors are read, and nothing that names a patient is shown, unless
    it is asked for.
    """


@cases.command(
    "list",
    epilog="Example: ormco cases list practice-42 --waits-for lab --since 30d",
    short_help="List cases and who has to act next.",
)
@practice_argument
@moment_option("--since", "Only from then on: 2026-01-31, 7d, 12h.")
@moment_option("--until", "Only up to then.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many, the newest first.")
@click.option("--waits-for", type=click.Choice(["clinic", "lab"]), help="Only where this side has to act.")
@reading_options
@patient_option
@settings_options
def list_cases(
    practice: str,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    waits_for: str | None,
    all_cases: bool,
    region: str | None,
    show_patient: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """List a practice's cases, the newest first: status, next actor, age."""
    from connector.cli.case_words import case_json, list_row

    with open_connector(config_from(settings)) as connector:
        most = limit if waits_for is None else None
        listed = connector.cases.list(
            practice, since=since, until=until, limit=most, all_cases=all_cases, region=region
        )
    found = [one for one in listed if waits_for is None or waits_for in one.next.waits_for][:limit]
    payload = {"practice": practice, "cases": [case_json(one, show_patient=show_patient) for one in found]}
    headings = ("CASE", "STATUS", "NEXT", "AGE", "VERSION", *(("PATIENT", "ORDER") if show_patient else ()))
    rows = [list_row(one, datetime.now(UTC), show_patient=show_patient) for one in found]
    nothing = (
        "No cases." if all_cases else "No cases with Ormco's lab; for the practice's others: --all-cases"
    )
    emit(payload, table(headings, rows) if rows else nothing, as_json=as_json)


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
    """Show where a case stands, who did what when, and what each side can do next."""
    from connector.cli.case_words import case_json, event_json, heading, timeline, what_next

    with open_connector(config_from(settings)) as connector:
        found, events = connector.cases.show(practice, case, all_cases=all_cases, region=region)
    payload = case_json(found, show_patient=show_patient) | {
        "history": [event_json(event) for event in events]
    }
    text = heading(found, datetime.now(UTC), show_patient=show_patient)
    rows = table(("VERSION", "WHEN", "WHO", "STATUS", "WHAT"), timeline(list(events)))
    emit(payload, f"{text}\n\n{rows}\n\n{what_next(found.next)}", as_json=as_json)


@cases.command(
    epilog="Example: ormco cases watch --all --json | your-program",
    short_help="Print what happens to cases, as it happens.",
)
@click.argument("practices", nargs=-1, metavar="[PRACTICE]...")
@click.option(
    "--all", "everyone", is_flag=True, help="Follow every connected practice, new ones as they come."
)
@moment_option("--since", "Where a new watch begins (now).")
@click.option(
    "--name", default="default", metavar="NAME", help="Each watch of its own name gets every event (default)."
)
@click.option(
    "--interval",
    type=click.FloatRange(1, 86400),
    default=30,
    metavar="SECONDS",
    help="Between two looks at a practice (30).",
)
@click.option(
    "--workers", type=click.IntRange(1, 32), default=8, metavar="N", help="Practices looked at at a time (8)."
)
@click.option("--once", is_flag=True, help="Look once at each practice, and end.")
@reading_options
@settings_options
def watch(practices: tuple[str, ...], everyone: bool, as_json: bool, **options: Any) -> None:
    """Print an event for each thing that clinic or lab does to a case, one line each.

    Goes on where it was when it was stopped or killed, on whatever machine uses the same store. An event may
    come a second time then: its id tells.
    """
    from connector.cli.case_watch import Printer, plan_of

    if everyone == bool(practices):
        raise click.UsageError("Name the practices, or give --all.")
    plan = plan_of(options)
    printer = Printer(as_json=as_json)
    with open_connector(config_from(options)) as connector:
        connector.cases.watch(
            None if everyone else practices,
            printer.event,
            plan=plan,
            stop=printer.stop,
            on_problem=printer.problem,
        )
    printer.end()


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
    all_cases: bool,
    region: str | None,
    show_patient: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Download scans, designs and attachments; what was cut is gone on with, what is there is kept.

    STL files are fetched as the lab's own account, the connection lab:REGION, where there is one.
    """
    from connector.cli.case_downloads import ProgressLine, download_line
    from connector.cli.case_words import download_json

    target = folder or Path(re.sub(r"[^A-Za-z0-9-]", "_", case))
    progress = ProgressLine()
    with open_connector(config_from(settings)) as connector:
        running = connector.cases.download(
            practice,
            case,
            target,
            kinds=kinds or ("scan", "design", "attachment"),
            version=case_version,
            all_cases=all_cases,
            region=region,
            progress=progress,
        )
        done = []
        for one in running:
            progress.clear()
            say(download_line(one, show_patient=show_patient))
            done.append(one)
    payload = {
        "practice": practice,
        "case": case,
        "folder": str(target),
        "files": [download_json(one, show_patient=show_patient) for one in done],
    }
    had = sum(one.error is None for one in done)
    emit(payload, f"{had} of {len(done)} files are in {target}", as_json=as_json)
    click.get_current_context().exit(next((exit_status(one.error) for one in done if one.error), 0))
