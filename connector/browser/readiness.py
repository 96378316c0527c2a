"""Check that this machine can run a browser: Playwright, a display, and a user who may use its sandbox.

Chromium's sandbox is on unless a setting turns it off; root starts the browser as another user.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from connector.browser.installed import Browser, find_browser
from connector.errors import BrowserUnavailableError, ExtraMissingError
from connector.hints import install
from connector.process import child_environment

__all__ = [
    "check_browser",
    "is_root",
    "is_sandbox_off",
    "not_started",
    "ready_browser",
    "require_display",
    "require_playwright",
    "sandboxed",
]

_FIRST_PORT = 6000  # X's display 0 over TCP
_PATIENCE = 5.0  # s
# systemd gives such ids to services while they run; no person and no file has one.
_TRANSIENT_USERS = range(61184, 65520)


def ready_browser(setting: str | None = None, *, headless: bool = False) -> Browser:
    """Return the browser to use, without starting it.

    Args:
        setting: the path of a program (`ORMCO_BROWSER`), or its name; None to look for one.
        headless: whether the browser runs without a window.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no browser, or no display for its window.
        connector.errors.ExtraMissingError: if Playwright is not installed.
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
        headless: whether the browser runs without a window.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no browser, it is broken, or has no display.
        connector.errors.ExtraMissingError: if Playwright is not installed.
    """
    browser = ready_browser(setting, headless=headless)
    if sys.platform == "win32":  # `--version` opens a window there
        return browser
    try:
        result = subprocess.run(
            [browser.path, "--version"],
            env=child_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        works = result.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    if not works:
        raise not_started(browser, "")
    return browser


def not_started(browser: Browser, report: str) -> BrowserUnavailableError:
    """Return the error for a browser that does not start."""
    if "sandbox" in report.lower() and not is_sandbox_off():
        return BrowserUnavailableError(
            f"{browser.name} ({browser.path}) cannot use its sandbox on this system",
            hint="Allow it unprivileged user namespaces; or, in a container that nothing else runs in, set"
            " ORMCO_BROWSER_SANDBOX=off: then a page that breaks out of the browser has your rights.",
        )
    return BrowserUnavailableError(
        f"{browser.name} ({browser.path}) did not start",
        hint="Start it by hand; set ORMCO_BROWSER to another Chrome or Chromium; or connect by a paste.",
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
            hint=f"{install('browser')}; or connect without a browser, by a paste.",
        ) from None


def require_display() -> str:
    """Check that there is a display, and that it accepts connections.

    Returns:
        The display's name; "" on systems that always have one.

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
        "there is no display for a browser window" + ("" if not x11 else f": {x11} does not respond"),
        hint="Open the link on another computer and paste the response; or run without a window (headless),"
        " with the credentials in the environment.",
    )


def _wayland_answers(name: str) -> bool:
    return _answers(str(Path(os.environ.get("XDG_RUNTIME_DIR", "/"), name)))


def _x11_answers(display: str) -> bool:
    match = re.fullmatch(r"(?:unix|([^:/]*))(?:/unix)?:(\d+)(?:\.\d+)?", display)
    if match is None:  # another form, such as a path, is left to the browser
        return True
    host, number = match[1], int(match[2])
    if host:
        try:
            socket.create_connection((host, _FIRST_PORT + number), timeout=_PATIENCE).close()
        except OSError:
            return False
        return True
    path = f"/tmp/.X11-unix/X{number}"  # noqa: S108 - the standard path
    return _answers(path) or _answers("\0" + path)


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(address)
        except OSError:
            return False
    return True


def is_sandbox_off() -> bool:
    """Return whether `ORMCO_BROWSER_SANDBOX=off` is set."""
    return os.environ.get("ORMCO_BROWSER_SANDBOX", "").strip().lower() == "off"


def is_root() -> bool:
    """Return whether this process runs as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def sandboxed(browser: Browser, folder: Path) -> str:
    """Return the program to start so that the browser can use its sandbox.

    Chromium's sandbox does not work for root. So root starts the browser as a user that nothing else uses,
    which is safer than a browser without a sandbox.

    Raises:
        connector.errors.BrowserUnavailableError: if this is root and the browser cannot run as another user.
    """
    if not is_root() or is_sandbox_off():
        return browser.path
    setpriv = shutil.which("setpriv")
    closed = [*_closed(Path(browser.path).resolve()), *_closed(folder)]
    if setpriv is None or closed:
        why = f": {closed[0]} is closed to other users" if closed else ""
        raise BrowserUnavailableError(
            f"root can start {browser.name} only as another user{why}",
            hint="Run the program as another user; or use a browser and a TMPDIR that other users may enter;"
            " or, in a container that nothing else runs in, set ORMCO_BROWSER_SANDBOX=off. Then a page that"
            " breaks out of the browser has root's rights.",
        )
    user = str(random.SystemRandom().choice(_TRANSIENT_USERS))
    command = [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", browser.path]
    program = folder / "browser"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    _give(folder, int(user))
    return str(program)


def _closed(path: Path) -> list[Path]:
    """Return the parent folders that only their owner may enter."""
    return [folder for folder in path.parents if not folder.stat().st_mode & 0o001]


def _give(folder: Path, user: int) -> None:
    """Let the user enter the folder and own its subfolders; the folder, lock and program stay root's."""
    folder.chmod(0o711)
    for entry in [each for each in folder.iterdir() if each.is_dir()]:
        for each in (entry, *entry.rglob("*")):
            os.chown(each, user, user)
            each.chmod(0o700 if each.is_dir() else 0o600)
