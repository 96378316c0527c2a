"""`ormco revoke` and `forget`: take access back, and delete what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.cli.consent_modes import mode_options
from connector.cli.options import config_from, open_connector, practice_argument, settings_options
from connector.cli.output import emit, say, shown_time
from connector.cli.revocation_prompts import (
    ask,
    name_consequences,
    removal_for,
    require_credentials,
    yes_option,
)
from connector.hints import ormco_command

if TYPE_CHECKING:
    from connector.revocation import Revocation

__all__ = ["forget", "revoke"]


@click.command(
    epilog="Example: ormco revoke practice-42   (by hand, then: ormco revoke practice-42 --confirm-done)",
)
@practice_argument
@click.option(
    "--confirm-done", is_flag=True, help="Ormco was removed by hand on the Applications page: only prove it."
)
@yes_option
@mode_options
@settings_options
def revoke(practice: str, confirm_done: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """Take Ormco's access to a practice's account back.

    Names what will be cut off and asks; has the provider remove the grant; proves that it is dead; then wipes
    the tokens. Whatever stops it, the same command goes on.
    """
    config = config_from(options)
    if not confirm_done:
        config = require_credentials(config, options["mode"])
    with open_connector(config) as connector:
        what = connector.revocation_steps(practice)
        if what is not None and not confirm_done:
            name_consequences(what)
            ask("Take it back?", yes=yes)
        done = connector.revoke(practice, removal=removal_for(config, options, done=confirm_done))
    emit(_as_json(practice, done), _text(practice, done), as_json=as_json)


@click.command(epilog="Example: ormco forget practice-42 --yes")
@practice_argument
@yes_option
@settings_options
def forget(practice: str, yes: bool, as_json: bool, **settings: Any) -> None:
    """Delete all that is stored of a practice: its tokens, its account, the details of its record.

    Asks the provider for nothing: to take Ormco's access back, run `ormco revoke` before.
    """
    from connector.connection import ConnectionState

    with open_connector(config_from(settings)) as connector:
        connection = connector.status(practice)
        if connection.state is not ConnectionState.REVOKED:
            state = connection.state.value.replace("_", " ")
            say(f"{practice} is {state}. What the provider has granted stays, and cannot be taken back from")
            say(f"here afterwards; to do that first: {ormco_command('revoke', practice)}")
        ask(f"Delete all that is stored of {practice}?", yes=yes)
        connector.forget(practice)
    emit(
        {"practice": practice, "forgotten": True},
        f"Nothing is stored of {practice} any more.",
        as_json=as_json,
    )


def _as_json(practice: str, done: Revocation) -> dict[str, Any]:
    from connector.clock import isoformat

    return {
        "practice": practice,
        "provider_revoked": done.provider_revoked,
        "method": done.method,
        "proved": done.proved,
        "wiped": done.wiped,
        "access_token_until": isoformat(done.access_token_until),
    }


def _text(practice: str, done: Revocation) -> str:
    if done.method == "already_gone":
        text = f"Ormco has no access to {practice} any more; there was nothing left to take back."
    else:
        text = f"Ormco's access to {practice} was taken back."
    if done.access_token_until is not None:
        text += (
            "\nAn access token that was given out before is still accepted by the provider, until "
            f"{shown_time(done.access_token_until)}; it is not stored any more."
        )
    return text
