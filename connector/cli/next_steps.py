"""The command that helps after an error: the library's hints name none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import click

from connector import errors
from connector.errors import ConnectorError
from connector.hints import ormco_command

if TYPE_CHECKING:
    from connector.connector import Connector

__all__ = ["add_next_step", "practice_ids"]

_MOST_COMPARED = 5_000  # connections whose names are compared with a misspelt one
_USED_ALREADY = (errors.StateMismatchError, errors.CodeSpentError)
# Error → what to say before the command, the command ("" is the present one), and its options.
_STEPS: dict[type[ConnectorError], tuple[str, str, str]] = {
    errors.ConnectionNotFoundError: ("Connect it", "connect", ""),
    errors.LabConnectionNotFoundError: ("Ask for it", "lab request", ""),
    errors.AccountMismatchError: ("If the change is meant", "", "--allow-account-change"),
    errors.GrantStillHonouredError: ("Once Ormco is removed", "revoke", "--confirm-done"),
    errors.AuthorizationResponseError: ("Begin again", "", ""),
}


def add_next_step(connector: Connector, error: ConnectorError) -> None:
    """Complete the hint of an error with the command that comes next, and with practices spelt alike."""
    context = click.get_current_context()
    practice = str(context.params.get("practice") or "")
    if not practice:
        return
    parts = [error.hint]
    if isinstance(error, errors.ConnectionNotFoundError):
        parts = [_suggestion(connector, practice)]  # the command says the same as the hint
    if _is_repeated(connector, error, context, practice):
        parts = [f"{practice} is connected: this address was used already, and nothing more has to be done"]
    elif "ormco " not in " ".join(parts):
        parts.append(_command_after(connector, error, context, practice))
    # The command comes last, without a dot that would be pasted with it.
    *sentences, last = [part for part in parts if part] or [""]
    error.hint = " ".join([*(part if part.endswith((".", "?")) else f"{part}." for part in sentences), last])


def practice_ids(connector: Connector) -> Iterator[str]:
    """Yield the id of every practice that is stored."""
    return (connection.practice_id for connection in connector.connections())


def _is_repeated(connector: Connector, error: ConnectorError, context: click.Context, practice: str) -> bool:
    """Return whether an answer was handed in a second time, after it has connected the practice."""
    from connector.connection import ConnectionState

    if context.info_name != "complete" or not isinstance(error, _USED_ALREADY):
        return False
    try:
        state = connector.status(practice).state
    except ConnectorError:
        return False
    return state is ConnectionState.CONNECTED and not connector.open_requests(practice)


def _suggestion(connector: Connector, practice: str) -> str:
    from difflib import get_close_matches

    known = islice(practice_ids(connector), _MOST_COMPARED)
    similar = [one for one in get_close_matches(practice, known) if one != practice]
    return f"Did you mean {' or '.join(similar)}?" if similar else ""


def _command_after(connector: Connector, error: ConnectorError, context: click.Context, practice: str) -> str:
    if isinstance(error, (errors.NeedsRepairError, errors.RevokedError)):
        from connector.cli.connection_format import next_command

        return next_command(connector.status(practice))
    if isinstance(error, errors.BrowserUnavailableError) and "mode" in context.params:
        return "Or go without a browser: --paste"
    for kind, (words, command, options) in _STEPS.items():
        if isinstance(error, kind):
            present = context.command_path.partition(" ")[2]
            again = "begin" if present == "complete" else present
            return f"{words}: {ormco_command(command or again, practice, options)}"
    return ""
