"""`ormco profile`: connect 3Shape on OrmcoDigital's My Profile page without copying a code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.cli import SuggestingGroup
from connector.cli.consent_modes import with_answers
from connector.cli.options import config_from, optional_practice, settings_options, timeout_option
from connector.cli.output import emit, mark, say
from connector.errors import SettingError

if TYPE_CHECKING:
    from connector.browser.profile import SignIns
    from connector.config import Config

__all__ = ["profile"]

_SETTINGS = {
    "digital_url": "ORMCO_DIGITAL_URL",
    "digital_username": "ORMCO_DIGITAL_USERNAME",
    "digital_password": "ORMCO_DIGITAL_PASSWORD",
    "username": "ORMCO_3SHAPE_USERNAME",
    "password": "ORMCO_3SHAPE_PASSWORD",
}
_STEPS = {
    "method": 'The Submission Method is "3Shape Trios"',
    "dialog": "The dialog for the authorization code is open",
    "code": "Access was allowed; the code was captured and is complete",
    "ok": "The dialog accepted the code",
    "update": "Update was pressed, and the page responded",
    "checked": "My Profile was loaded again: the change is saved",
}


@click.group(cls=SuggestingGroup)
def profile() -> None:
    """Connect 3Shape on OrmcoDigital's My Profile page, as the practice itself does."""


@profile.command(
    epilog="Example: ormco profile connect   (with ORMCO_DIGITAL_URL set)",
    short_help="Connect 3Shape to Insignia there.",
)
@optional_practice
@click.option(
    "--browser", "mode", flag_value="browser", default=True, help="Open a visible browser (the default)."
)
@click.option(
    "--headless",
    "mode",
    flag_value="headless",
    help="Without a window, with ORMCO_DIGITAL_USERNAME, ORMCO_3SHAPE_USERNAME and their _PASSWORD.",
)
@timeout_option
@settings_options
def connect(practice: str | None, mode: str, timeout: float, as_json: bool, **settings: Any) -> None:
    """Take the steps of the guide "Getting Connected on OrmcoDigital", in one command.

    A fresh browser opens on OrmcoDigital: sign in there; then sign in to 3Shape and allow access, when it
    asks. The rest is done for you: Submission Method, code, Ok and Update. Nothing is stored on this machine,
    and no client secret is needed. PRACTICE only appears in the output.
    """
    from connector.browser.profile import check_profile, connect_profile

    config, headless = config_from(settings), mode == "headless"
    check_profile(headless=headless, browser=config.browser)  # before a person is asked for a password
    config, sign_ins = _sign_ins(config, headless=headless)
    if not headless:
        first = "" if sign_ins.digital else "sign in to OrmcoDigital; then "
        say(f"{mark('waiting')} A browser opens: {first}sign in to 3Shape and allow access")
    update = connect_profile(
        config.digital_url or "",
        redirect_uri=config.redirect_uri,
        sign_ins=sign_ins,
        headless=headless,
        timeout=timeout,
        browser=config.browser,
        progress=_print_progress,
    )
    payload = {"practice": practice, "saved": True, "confirmed": update.confirmed, "said": update.said}
    emit(payload, _text(practice, confirmed=update.confirmed), as_json=as_json)


def _sign_ins(config: Config, *, headless: bool) -> tuple[Config, SignIns]:
    """Return the credentials; ask a person at a terminal for missing ones. `headless` needs all of them."""
    from connector.browser.profile import SignIns

    needed = tuple(_SETTINGS) if headless else ("digital_url",)
    config = with_answers(config, *needed)
    if missing := [_SETTINGS[name] for name in needed if not getattr(config, name)]:
        raise SettingError(
            f"not set: {', '.join(missing)}",
            hint="Set them in the environment; the URL is the address of OrmcoDigital; passwords "
            "may also be in files (…_PASSWORD_FILE). Without --headless, a person signs in.",
        )
    digital = (config.digital_username or "", config.digital_password.reveal() or "")
    communicate = (config.username or "", config.password.reveal() or "")
    sign_ins = SignIns(
        digital=digital if all(digital) else None,
        # In a window, a person has to allow access.
        communicate=communicate if headless else None,
    )
    return config, sign_ins


def _print_progress(step: str) -> None:
    if step in _STEPS:
        say(f"{mark('ok')} {_STEPS[step]}")
    elif step.startswith("by hand: "):
        missing = step.removeprefix("by hand: ")
        say(f"{mark('warning')} OrmcoDigital's page has no {missing}.")
        say("  Do this step in the window; the rest is done for you.")


def _text(practice: str | None, *, confirmed: bool) -> str:
    text = "3Shape is connected to Insignia on OrmcoDigital" + (f" for {practice}." if practice else ".")
    if confirmed:
        return text
    return f"{text}\nThe page itself does not confirm it: it accepted the code, and responded to Update."
