"""`ormco repair` and `reconnect`: every broken connection has a way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.cli.cutting_off import agree, ask, name_consequences, removal_for, yes_option
from connector.cli.options import (
    config_from,
    mode_options,
    open_connector,
    practice_argument,
    settings_options,
)
from connector.cli.output import emit, say

if TYPE_CHECKING:
    from connector.repair import Repair

__all__ = ["reconnect", "repair"]

account_change_option = click.option(
    "--allow-account-change",
    is_flag=True,
    help="Accept another account than before, or one of another practice.",
)

_DONE = {
    "none": "It was left as it is.",
    "refresh": "It was refreshed; nobody had to be asked.",
    "account": "The account was read; nobody had to be asked.",
    "consent": "Access was given again.",
    "reconnect": "Ormco was removed from the account, and the connection made anew.",
}


@click.command(
    epilog="Example: ormco repair practice-42",
)
@practice_argument
@account_change_option
@mode_options
@settings_options
def repair(
    practice: str, allow_account_change: bool, mode: str, timeout: float, as_json: bool, **settings: Any
) -> None:
    """Find out what is wrong with a connection, say so, and take the least step that mends it.

    The tokens that are stored stay until newer ones are. Another account than before is refused.
    """
    from connector.cli.checklist import Checklist
    from connector.cli.modes import WAITING, capture_for
    from connector.repair import LastResort

    config = config_from(settings)
    with open_connector(config) as connector:
        connector.status(practice)  # a slip of the pen connects nobody
        result = connector.repair(
            practice,
            capture=capture_for(mode, config, timeout=timeout, url_on_stderr=as_json),
            allow_account_change=allow_account_change,
            last_resort=LastResort(removal=removal_for(mode, config, timeout=timeout), agree=agree),
            progress=Checklist(WAITING[mode]),
        )
    _show(result, as_json=as_json)


@click.command(
    epilog="Example: ormco reconnect practice-42",
)
@practice_argument
@yes_option
@account_change_option
@mode_options
@settings_options
def reconnect(
    practice: str,
    yes: bool,
    allow_account_change: bool,
    mode: str,
    timeout: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Remove Ormco from a practice's account, then connect it from the start; its history is kept.

    Names what will be cut off and asks. Whatever stops it, the same command goes on.
    """
    from connector.cli import connections
    from connector.cli.checklist import Checklist
    from connector.cli.lab import connect_lab, wants_lab
    from connector.cli.modes import WAITING, capture_for

    config = config_from(settings)
    capture = capture_for(mode, config, timeout=timeout, url_on_stderr=as_json)
    removal = removal_for(mode, config, timeout=timeout, thorough=True)
    with open_connector(config) as connector:
        what = connector.consequences(practice)
        if what is not None:
            name_consequences(what)
            ask("Take it back, and connect anew?", yes=yes)
        connection = connector.reconnect(
            practice,
            capture=capture,
            removal=removal,
            allow_account_change=allow_account_change,
            progress=Checklist(WAITING[mode]),
        )
        if wants_lab(None, practice, config.load_provider().users_url is not None):
            connection = connect_lab(connector, connection)
    emit(connections.as_json(connection), connections.summary(connection), as_json=as_json)


def _show(result: Repair, *, as_json: bool) -> None:
    from connector.cli import connections

    say(_DONE[result.step])
    payload = {**connections.as_json(result.connection), "found": result.found, "step": result.step}
    emit(payload, connections.summary(result.connection), as_json=as_json)
