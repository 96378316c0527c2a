"""Find a Chromium, and start it with a throw-away profile."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.browser.environment import browser_environment
from connector.browser.installed import Browser, find_browser
from connector.browser.throwaway import throw_away_folder
from connector.errors import BrowserUnavailableError, ExtraMissingError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Playwright

__all__ = ["Browser", "find_browser", "open_browser", "require_playwright"]

_log = logging.getLogger(__name__)

_SWITCHES = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--test-type",  # or the window warns of the host rules, and of a missing sandbox
    "--window-size=1100,900",
)
_PREFERENCES = {
    "autofill": {"credit_card_enabled": False, "profile_enabled": False},
    "credentials_enable_service": False,
    "credentials_enable_autosignin": False,
    "net": {"network_prediction_options": 2},
    "profile": {"password_manager_enabled": False, "password_manager_leak_detection": False},
    "safebrowsing": {"enabled": False},
    "search": {"suggest_enabled": False},
    "signin": {"allowed": False},
    "translate": {"enabled": False},
}


@contextmanager
def open_browser(
    browser: Browser, *, headless: bool, english: bool = False, unreachable: str = ""
) -> Iterator[BrowserContext]:
    """Start a browser that knows nothing and forgets everything; close it and sweep up afterwards.

    Args:
        browser: from `find_browser`.
        headless: without a window.
        english: ask for pages in English, for whoever finds its way by their words.
        unreachable: host rules (`MAP host ~NOTFOUND`) for what must not be reached.

    Raises:
        connector.errors.BrowserUnavailableError: if it does not start.
        connector.errors.ExtraMissingError: without Playwright.
    """
    _require_display(headless)
    start_playwright = require_playwright()
    switches = [*_SWITCHES, *([f"--host-resolver-rules={unreachable}"] if unreachable else [])]
    with throw_away_folder() as folder, start_playwright() as playwright:
        options = _options(browser, folder, headless=headless, english=english) | {"args": switches}
        # Newer versions of Playwright can keep their own folder there too, for a sweep after a kill.
        if "artifacts_dir" in signature(playwright.chromium.launch_persistent_context).parameters:
            options["artifacts_dir"] = _made(folder / "artifacts")
        context = _launch(playwright, browser, options)
        try:
            yield context
        finally:
            _close(context)


def require_playwright() -> Any:
    """Return Playwright's `sync_playwright`.

    Raises:
        connector.errors.ExtraMissingError: if it is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ExtraMissingError(
            "Playwright, which drives the browser, is not installed",
            hint="Install it: pip install 'ormco-connector[browser]' (or go without a browser: --paste)",
        ) from None
    return sync_playwright


def _require_display(headless: bool) -> None:
    if headless or not sys.platform.startswith(("linux", "freebsd")):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise _no_display()


def _no_display() -> BrowserUnavailableError:
    return BrowserUnavailableError(
        "there is no display for a browser window",
        hint="Use --paste and open the link on another computer, or --headless with the credentials in the"
        " environment.",
    )


def _options(browser: Browser, folder: Path, *, headless: bool, english: bool) -> dict[str, Any]:
    preferences = _made(folder / "profile" / "Default") / "Preferences"
    preferences.write_text(json.dumps(_PREFERENCES), encoding="utf-8")
    options: dict[str, Any] = {
        "user_data_dir": folder / "profile",
        "executable_path": browser.path,
        "headless": headless,
        "env": browser_environment(os.environ, folder),
        "accept_downloads": False,
        # The driver shares the terminal's Ctrl-C; closing in order is for the process that was interrupted.
        "handle_sigint": False,
        # A person is not told that software tests their browser.
        "ignore_default_args": ["--enable-automation"],
        "color_scheme": "null",
        "reduced_motion": "null",
        "forced_colors": "null",
        "chromium_sandbox": not (hasattr(os, "geteuid") and os.geteuid() == 0),
    }
    if not headless:
        options["no_viewport"] = True
    if english:
        options["locale"] = "en-US"
    return options


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _launch(playwright: Playwright, browser: Browser, options: dict[str, Any]) -> BrowserContext:
    from playwright.sync_api import Error as PlaywrightError

    try:
        return playwright.chromium.launch_persistent_context(**options)
    except PlaywrightError as exc:
        if options["chromium_sandbox"] and "sandbox" in exc.message.lower():
            _log.warning("%s cannot use its sandbox on this system; it is started without", browser.name)
            return _launch(playwright, browser, options | {"chromium_sandbox": False})
        raise _not_started(browser, exc.message) from None


def _not_started(browser: Browser, report: str) -> BrowserUnavailableError:
    if any(words in report for words in ("Missing X server", "cannot open display", "ozone_platform")):
        return _no_display()
    return BrowserUnavailableError(
        f"{browser.name} ({browser.path}) did not start",
        hint="Try it by hand; set ORMCO_BROWSER to another Chrome or Chromium; or go without: --paste",
    )


def _close(context: BrowserContext) -> None:
    from playwright.sync_api import Error as PlaywrightError

    # It may be closed already, by a person or by a crash.
    with suppress(PlaywrightError):
        context.close()
