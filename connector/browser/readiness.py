"""Check that a browser can be opened here, before a person is asked for anything."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from connector.browser.installed import Browser, find_browser
from connector.browser.system_user import is_sandbox_off
from connector.errors import BrowserUnavailableError, ExtraMissingError
from connector.hints import install
from connector.process import child_environment

__all__ = ["check_browser", "not_started", "ready_browser", "require_display", "require_playwright"]

_FIRST_PORT = 6000  # X's display 0 over TCP
_PATIENCE = 5.0  # s


def ready_browser(setting: str | None = None, *, headless: bool = False) -> Browser:
    """Return the browser to use, without starting it.

    Args:
        setting: the path of a program (`ORMCO_BROWSER`), or its name; None to look for one.
        headless: without a window.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no browser, or no display for its window.
        connector.errors.ExtraMissingError: without Playwright.
    """
    require_playwright()
    browser = find_browser(setting, headless=headless)
    if not headless:
        require_display()
    return browser


def check_browser(setting: str | None = None, *, headless: bool = False) -> Browser:
    """Check that a browser can be opened, before a person is asked for anything.

    Args:
        setting: the path of a program (`ORMCO_BROWSER`), or its name; None to look for one.
        headless: without a window.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no browser, it is broken, or has no display.
        connector.errors.ExtraMissingError: without Playwright.
    """
    browser = ready_browser(setting, headless=headless)
    if sys.platform == "win32":  # there, asking for the version opens a window
        return browser
    try:
        answer = subprocess.run(
            [browser.path, "--version"],
            env=child_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        works = answer.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    if not works:
        raise not_started(browser, "")
    return browser


def not_started(browser: Browser, report: str) -> BrowserUnavailableError:
    """Return the error for a browser that does not start.

    Args:
        browser: the browser.
        report: the output of the browser or of Playwright.
    """
    if "sandbox" in report.lower() and not is_sandbox_off():
        return BrowserUnavailableError(
            f"{browser.name} ({browser.path}) cannot use its sandbox on this system",
            hint="Allow it unprivileged user namespaces; or, in a container that nothing else runs in, set"
            " ORMCO_BROWSER_SANDBOX=off: then a page that breaks out of the browser can do what you can.",
        )
    return BrowserUnavailableError(
        f"{browser.name} ({browser.path}) did not start",
        hint="Try it by hand; set ORMCO_BROWSER to another Chrome or Chromium; or go without, by a paste.",
    )


def require_playwright() -> None:
    """Check that Playwright is installed.

    Raises:
        connector.errors.ExtraMissingError: if it is not.
    """
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        raise ExtraMissingError(
            "a browser needs Playwright, which is not installed",
            hint=f"{install('browser')}; or go without a browser, by a paste.",
        ) from None


def require_display() -> str:
    """Check that there is a display, and that it answers.

    Returns:
        Its name; "" on systems that always have one.

    Raises:
        connector.errors.BrowserUnavailableError: if no window can open here.
    """
    if not sys.platform.startswith(("linux", "freebsd")):
        return ""
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if wayland and _wayland_answers(wayland):
        return wayland
    if x11 and _x11_answers(x11):
        return x11
    raise BrowserUnavailableError(
        "there is no display for a browser window" + ("" if not x11 else f": {x11} does not answer"),
        hint="Open the link on another computer and paste the answer; or run without a window (headless),"
        " with the credentials in the environment.",
    )


def _wayland_answers(name: str) -> bool:
    return _answers(str(Path(os.environ.get("XDG_RUNTIME_DIR", "/"), name)))


def _x11_answers(display: str) -> bool:
    match = re.fullmatch(r"(?:unix|([^:/]*))(?:/unix)?:(\d+)(?:\.\d+)?", display)
    if match is None:  # some other form, such as a path: the browser will see
        return True
    host, number = match[1], int(match[2])
    if host:
        try:
            socket.create_connection((host, _FIRST_PORT + number), timeout=_PATIENCE).close()
        except OSError:
            return False
        return True
    path = f"/tmp/.X11-unix/X{number}"  # noqa: S108 - where X has it
    return _answers(path) or _answers("\0" + path)


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(address)
        except OSError:
            return False
    return True
