"""`ormco status`: show the connections as JSON or text, with the command to run next, also after an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from connector import errors
from connector.cli.options import config_from, open_connector, optional_practice, settings_options
from connector.cli.output import age, emit, emit_list, shown_time
from connector.cli.table import print_table
from connector.clock import isoformat
from connector.connection import Connection, ConnectionState
from connector.errors import ConnectorError
from connector.hints import ormco_command

if TYPE_CHECKING:
    from connector.connector import Connector
    from connector.store.overview import StoreSummary

__all__ = ["add_next_step", "connection_json", "connection_text", "status"]

_HEADINGS = ("PRACTICE", "STATE", "FOR", "ACCOUNT", "REGION", "TOKEN UNTIL", "LAB", "WHY", "NEXT")


@click.command(epilog="Example: ormco status --needs-attention")
@optional_practice
@click.option("--needs-attention", is_flag=True, help="Only connections that need attention.")
@click.option("--summary", is_flag=True, help="Only the number of connections in each state, for a monitor.")
@settings_options
def status(
    practice: str | None, needs_attention: bool, summary: bool, as_json: bool, **settings: Any
) -> None:
    """Show each connection: its state with start and reason, its account, and the command to run next.

    It prints stored data, and contacts no server.
    """
    with open_connector(config_from(settings), must_exist=practice is None) as connector:
        if summary:
            _print_summary(connector.summary(), as_json=as_json)
            return
        if practice is not None:
            found: Iterable[Connection] = [connector.status(practice)]
        else:
            found = connector.connections(needs_attention=needs_attention)
        if as_json:
            emit_list("connections", map(connection_json, found))
            return
        from connector.clock import Clock

        nothing = "No connection needs attention." if needs_attention else "No connections."
        print_table(_HEADINGS, _rows(found, Clock().utc_now()), nothing=nothing)


def _print_summary(summary: StoreSummary, *, as_json: bool) -> None:
    from connector.words import counted

    payload = {
        "connections": sum(summary.states.values()),
        "states": summary.states,
        "needs_attention": summary.needs_attention,
        "unconfirmed": summary.unconfirmed,
        "overdue": summary.overdue,
        "lag": round(summary.lag, 1),
    }
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in summary.states.items())
    text = f"{counted(sum(summary.states.values()), 'connection')}: {states or 'none yet'}.\n"
    text += f"{counted(summary.needs_attention, '', 'need attention')}, "
    text += f"{counted(summary.unconfirmed, '', 'wait for confirmation')}.\n"
    text += f"{counted(summary.overdue, 'refresh', 'are overdue')}"
    text += f", the oldest for {summary.lag:.0f} s." if summary.overdue else "."
    emit(payload, text, as_json=as_json)


def _rows(found: Iterable[Connection], now: datetime) -> Iterator[tuple[str, ...]]:
    from connector.words import why

    for connection in found:
        yield (
            connection.practice_id,
            connection.state.value,
            age(connection.since, now),
            str(connection.account or "-"),
            (connection.account and connection.account.region) or "-",
            shown_time(connection.expires_at),
            (connection.lab and connection.lab.state) or "-",
            why(connection) or "-",
            _next_command(connection) or "-",
        )


def connection_json(connection: Connection) -> dict[str, Any]:
    """Return the JSON object of a connection."""
    account, lab = connection.account, connection.lab
    return {
        "practice": connection.practice_id,
        "state": connection.state.value,
        "since": isoformat(connection.since),
        "reason": connection.reason,
        "provider": connection.provider,
        "account": None
        if account is None
        else {"id": account.id, "email": account.email, "name": account.name, "region": account.region},
        "scope": connection.scope,
        "renewable": connection.renewable,
        "expires_at": isoformat(connection.expires_at),
        "connected_at": isoformat(connection.connected_at),
        "refreshed_at": isoformat(connection.refreshed_at),
        "token_generation": connection.token_generation,
        "lab": None if lab is None else {"state": lab.state, "email": lab.email},
        "last_error": connection.last_error,
        "next": _next_command(connection) or None,
    }


def _next_command(connection: Connection) -> str:
    """Return the command to run next for a connection, or "" if there is nothing to do."""
    if connection.reason == "damaged":
        return ormco_command("forget", connection.practice_id)
    if connection.reason in ("account_unread", "account_unconfirmed"):
        return ormco_command("repair", connection.practice_id)
    command = {
        ConnectionState.DEGRADED: "repair",
        ConnectionState.NEEDS_REPAIR: "repair",
        ConnectionState.REVOKING: "revoke",
        ConnectionState.REVOKED: "connect",
    }.get(connection.state)
    return ormco_command(command, connection.practice_id) if command else ""


def connection_text(connection: Connection) -> str:
    """Return a description of a connection in one or two sentences."""
    account = f" to {connection.account}" if connection.account else ""
    region = f" ({connection.account.region})" if connection.account and connection.account.region else ""
    text = f"{connection.practice_id} is {connection.state.value.replace('_', ' ')}{account}{region}."
    if not connection.renewable and connection.state is ConnectionState.CONNECTED:
        ends = f"at {shown_time(connection.expires_at)}" if connection.expires_at else "soon"
        text += (
            f"\nThe provider gave no refresh token: access ends {ends}, and then consent is needed again. "
            "Ask for the scope offline_access (ORMCO_SCOPE) if the provider has it."
        )
    return text


_MOST_COMPARED = 5_000  # how many connections' names are compared with a misspelt one
_COMMAND = re.compile(r"\bormco [a-z]|(?<![\w-])--[a-z]|\bpip install")
_WITH_BROWSER = (errors.BrowserUnavailableError, errors.PageChangedError, errors.ProviderErrorPageError)
_USED_ALREADY = (errors.StateMismatchError, errors.CodeSpentError)
_KEYS = "`ormco keys new` prints a key, `ormco keys rotate` changes it. To see which one is used"
# Error → the text before the command, the command ("" is the current one), and its options. The first class
# that matches is used.
_STEPS: dict[type[ConnectorError], tuple[str, str, str]] = {
    errors.ConnectionNotFoundError: ("Connect it", "connect", ""),
    errors.LabConnectionNotFoundError: ("Ask for it", "lab request", ""),
    errors.CaseNotFoundError: ("To see its cases", "cases list", ""),
    errors.StillWaitingError: ("To continue waiting", "", ""),
    errors.AccountMismatchError: ("If the change is intended", "", "--allow-account-change"),
    errors.AccountUnconfirmedError: ("To answer", "repair", ""),
    errors.GrantStillHonouredError: ("Once Ormco is removed", "revoke", "--confirm-done"),
    errors.NeedsRepairError: ("Repair it", "repair", ""),
    errors.RevokedError: ("To see its remaining data", "status", ""),
    errors.ConsentRequiredError: ("To send a link", "begin", ""),
    errors.GrantRefusedError: ("Connect it", "connect", ""),
    errors.AuthorizationResponseError: ("To start a new attempt", "", ""),
    errors.ConsentDeniedError: ("To start a new attempt", "", ""),
    errors.SealingKeyError: (_KEYS, "doctor", ""),
    errors.StoreError: ("To diagnose it", "doctor", ""),
    errors.ProviderUnavailableError: ("To find out why", "doctor", ""),
    errors.ConfigurationError: ("To check the settings", "doctor", ""),
}
_RESUMED = {"reconnect", "revoke"}
_FOR_ALL = {"doctor", ""}


def add_next_step(connector: Connector, error: ConnectorError) -> None:
    """Add the next command to the hint of an error, and practices with a similar name."""
    context = click.get_current_context()
    first_of_all = next(iter(context.params.get("practices") or ()), "")  # of a watch
    practice = str(context.params.get("practice") or error.practice_id or first_of_all)
    parts = [error.hint]
    if isinstance(error, errors.ConnectionNotFoundError):
        parts = [_suggestion(connector, practice)]  # the command says the same as the hint
    if _is_repeated(connector, error, context, practice):
        parts = [f"{practice} is connected: this address was used already, and nothing more has to be done"]
    elif not _COMMAND.search(" ".join(parts)):
        parts.append(_command_after(connector, error, context, practice))
    # The command comes last, without a full stop that would be pasted with it.
    *sentences, last = [part for part in parts if part] or [""]
    error.hint = " ".join([*(part if part.endswith((".", "?")) else f"{part}." for part in sentences), last])


def _is_repeated(connector: Connector, error: ConnectorError, context: click.Context, practice: str) -> bool:
    """Return whether a response was handed in again after it had connected the practice."""
    if context.info_name != "complete" or not isinstance(error, _USED_ALREADY):
        return False
    try:
        state = connector.status(practice).state
    except ConnectorError:
        return False
    return state is ConnectionState.CONNECTED and not connector.open_requests(practice)


def _suggestion(connector: Connector, practice: str) -> str:
    from difflib import get_close_matches

    known = [connection.practice_id for connection in islice(connector.connections(), _MOST_COMPARED)]
    similar = [one for one in get_close_matches(practice, known) if one != practice]
    return f"Did you mean {' or '.join(similar)}?" if similar else ""


def _command_after(connector: Connector, error: ConnectorError, context: click.Context, practice: str) -> str:
    if isinstance(error, (errors.NeedsRepairError, errors.RevokedError)):
        with suppress(ConnectorError):
            if command := _next_command(connector.status(practice)):
                return f"Next: {command}"
    if isinstance(error, _WITH_BROWSER) and "mode" in context.params:
        return "Or use no browser: --paste"
    present = context.command_path.partition(" ")[2]
    words, command, options = _step_after(error, present)
    again = command or ("begin" if present == "complete" else present)
    if not words or (again == present == command and not options) or not (practice or command in _FOR_ALL):
        return ""
    return f"{words}: {ormco_command(again, practice, options)}"


def _step_after(error: ConnectorError, present: str) -> tuple[str, str, str]:
    if error.action is errors.Action.RECONNECT:
        return ("To remove it and connect from the start", "reconnect", "")
    if isinstance(error, errors.ProviderUnavailableError) and present in _RESUMED:
        return ("Then continue", "", "")
    return next((step for kind, step in _STEPS.items() if isinstance(error, kind)), ("", "", ""))
