"""`ormco connect`, `begin` and `complete`: from nothing to a stored connection."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connector.cli.options import (
    config_from,
    mode_options,
    open_connector,
    practice_argument,
    settings_options,
)
from connector.cli.output import emit, say

if TYPE_CHECKING:
    from connector.connection import Connection
    from connector.oauth.authorization_request import AuthorizationRequest

__all__ = ["begin", "complete", "connect"]

Command = TypeVar("Command", bound=Callable[..., Any])


def account_options(command: Command) -> Command:
    """Add the options that say which Communicate account is acceptable."""
    command = click.option(
        "--allow-account-change",
        is_flag=True,
        help="Accept another account than before, or one of another practice.",
    )(command)
    return click.option(
        "--expect-account", "expected_account", metavar="EMAIL", help="Refuse any other Communicate account."
    )(command)


@click.command(
    epilog="Example: ormco connect practice-42 --expect-account office@practice.example",
)
@practice_argument
@click.option(
    "--lab/--no-lab",
    default=None,
    help="Ask Ormco's lab for a connection too (where the provider has the API for it).",
)
@account_options
@mode_options
@settings_options
def connect(
    practice: str,
    lab: bool | None,
    expected_account: str | None,
    allow_account_change: bool,
    mode: str,
    timeout: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Give Ormco access to a practice's Communicate account, in one go.

    A fresh browser opens; sign in there and allow access. A practice that is connected already is repaired by
    the least step that works.
    """
    from connector.cli.checklist import Checklist
    from connector.cli.lab import connect_lab, wants_lab
    from connector.cli.modes import WAITING, capture_for

    config = config_from(settings)
    with open_connector(config) as connector:
        repair = connector.repair(
            practice,
            capture=capture_for(mode, config, timeout=timeout, url_on_stderr=as_json),
            expected_account=expected_account,
            allow_account_change=allow_account_change,
            progress=Checklist(WAITING[mode]),
        )
        if repair.step != "consent":
            say(f"{practice} was connected already: {repair.found}.")
        connection = repair.connection
        if wants_lab(lab, practice, config.load_provider().users_url is not None):
            connection = connect_lab(connector, connection)
    _show(connection, as_json=as_json)


@click.command(
    epilog="Example: ormco begin practice-42   (then: ormco complete practice-42)",
)
@practice_argument
@account_options
@settings_options
def begin(
    practice: str, expected_account: str | None, allow_account_change: bool, as_json: bool, **settings: Any
) -> None:
    """Print a link to send to the practice. It asks for access and is good for ten minutes, once.

    What the browser ends on goes into `ormco complete`.
    """
    from connector.clock import isoformat

    with open_connector(config_from(settings)) as connector:
        request = connector.begin(
            practice, expected_account=expected_account, allow_account_change=allow_account_change
        )
    expires_at = isoformat(request.expires_at)
    emit({"authorization_url": request.url, "expires_at": expires_at}, request.url, as_json=as_json)
    say(f"Good until {expires_at}. Then: ormco complete {practice}")


@click.command(
    epilog="Example: xclip -o | ormco complete practice-42",
)
@practice_argument
@settings_options
def complete(practice: str, as_json: bool, **settings: Any) -> None:
    """Finish what `ormco begin` began: paste the whole address that the browser ended on.

    Reads a line from a terminal, or everything from a pipe; never an argument, which others could see.
    """
    from connector.cli.terminal import read_paste
    from connector.clock import Clock

    with open_connector(config_from(settings)) as connector:
        say(_time_left(connector.open_requests(practice), Clock().utc_now()))
        answer = read_paste("Paste the whole address here, then press Enter: ")
        _show(connector.complete(answer, practice_id=practice), as_json=as_json)


def _time_left(requests: list[AuthorizationRequest], now: datetime) -> str:
    if not requests:
        return "No link is open for this practice; an answer to an older one cannot be used."
    left = max(int((request.expires_at - now).total_seconds()) for request in requests)
    return f"The link is good for another {left} s; the code in the address for about three minutes."


def _show(connection: Connection, *, as_json: bool) -> None:
    from connector.cli import connections

    emit(connections.as_json(connection), connections.summary(connection), as_json=as_json)
