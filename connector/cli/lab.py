"""`ormco lab`: Ormco as a lab in the practice's Communicate account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from connector.cli import SuggestingGroup
from connector.cli.consent_modes import can_ask
from connector.cli.options import (
    FiniteRange,
    config_from,
    open_connector,
    practice_argument,
    settings_options,
)
from connector.cli.output import emit, mark, say
from connector.errors import ConnectorError, LabConnectionNotFoundError, StillWaitingError
from connector.hints import ormco_command
from connector.oauth.ormco import LAB_PREFIX, LABS
from connector.words import counted, sentence

if TYPE_CHECKING:
    from connector.communicate.lab_report import LabReport
    from connector.communicate.users import AccountConnection
    from connector.connection import Connection
    from connector.connector import Connector

__all__ = ["connect_lab", "lab"]

_DAY = 86400


wait_option = click.option(
    "--wait",
    type=FiniteRange(0, _DAY),
    default=0,
    metavar="SECONDS",
    help=f"How long to wait for the other side to act, at most a day ({_DAY}).",
)
region_option = click.option(
    "--region",
    type=click.Choice(list(LABS)),
    help="Region of Ormco's lab; by default the account's own region.",
)


@click.group(cls=SuggestingGroup)
def lab() -> None:
    """Make Ormco a lab of the practice, so that its cases can be sent there.

    This is 3Shape's own connection between a practice and a lab. It is needed in addition to the access that
    `ormco connect` gets.
    """


@lab.command(
    epilog="Example: ormco lab request practice-42 --wait 86400",
    short_help="Ask Ormco's lab for a connection.",
)
@practice_argument
@region_option
@wait_option
@settings_options
def request(practice: str, region: str | None, wait: float, as_json: bool, **settings: Any) -> None:
    """Ask Ormco's lab of the account's region for a connection, in the practice's name.

    An existing connection or request is left unchanged. A request from the lab is accepted.
    """
    with open_connector(config_from(settings)) as connector, _commands_in_hints(practice, "status"):
        report = connector.lab.request(practice, region=region, wait=wait, waiting=_say_waiting)
    _show(report, as_json=as_json)


@lab.command(epilog="Example: ormco lab status practice-42 --wait 86400", short_help="Show a lab connection.")
@practice_argument
@region_option
@wait_option
@settings_options
def status(practice: str, region: str | None, wait: float, as_json: bool, **settings: Any) -> None:
    """Show the state of the practice's connection with Ormco's lab: none, requested or active."""
    with open_connector(config_from(settings)) as connector, _commands_in_hints(practice, "status"):
        report = connector.lab.status(practice, region=region, wait=wait, waiting=_say_waiting)
    _show(report, as_json=as_json)


@lab.command(
    epilog="Example: ormco lab approve practice-42   (or: ormco lab approve lab:europe --all)",
    short_help="Accept a practice's request, as the lab.",
)
@practice_argument
@click.option("--all", "everybody", is_flag=True, help="With lab:…, accept all open requests without asking.")
@wait_option
@settings_options
def approve(practice: str, everybody: bool, wait: float, as_json: bool, **settings: Any) -> None:
    """Accept practices' requests to Ormco's lab, so that no practice has to wait a day.

    PRACTICE is one practice, or one of the labs lab:americas, lab:asia-pacific and lab:europe: then its
    open requests are shown one by one. The labs' own accounts are connected like any practice's: ormco
    connect lab:europe.
    """
    if practice.startswith(LAB_PREFIX) and wait:
        raise click.UsageError("--wait is for a practice, not for a lab.")
    if everybody and not practice.startswith(LAB_PREFIX):
        raise click.UsageError("--all is for a lab: ormco lab approve lab:europe --all")
    with open_connector(config_from(settings)) as connector, _commands_in_hints(practice, "approve"):
        if practice.startswith(LAB_PREFIX):
            _approve_waiting(connector, practice, everybody=everybody, as_json=as_json)
        else:
            report = connector.lab.approve(practice, wait=wait, waiting=_say_waiting)
            _show(report, as_json=as_json)


def connect_lab(
    connector: Connector, connection: Connection, *, wanted: bool | None, possible: bool
) -> Connection:
    """Ask for the lab connection of a practice that was just connected; return the updated connection.

    A failure is only reported: the practice stays connected.

    Args:
        connector: the connector.
        connection: the practice's connection.
        wanted: True for --lab, False for --no-lab; None to ask if possible, unless the practice is a lab.
        possible: whether the provider has the API for it.
    """
    practice = connection.practice_id
    if not (possible and not practice.startswith(LAB_PREFIX) if wanted is None else wanted):
        return connection
    try:
        report = connector.lab.request(practice)
    except ConnectorError as exc:
        say(f"{mark('warning')} {practice} is connected, but not to the lab: {exc.message}")
        again = ormco_command("lab request", practice)
        say(f"{click.style('Hint:', bold=True)} {exc.hint or 'Try again.'} ({again})")
        return connection
    say(f"{mark('ok' if report.is_active else 'waiting')} {_text(report)}")
    return connector.status(practice)


@contextmanager
def _commands_in_hints(practice: str, command: str) -> Iterator[None]:
    """Add the next command to the hint of an error, if the lab connection does not exist yet."""
    try:
        yield
    except StillWaitingError as exc:
        exc.hint = f"It can take 24 hours: {ormco_command(f'lab {command}', practice, f'--wait {_DAY}')}"
        raise
    except LabConnectionNotFoundError as exc:
        exc.hint = f"{exc.hint} ({ormco_command('lab request', practice)})"
        raise


def _approve_waiting(connector: Connector, lab_id: str, *, everybody: bool, as_json: bool) -> None:
    waiting = connector.lab.requests(lab_id)
    if waiting and not everybody and not can_ask():
        those = counted(len(waiting), "request", "are open")
        raise click.UsageError(f"{those} at {lab_id}. To accept all of them: --all")
    accepted = []
    for request in waiting:
        if everybody or click.confirm(f"Accept {request}?", err=True):
            connector.lab.accept(lab_id, request)
            say(f"{mark('ok')} {request}")
            accepted.append(request)
    left = [request for request in waiting if request not in accepted]
    payload = {
        "lab": lab_id,
        "accepted": list(map(_request_json, accepted)),
        "waiting": list(map(_request_json, left)),
    }
    text = f"{len(accepted)} of {len(waiting)} accepted." if waiting else f"No request is open at {lab_id}."
    emit(payload, text, as_json=as_json)


def _request_json(request: AccountConnection) -> dict[str, str]:
    return {"id": request.id, "email": request.email, "name": request.name}


def _show(report: LabReport, *, as_json: bool) -> None:
    payload = {
        "practice": report.practice_id,
        "state": report.lab.state,
        "email": report.lab.email,
        "region": report.region,
        "waiting_on": report.waiting_on,
        "step": report.step,
        "found": report.found,
        "others": [{"state": other.state, "email": other.email} for other in report.others],
    }
    emit(payload, _text(report), as_json=as_json)
    if report.warning:
        say(f"{mark('warning')} {sentence(report.warning)}")


def _text(report: LabReport) -> str:
    practice, text = report.practice_id, sentence(report.found)
    if report.waiting_on == "lab":
        text += f" It can take up to 24 hours: {ormco_command('lab status', practice, f'--wait {_DAY}')}"
    elif not report.is_active:
        text += f" Next: {ormco_command('lab request', practice)}"
    return text


def _say_waiting(report: LabReport) -> None:
    command = "approve" if report.waiting_on == "practice" else "status"
    say(
        f"{mark('waiting')} {sentence(report.found)} Ctrl-C is safe; to continue waiting: "
        + ormco_command(f"lab {command}", report.practice_id, f"--wait {_DAY}")
    )
