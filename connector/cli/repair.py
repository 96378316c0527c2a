"""`ormco repair` and `reconnect`: repair a connection, or revoke it and connect it again."""

from __future__ import annotations

from typing import Any

import click

from connector.cli.connect import account_change_option, confirming, show_connected
from connector.cli.consent_modes import WAITING, ConsentCapture, mode_options
from connector.cli.options import config_from, open_connector, practice_argument, settings_options
from connector.cli.output import Checklist, emit, say
from connector.cli.revoke import agree, ask, name_consequences, removal_for, yes_option

__all__ = ["reconnect", "repair"]

_DONE = {
    "none": "It was left as it is.",
    "refresh": "It was refreshed; nobody had to be asked.",
    "account": "The account was read; nobody had to be asked.",
    "consent": "Access was given again.",
    "reconnect": "Ormco was removed from the account, and the connection made anew.",
}


@click.command(epilog="Example: ormco repair practice-42")
@practice_argument
@account_change_option
@mode_options
@settings_options
def repair(practice: str, allow_account_change: bool, as_json: bool, **options: Any) -> None:
    """Find out what is wrong with a connection, say so, and take the least step that repairs it.

    The stored tokens stay until newer ones are stored. Another account than before is refused.
    """
    from connector.cli import connection_format
    from connector.repair import LastResort

    options["as_json"] = as_json
    config = config_from(options)
    with open_connector(config) as connector:
        connector.status(practice)  # a misspelt name must not connect a new practice
        found = {"found": "an account to be confirmed", "step": "consent"}
        with confirming(connector, practice):
            result = connector.repair(
                practice,
                capture=ConsentCapture(connector, config, options),
                allow_account_change=allow_account_change,
                last_resort=LastResort(removal=removal_for(config, options), agree=agree),
                progress=Checklist(WAITING[options["mode"]]),
            )
            found = {"found": result.found, "step": result.step}
        connection = connector.status(practice)
    say(_DONE[found["step"]])
    payload = {**connection_format.as_json(connection), **found}
    emit(payload, connection_format.summary(connection), as_json=as_json)


@click.command(epilog="Example: ormco reconnect practice-42")
@practice_argument
@yes_option
@account_change_option
@mode_options
@settings_options
def reconnect(practice: str, yes: bool, allow_account_change: bool, **options: Any) -> None:
    """Remove Ormco from a practice's account, then connect it from the start; its history is kept.

    Names what will be cut off and asks first. If it is interrupted, run the same command again.
    """
    config = config_from(options)
    with open_connector(config) as connector:
        capture = ConsentCapture(connector, config, options)
        removal = removal_for(config, options, thorough=True)
        what = connector.revocation_steps(practice)
        if what is not None:
            name_consequences(what)
            ask("Take it back, and connect anew?", yes=yes)
            capture.check()  # do not revoke a connection that cannot be made again
        with confirming(connector, practice):
            connector.reconnect(
                practice,
                capture=capture,
                removal=removal,
                allow_account_change=allow_account_change,
                progress=Checklist(WAITING[options["mode"]]),
            )
        show_connected(connector, config, practice, lab=None, as_json=options["as_json"])
