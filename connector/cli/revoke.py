"""`ormco revoke` and `forget`: remove access, and delete the stored data."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from connector.cli.consent_modes import mode_options, with_answers
from connector.cli.options import config_from, open_connector, practice_argument, settings_options
from connector.cli.output import emit, mark, printable, say, shown_time
from connector.errors import BrowserUnavailableError, ConsentDeniedError
from connector.hints import ormco_command

if TYPE_CHECKING:
    from connector.config import Config
    from connector.revocation import Revocation
    from connector.revocation.removal import Removal, RevocationSteps

__all__ = [
    "agree",
    "ask",
    "forget",
    "name_consequences",
    "removal_for",
    "require_credentials",
    "revoke",
    "yes_option",
]

yes_option = click.option("--yes", is_flag=True, help="Do not ask first.")

_STEPS = {
    "recorded": "Recorded: no token of this connection is handed out any more",
    "endpoint": "The provider has revoked the tokens",
    "endpoint_refused": "The provider does not let this client revoke; continuing on the Applications page",
    "removed": "Ormco was removed, and the page does not list it any more",
    "unlisted": "Ormco is not on the Applications page",
    "proved": "Proved: the old refresh token is refused",
    "wiped": "The tokens are wiped from the store",
}


def ask(question: str, *, yes: bool) -> None:
    """Ask on a terminal whether to continue; without a terminal, `--yes` is needed.

    Raises:
        click.UsageError: if no person can be asked.
        connector.errors.ConsentDeniedError: if the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this command asks for confirmation, and there is no terminal: add --yes")
    if not click.confirm(printable(question), err=True):
        raise ConsentDeniedError("nothing was done: the answer was no")


def agree(what: RevocationSteps) -> bool:
    """Ask whether to remove Ormco and connect again; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    say("Consent alone does not repair it. Ormco has to be removed from the account and connected again.")
    name_consequences(what)
    return click.confirm("Do that?", err=True)


def name_consequences(what: RevocationSteps) -> None:
    """Print everything that loses access."""
    account = what.account or "an unknown account"
    say(f"This revokes Ormco's access to {account}. It cuts off:")
    for practice in (what.practice_id, *what.others):
        say(f"  - the connection of {practice}")
    if what.whole_application:
        say("  - every other program that uses the same entry “Ormco”, such as OrmcoDigital:")
        say("    3Shape removes the application as a whole, and access has to be given again to each of them")
    say("The lab connection in 3Shape Communicate is not changed.")


def removal_for(
    config: Config, options: Mapping[str, Any], *, done: bool = False, thorough: bool = False
) -> Removal:
    """Return the way to remove Ormco on the Applications page; it asks for credentials only when used.

    Args:
        config: the settings.
        options: the command's options: "mode" and "timeout".
        done: whether Ormco was removed by hand already.
        thorough: whether to check the page even if the grant is proved dead already.
    """
    from connector.revocation.removal import Removal

    by_hand = options["mode"] == "paste"
    return Removal(
        remove=_by_hand if by_hand else functools.partial(_in_browser, config, options),
        method="by_hand" if by_hand else "applications_page",
        done=done,
        thorough=thorough,
        progress=_tick,
    )


def require_credentials(config: Config, mode: str) -> Config:
    """Return the settings with the credentials for `--headless`, before any access is removed.

    Raises:
        connector.errors.SettingError: the practice's credentials are needed and are not set.
    """
    provider = config.load_provider()
    # A revocation endpoint needs no credentials; an issuer's discovery document may name one.
    if mode != "headless" or provider.issuer is not None or provider.revocation_endpoint is not None:
        return config
    config = with_answers(config, "username", "password")
    config.credentials(provider)
    return config


def _tick(step: str) -> None:
    say(f"{mark('warning' if step == 'endpoint_refused' else 'ok')} {_STEPS.get(step, step)}")


def _in_browser(config: Config, options: Mapping[str, Any], url: str, *, account: str | None) -> bool:
    from connector.browser.applications import remove_application

    headless = options["mode"] == "headless"
    if headless:
        config = with_answers(config, "username", "password")
    else:
        who = f" as {account}" if account else ""
        say(f"{mark('waiting')} A browser window opens: sign in{who}; the rest is done for you")
    return remove_application(
        url,
        account=account,
        credentials=config.credentials(config.load_provider()) if headless else None,
        headless=headless,
        timeout=options["timeout"],
        browser=config.browser,
    )


def _by_hand(url: str, *, account: str | None) -> bool:
    from connector.revocation.removal import steps_by_hand

    if not sys.stdin.isatty():
        raise BrowserUnavailableError("there is no terminal on which a person could confirm that it is done")
    for number, step in enumerate(steps_by_hand(url, account), 1):
        say(f"  {number}. {step}")
    click.prompt("Press Enter when it is done", default="", show_default=False, err=True)
    return True


@click.command(
    epilog="Example: ormco revoke practice-42   (by hand, then: ormco revoke practice-42 --confirm-done)"
)
@practice_argument
@click.option(
    "--confirm-done", is_flag=True, help="Ormco was removed by hand on the Applications page: only prove it."
)
@yes_option
@mode_options
@settings_options
def revoke(practice: str, confirm_done: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """Revoke Ormco's access to a practice's account.

    Lists everything that loses access, and asks first; removes the grant at the provider; proves that it is
    dead; then wipes the tokens. If it is interrupted, run the same command again.
    """
    config = config_from(options)
    if not confirm_done:
        config = require_credentials(config, options["mode"])
    with open_connector(config) as connector:
        what = connector.revocation_steps(practice)
        if what is not None and not confirm_done:
            name_consequences(what)
            ask("Revoke access?", yes=yes)
        done = connector.revoke(practice, removal=removal_for(config, options, done=confirm_done))
    emit(_as_json(practice, done), _text(practice, done), as_json=as_json)


@click.command(epilog="Example: ormco forget practice-42 --yes")
@practice_argument
@yes_option
@settings_options
def forget(practice: str, yes: bool, as_json: bool, **settings: Any) -> None:
    """Delete everything that is stored for a practice: its tokens, its account, the details of its record.

    This does not contact the provider: to remove Ormco's access, run `ormco revoke` first.
    """
    from connector.connection import ConnectionState

    with open_connector(config_from(settings)) as connector:
        connection = connector.status(practice)
        if connection.state is not ConnectionState.REVOKED:
            state = connection.state.value.replace("_", " ")
            say(f"{practice} is {state}. The provider's grant stays, and cannot be revoked from here")
            say(f"afterwards; to revoke it first: {ormco_command('revoke', practice)}")
        ask(f"Delete all stored data of {practice}?", yes=yes)
        connector.forget(practice)
    emit(
        {"practice": practice, "forgotten": True},
        f"No data of {practice} is stored any more.",
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
        text = f"Ormco has no access to {practice} any more; nothing was left to revoke."
    else:
        text = f"Ormco's access to {practice} was revoked."
    if done.access_token_until is not None:
        text += (
            "\nAn access token that was handed out before is still accepted by the provider, until "
            f"{shown_time(done.access_token_until)}; it is not stored any more."
        )
    return text
