"""What commands that cut something off share: what they name, what they ask, and who removes Ormco."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

import click

from connector.cli.output import say
from connector.errors import BrowserUnavailableError, ConsentDeniedError

if TYPE_CHECKING:
    from connector.config import Config
    from connector.revocation.removal import Consequences, Removal

__all__ = ["agree", "ask", "name_consequences", "removal_for", "yes_option"]

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
    if not _confirm(question):
        raise ConsentDeniedError("nothing was done: the answer was no")


def agree(what: Consequences) -> bool:
    """Ask whether to remove Ormco and start anew; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    say("Consent alone does not help. What is left is to remove Ormco from the account and to connect anew.")
    name_consequences(what)
    return _confirm("Do that?")


def name_consequences(what: Consequences) -> None:
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
    mode: str, config: Config, *, timeout: float, done: bool = False, thorough: bool = False
) -> Removal:
    """Return how to remove Ormco on the Applications page, by the mode option.

    Args:
        mode: "browser", "headless" or "paste".
        config: the settings.
        timeout: seconds to wait for a person.
        done: it was done by hand already.
        thorough: look at the page even where the grant is proved dead before.

    Raises:
        connector.errors.SettingError: `--headless` without the practice's credentials, where they are needed.
    """
    from connector.revocation.removal import Removal

    provider = config.load_provider()
    remove = functools.partial(_in_browser, config, mode=mode, timeout=timeout)
    # Asked for now, not in the middle; an endpoint needs none, and only discovery knows of that one.
    if mode == "headless" and not done and provider.issuer is None and provider.revocation_endpoint is None:
        config.credentials(provider)
    return Removal(
        remove=_by_hand if mode == "paste" else remove,
        method="by_hand" if mode == "paste" else "applications_page",
        done=done,
        thorough=thorough,
        progress=_tick,
    )


def _tick(step: str) -> None:
    mark = click.style("!", fg="yellow") if step == "endpoint_refused" else click.style("✓", fg="green")
    say(f"{mark} {_STEPS.get(step, step)}")


def _in_browser(config: Config, url: str, *, account: str | None, mode: str, timeout: float) -> bool:
    from connector.browser.applications import remove_application

    headless = mode == "headless"
    if not headless:
        who = f" as {account}" if account else ""
        say(f"{click.style('…', fg='yellow')} A browser window opens: sign in{who}; the rest is done for you")
    return remove_application(
        url,
        account=account,
        credentials=config.credentials(config.load_provider()) if headless else None,
        headless=headless,
        timeout=timeout,
        browser=config.browser,
    )


def _by_hand(url: str, *, account: str | None) -> bool:
    from connector.revocation.removal import steps_by_hand

    if not sys.stdin.isatty():
        raise BrowserUnavailableError("nobody is at a terminal to say when it is done")
    for number, step in enumerate(steps_by_hand(url, account), 1):
        say(f"  {number}. {step}")
    try:
        click.prompt("Press Enter when it is done", default="", show_default=False, err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    return True


def _confirm(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
