"""The three ways to get consent: a visible browser, a browser without a window, or a paste."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connector.cli.options import timeout_option
from connector.cli.output import mark, say, write

if TYPE_CHECKING:
    from connector.config import Config
    from connector.connector import Connector

__all__ = ["ConsentCapture", "can_ask", "mode_options", "print_step", "with_answers"]

Command = TypeVar("Command", bound=Callable[..., Any])

# The message when a person has to act; for a paste, the prompt contains it.
_WAITING = {
    "browser": "A browser window opens: sign in to 3Shape Communicate there and press Allow access",
    "headless": "Signing in and allowing access, in a browser without a window",
}
_STEPS = {
    "settings": "The settings are complete",
    "store": "The store is writable, and its key is right",
    "provider": "The provider responds",
    "consent": "Access was allowed; the response was captured in the browser",
    "code": "The response belongs to this request, and its code shows no damage",
    "tokens": "The code was exchanged; the tokens are stored, sealed",
    "account": "The account behind the tokens is known",
}
_MODES = {
    "browser": "Open a visible browser (the default).",
    "headless": "Sign in without a window, with ORMCO_3SHAPE_USERNAME and _PASSWORD.",
    "paste": "Print the link, and read the address that the browser ended on.",
}
# Setting → its prompt, and whether it is a secret.
_QUESTIONS = {
    "username": ("3Shape Communicate user name (e-mail address)", False),
    "password": ("3Shape Communicate password", True),
    "digital_url": ("Address of OrmcoDigital (https://…)", False),
    "digital_username": ("OrmcoDigital user name", False),
    "digital_password": ("OrmcoDigital password", True),
}
# The checks of the doctor that have to pass before a person is asked for consent.
_CHECKS = {
    "browser": {"browser", "display", "client_secret"},
    "headless": {"browser", "client_secret"},
    "paste": {"client_secret"},
}


def mode_options(command: Command) -> Command:
    """Add the ways to get consent: --browser, --headless, --paste, and --timeout."""
    command = timeout_option(command)
    for mode, text in reversed(_MODES.items()):
        # Only one has a default: click would use `default=False` as the mode.
        default: dict[str, Any] = {"default": True} if mode == "browser" else {}
        command = click.option(f"--{mode}", "mode", flag_value=mode, help=text, **default)(command)
    return command


def print_step(mode: str, step: str) -> None:
    """Print a finished step of a consent, or the result of a diagnosis, on stderr."""
    if step.startswith("found: "):
        say(f"{mark('found')} Found: {step.removeprefix('found: ')}")
    elif step != "ready":
        pasted = step == "consent" and mode == "paste"
        say(f"{mark('ok')} {'The input was read' if pasted else _STEPS.get(step, step)}")
    elif mode in _WAITING:
        say(f"{mark('waiting')} {_WAITING[mode]}")


def can_ask() -> bool:
    """Return whether a person at a terminal can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def with_answers(config: Config, *names: str) -> Config:
    """Return the settings; if a person is at a terminal, ask for the missing ones.

    Args:
        config: the settings.
        names: attributes of `Config` that are needed, such as "digital_url".
    """
    missing = [name for name in names if not getattr(config, name)]
    if not missing or not can_ask():
        return config
    from connector.config import Secret

    values: dict[str, Any] = {}
    for name in missing:
        question, secret = _QUESTIONS[name]
        value = click.prompt(question, hide_input=secret, err=True)
        values[name] = Secret(value) if secret else value.strip()
    return replace(config, **values)


class ConsentCapture:
    """Gets consent in the way that the mode option selects, and returns the redirect URL.

    Args:
        connector: the connector that needs consent.
        config: its settings.
        options: the command's options: "mode", "timeout" and "as_json".
    """

    def __init__(self, connector: Connector, config: Config, options: Mapping[str, Any]) -> None:
        self._connector = connector
        self._config = config
        self._checked = False
        self._mode: str = options["mode"]
        self._timeout: float = options["timeout"]
        self._as_json: bool = options["as_json"]

    def check_settings(self) -> None:
        """Report every missing setting in one error, unless a person can be asked for the credentials.

        Raises:
            connector.errors.SettingError: if any are missing; it names them.
        """
        if self._mode == "headless" and not can_ask():
            self._config.credentials(self._config.load_provider())

    def check(self) -> None:
        """Check everything that would otherwise fail only after the practice has given consent.

        Raises:
            connector.errors.ConfigurationError: credentials are missing, no window can be opened, the browser
                does not start, or the provider does not accept the client secret.
        """
        if self._checked:
            return
        self._checked = True
        if self._mode == "headless":
            self._config = with_answers(self._config, "username", "password")
            self._config.credentials(self._config.load_provider())
        for check in self._connector.doctor(only=_CHECKS[self._mode]):
            if check.error is not None:
                raise check.error

    def __call__(self, url: str, *, redirect_uri: str) -> str | AbstractContextManager[str]:
        """Print the link or open the browser; return the redirect URL, or a context manager for it."""
        if self._mode == "paste":
            return self._paste(url, redirect_uri)
        from connector.browser import open_capture
        from connector.browser.pages.communicate import sign_in_and_allow

        headless, person = self._mode == "headless", None
        if headless:
            person = sign_in_and_allow(*self._config.credentials(self._config.load_provider()))
        return open_capture(
            url,
            redirect_uri=redirect_uri,
            person=person,
            headless=headless,
            timeout=self._timeout,
            browser=self._config.browser,
        )

    def _paste(self, url: str, redirect_uri: str) -> str:
        from connector.cli.terminal import read_paste

        # With --json, stdout is for the result alone.
        write(url, err=self._as_json)
        say("Open this link, sign in to 3Shape Communicate and press Allow access.")
        say(f"Then copy the ENTIRE address of the page you end on ({redirect_uri}?code=…),")
        say("within three minutes.")
        return read_paste("Paste it here, then press Enter: ", timeout=self._timeout)
