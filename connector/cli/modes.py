"""The three ways to get consent, as captures: a visible browser, one without a window, and a paste."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from connector.cli.output import say

if TYPE_CHECKING:
    from connector.config import Config
    from connector.consent import Capture

__all__ = ["WAITING", "capture_for"]

# What a person is told once it is somebody's turn.
WAITING = {
    "browser": "A browser window opens: sign in to 3Shape Communicate there and press Allow access",
    "headless": "Signing in and allowing access, in a browser without a window",
    "paste": "",
}


def capture_for(mode: str, config: Config, *, timeout: float, url_on_stderr: bool) -> Capture:
    """Return the capture that a mode option names.

    Args:
        mode: "browser", "headless" or "paste".
        config: the settings.
        timeout: seconds to wait for a person.
        url_on_stderr: print the link there, because stdout is for JSON.

    Raises:
        connector.errors.SettingError: `--headless` without the practice's credentials.
    """
    if mode == "paste":
        return functools.partial(_paste, timeout=timeout, url_on_stderr=url_on_stderr)
    person = None
    if mode == "headless":
        from connector.browser.pages import sign_in_and_allow

        person = sign_in_and_allow(*config.credentials(config.load_provider()))

    def open_browser(url: str, *, redirect_uri: str) -> AbstractContextManager[str]:
        from connector.browser import open_capture

        return open_capture(
            url,
            redirect_uri=redirect_uri,
            person=person,
            headless=mode == "headless",
            timeout=timeout,
            browser=config.browser,
        )

    return open_browser


def _paste(url: str, *, redirect_uri: str, timeout: float, url_on_stderr: bool) -> str:
    from connector.cli.terminal import read_paste

    click.echo(url, err=url_on_stderr)
    say("Open this link, sign in to 3Shape Communicate and press Allow access.")
    say(f"Then copy the ENTIRE address of the page you end on ({redirect_uri}?code=…), within three minutes.")
    return read_paste("Paste it here, then press Enter: ", timeout=timeout)
