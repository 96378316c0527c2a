"""`ormco connect`, `begin`, `complete`, `repair` and `reconnect`: connect a practice, or repair it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from connector.cli.consent_modes import ConsentCapture, mode_options, print_step
from connector.cli.options import config_from, open_connector, practice_argument, settings_options
from connector.cli.output import emit, say, shown_time
from connector.cli.revoke import agree, ask, name_consequences, removal_for, yes_option
from connector.cli.status import connection_json, connection_text
from connector.errors import AccountMismatchError, AccountUnconfirmedError, ConsentDeniedError
from connector.hints import ormco_command

if TYPE_CHECKING:
    from connector.config import Config
    from connector.connection import Account
    from connector.connector import Connector
    from connector.oauth.authorization_request import AuthorizationRequest

__all__ = ["begin", "complete", "connect", "reconnect", "repair"]

# Step of a repair → its message.
_DONE = {
    "none": "Nothing was changed.",
    "refresh": "It was refreshed; no person was needed.",
    "account": "The account was read; no person was needed.",
    "consent": "Access was given again.",
    "reconnect": "Ormco was removed from the account, and connected again.",
}

account_change_option = click.option(
    "--allow-account-change",
    is_flag=True,
    help="Accept an account other than before, or one of another practice.",
)
expected_account_option = click.option(
    "--expect-account", "expected_account", metavar="EMAIL", help="Refuse any other Communicate account."
)


@click.command(epilog="Example: ormco connect practice-42 --expect-account office@practice.example")
@practice_argument
@click.option(
    "--lab/--no-lab",
    default=None,
    help="Ask Ormco's lab for a connection too (if the provider has the API for it).",
)
@expected_account_option
@account_change_option
@mode_options
@settings_options
def connect(practice: str, lab: bool | None, **options: Any) -> None:
    """Give Ormco access to a practice's Communicate account, in one command.

    A fresh browser opens; sign in there and allow access. A practice that is connected already is repaired by
    the smallest step that works.
    """
    config = config_from(options)
    with open_connector(config) as connector:
        with _confirming(connector, practice, options["expected_account"]):
            repair = connector.repair(
                practice,
                capture=ConsentCapture(connector, config, options),
                expected_account=options["expected_account"],
                allow_account_change=options["allow_account_change"],
                progress=partial(print_step, options["mode"]),
            )
            if repair.step != "consent":
                say(f"{practice} was connected already: {repair.found}.")
        _show_connected(connector, config, practice, lab=lab, as_json=options["as_json"])


@click.command(epilog="Example: ormco begin practice-42   (then: ormco complete practice-42)")
@practice_argument
@expected_account_option
@account_change_option
@settings_options
def begin(practice: str, as_json: bool, **options: Any) -> None:
    """Print a link to send to the practice. It asks for access, is valid for ten minutes, and works once.

    Paste the address that the browser ends on into `ormco complete`.
    """
    from connector.clock import isoformat

    with open_connector(config_from(options)) as connector:
        request = connector.begin(
            practice,
            expected_account=options["expected_account"],
            allow_account_change=options["allow_account_change"],
        )
    payload = {"authorization_url": request.url, "expires_at": isoformat(request.expires_at)}
    emit(payload, request.url, as_json=as_json)
    until = shown_time(request.expires_at, err=True)
    say(f"Valid until {until}. Then: {ormco_command('complete', practice)}")


@click.command(epilog="Example: xclip -o | ormco complete practice-42")
@practice_argument
@expected_account_option
@settings_options
def complete(practice: str, expected_account: str | None, as_json: bool, **settings: Any) -> None:
    """Finish a connection that `ormco begin` started: paste the whole address that the browser ended on.

    Reads a line from a terminal, or everything from a pipe; never an argument, which others could see. Anyone
    could have sent a response without a state, so you are asked to confirm its account.
    """
    from connector.cli.terminal import read_paste
    from connector.clock import Clock

    with open_connector(config_from(settings)) as connector:
        say(_time_left(connector.open_requests(practice), Clock().utc_now()))
        pasted = read_paste("Paste the whole address here, then press Enter: ")
        with _confirming(connector, practice, expected_account):
            connector.complete(pasted, practice_id=practice)
        connection = connector.status(practice)
    emit(connection_json(connection), connection_text(connection), as_json=as_json)


@click.command(epilog="Example: ormco repair practice-42")
@practice_argument
@account_change_option
@mode_options
@settings_options
def repair(practice: str, allow_account_change: bool, as_json: bool, **options: Any) -> None:
    """Diagnose a connection, print the problem, and take the smallest step that repairs it.

    The stored tokens stay until newer ones are stored. A different account than before is refused.
    """
    from connector.repair import LastResort

    options["as_json"] = as_json
    config = config_from(options)
    with open_connector(config) as connector:
        connector.status(practice)  # a misspelt name must not connect a new practice
        found = {"found": "an account to be confirmed", "step": "consent"}
        with _confirming(connector, practice):
            result = connector.repair(
                practice,
                capture=ConsentCapture(connector, config, options),
                allow_account_change=allow_account_change,
                last_resort=LastResort(removal=removal_for(config, options), agree=agree),
                progress=partial(print_step, options["mode"]),
            )
            found = {"found": result.found, "step": result.step}
        connection = connector.status(practice)
    say(_DONE[found["step"]])
    payload = {**connection_json(connection), **found}
    emit(payload, connection_text(connection), as_json=as_json)


@click.command(epilog="Example: ormco reconnect practice-42")
@practice_argument
@yes_option
@account_change_option
@mode_options
@settings_options
def reconnect(practice: str, yes: bool, allow_account_change: bool, **options: Any) -> None:
    """Remove Ormco from a practice's account, then connect it from the start; its history is kept.

    Lists everything that loses access, and asks first. If it is interrupted, run the same command again.
    """
    config = config_from(options)
    with open_connector(config) as connector:
        capture = ConsentCapture(connector, config, options)
        removal = removal_for(config, options, thorough=True)
        what = connector.revocation_steps(practice)
        if what is not None:
            name_consequences(what)
            ask("Revoke access, and connect again?", yes=yes)
            capture.check()  # do not revoke a connection that cannot be made again
        with _confirming(connector, practice):
            connector.reconnect(
                practice,
                capture=capture,
                removal=removal,
                allow_account_change=allow_account_change,
                progress=partial(print_step, options["mode"]),
            )
        _show_connected(connector, config, practice, lab=None, as_json=options["as_json"])


def _show_connected(
    connector: Connector, config: Config, practice: str, *, lab: bool | None, as_json: bool
) -> None:
    """Request the lab connection too, if that is wanted, and print the connection."""
    from connector.cli.lab import connect_lab

    has_api = config.load_provider().users_url is not None
    connection = connect_lab(connector, connector.status(practice), wanted=lab, possible=has_api)
    emit(connection_json(connection), connection_text(connection), as_json=as_json)


def _time_left(requests: list[AuthorizationRequest], now: datetime) -> str:
    if not requests:
        return "No link is open for this practice."
    left = max(int((request.expires_at - now).total_seconds()) for request in requests)
    return f"The link is valid for another {left} s; the code in the address for about three minutes."


@contextmanager
def _confirming(connector: Connector, practice_id: str, expected: str | None = None) -> Iterator[None]:
    """Ask whether the account is right if the block raises an `AccountUnconfirmedError`.

    Args:
        connector: the connector.
        practice_id: the practice.
        expected: e-mail address of the right account, if it is known; then no person is asked.

    Raises:
        connector.errors.AccountUnconfirmedError: there is no terminal; the grant waits ten minutes.
        connector.errors.AccountMismatchError: it is another account than the expected one.
        connector.errors.ConsentDeniedError: the answer is no; the grant is revoked.
    """
    try:
        yield
        return
    except AccountUnconfirmedError as exc:
        account = exc.account
        is_right = None if account is None else _is_right(practice_id, account, expected)
        if is_right is None:
            raise
    if is_right:
        connector.confirm_account(practice_id, account_id=account.id)
        return
    connector.reject_account(practice_id)
    if expected is not None:
        raise AccountMismatchError(
            f"access was given by {account}, not by {expected}; the connection is unchanged",
            hint="Sign in as the expected account.",
        )
    raise ConsentDeniedError(f"{practice_id} was not connected to {account}: the answer was no")


def _is_right(practice_id: str, account: Account, expected: str | None) -> bool | None:
    """Return whether the account is the right one; None if no person can be asked."""
    from connector.cli.terminal import ask_person

    if expected is not None:
        return expected.casefold() == (account.email or "").casefold()
    return ask_person(f"Connect {practice_id} as {account}?")
