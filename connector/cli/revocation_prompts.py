"""Prompts of the commands that take access back: what is cut off, the question, and who removes Ormco."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import with_answers
from connector.cli.output import mark, say
from connector.errors import BrowserUnavailableError, ConsentDeniedError

if TYPE_CHECKING:
    from connector.config import Config
    from connector.revocation.removal import Removal, RevocationSteps

__all__ = [
    "agree",
    "ask",
    "name_consequences",
    "removal_for",
    "require_credentials",
    "yes_option",
]

yes_option = click.option("--yes", is_flag=True, help="Do not ask first.")

_STEPS = {
    "recorded": "Recorded: nobody is given a token of this connection any more",
    "endpoint": "The provider has revoked the tokens",
    "endpoint_refused": "The provider does not let this client revoke; going on by the Applications page",
    "removed": "Ormco was removed, and is seen to be gone",
    "unlisted": "Ormco is not on the Applications page",
    "proved": "Proved: the old refresh token is refused",
    "wiped": "The tokens are wiped from the store",
}


def ask(question: str, *, yes: bool) -> None:
    """Ask on a terminal whether to go on; without one, `--yes` has to be there.

    Raises:
        click.UsageError: if nobody can be asked.
        connector.errors.ConsentDeniedError: if the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this cuts something off, and nobody is at a terminal to be asked: add --yes")
    if not click.confirm(question, err=True):
        raise ConsentDeniedError("nothing was done: the answer was no")


def agree(what: RevocationSteps) -> bool:
    """Ask whether to remove Ormco and start anew; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    say("Consent alone does not help. What is left is to remove Ormco from the account and to connect anew.")
    name_consequences(what)
    return click.confirm("Do that?", err=True)


def name_consequences(what: RevocationSteps) -> None:
    """Say everything that will be cut off."""
    account = what.account or "an account that is not known"
    say(f"This takes Ormco's access to {account} back. What will be cut off:")
    for practice in (what.practice_id, *what.others):
        say(f"  - the connection of {practice}")
    if what.whole_application:
        say("  - every other program whose access rests on the same entry “Ormco”, such as OrmcoDigital:")
        say("    3Shape removes the application as a whole, and access has to be given again to each of them")
    say("The lab connection in 3Shape Communicate stays as it is.")


def removal_for(
    config: Config, options: Mapping[str, Any], *, done: bool = False, thorough: bool = False
) -> Removal:
    """Return how to remove Ormco on the Applications page; nothing is asked for before it is used.

    Args:
        config: the settings.
        options: the command's options: "mode" and "timeout".
        done: it was done by hand already.
        thorough: look at the page even if the grant is proved dead before.
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
    """Return the settings with what `--headless` signs in with, before anything is cut off.

    Raises:
        connector.errors.SettingError: the practice's credentials are needed and are not set.
    """
    provider = config.load_provider()
    # A revocation endpoint needs none; an issuer may turn out to have one.
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
        raise BrowserUnavailableError("nobody is at a terminal to say when it is done")
    for number, step in enumerate(steps_by_hand(url, account), 1):
        say(f"  {number}. {step}")
    click.prompt("Press Enter when it is done", default="", show_default=False, err=True)
    return True
