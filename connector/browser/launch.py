"""Start a browser with a temporary profile, and see beforehand whether it can be started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.browser.display import require_display
from connector.browser.environment import browser_environment
from connector.browser.installed import Browser, find_browser
from connector.browser.sandboxing import is_switched_off, sandboxed
from connector.browser.temporary_profile import temporary_folder
from connector.errors import BrowserUnavailableError, ExtraMissingError
from connector.hints import install
from connector.process import child_environment

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Playwright

__all__ = ["check_browser", "context_options", "open_browser", "ready_browser", "start_playwright"]

_SWITCHES = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--test-type",  # or the window warns of the host rules
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
_STARTING = threading.Lock()


def ready_browser(setting: str | None = None, *, headless: bool = False) -> Browser:
    """Return the browser to use, without starting it.

    Args:
        setting: the path of a program (`ORMCO_BROWSER`), or its name; None to look for one.
        headless: without a window.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no browser, or no display for its window.
        connector.errors.ExtraMissingError: without Playwright.
    """
    _require_playwright()
    browser = find_browser(setting, headless=headless)
    if not headless:
        require_display()
    return browser


def check_browser(setting: str | None = None, *, headless: bool = False) -> Browser:
    """See whether a browser could be opened, before anybody is asked for anything.

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
        raise _not_started(browser, "")
    return browser


@contextmanager
def open_browser(
    browser: Browser,
    *,
    headless: bool,
    english: bool = False,
    unreachable: str = "",
    playwright: Playwright | None = None,
) -> Iterator[BrowserContext]:
    """Start a browser that knows nothing and forgets everything; close it and sweep up afterwards.

    Args:
        browser: from `find_browser`.
        headless: without a window.
        english: ask for pages in English, for whoever finds its way by their words.
        unreachable: host rules (`MAP host ~NOTFOUND`) for what must not be reached.
        playwright: one that runs in this thread already; None to start one.

    Raises:
        connector.errors.BrowserUnavailableError: if it does not start.
        connector.errors.ExtraMissingError: without Playwright.
    """
    from playwright.sync_api import Error as PlaywrightError

    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        playwright = playwright or stack.enter_context(start_playwright(folder))
        context = _launch(playwright, browser, folder, headless, english, unreachable)
        try:
            yield context
        finally:
            # It may be closed already, by a person or by a crash.
            with suppress(PlaywrightError):
                context.close()


@contextmanager
def start_playwright(folder: Path) -> Iterator[Playwright]:
    """Start the program that drives the browser, without the secrets in this process's environment.

    Args:
        folder: for its temporary files.

    Raises:
        connector.errors.ExtraMissingError: without Playwright.
    """
    _require_playwright()
    from playwright.sync_api import sync_playwright

    with _driver_environment(browser_environment(os.environ, folder)):
        starting = sync_playwright()
        playwright = starting.__enter__()
    try:
        yield playwright
    finally:
        starting.__exit__(None, None, None)


def context_options(*, english: bool) -> dict[str, Any]:
    """Return Playwright's options for a page that looks and behaves like anybody's."""
    plain: dict[str, Any] = {
        "accept_downloads": False,
        "color_scheme": "null",
        "reduced_motion": "null",
        "forced_colors": "null",
    }
    return plain | ({"locale": "en-US"} if english else {})


def _require_playwright() -> None:
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        raise ExtraMissingError(
            "a browser needs Playwright, which is not installed",
            hint=f"{install('browser')}; or go without a browser, by a paste",
        ) from None


@contextmanager
def _driver_environment(environment: dict[str, str]) -> Iterator[None]:
    """Have the driver that this thread starts get these variables alone.

    Playwright hands the whole environment to its driver and has no option for it; changing `os.environ`
    instead would take the settings away from all other threads.
    """
    transport = _transport_module()
    with _STARTING:
        usual, thread = transport.get_driver_env, threading.get_ident()

        def driver_env() -> dict[str, str]:
            found: dict[str, str] = usual()
            if threading.get_ident() != thread:
                return found
            return environment | {name: value for name, value in found.items() if name.startswith("PW_")}

        transport.get_driver_env = driver_env
        try:
            yield
        finally:
            transport.get_driver_env = usual


def _transport_module() -> Any:
    for name in ("playwright._impl.transport", "playwright._impl._transport"):
        if hasattr(sys.modules.get(name), "get_driver_env"):
            return sys.modules[name]
    raise BrowserUnavailableError(
        "this version of Playwright would hand the settings' secrets to its driver",
        hint="Install a version that this package was tested with.",
    )


def _launch(
    playwright: Playwright, browser: Browser, folder: Path, headless: bool, english: bool, unreachable: str
) -> BrowserContext:
    from playwright.sync_api import Error as PlaywrightError

    profile, temporary = folder / "profile", folder / "tmp"
    profile.mkdir(mode=0o700)
    (profile / "Default").mkdir()
    temporary.mkdir(mode=0o700)
    (profile / "Default" / "Preferences").write_text(json.dumps(_PREFERENCES), encoding="utf-8")
    options = context_options(english=english) | ({} if headless else {"no_viewport": True})
    try:
        return playwright.chromium.launch_persistent_context(
            profile,
            executable_path=sandboxed(browser, folder),
            chromium_sandbox=not is_switched_off(),
            headless=headless,
            env=browser_environment(os.environ, temporary),  # type: ignore[arg-type]
            # The driver shares the terminal's Ctrl-C; who was interrupted is who closes in order.
            handle_sigint=False,
            # A person is not told that software tests their browser.
            ignore_default_args=["--enable-automation"],
            args=[*_SWITCHES, *([f"--host-resolver-rules={unreachable}"] if unreachable else [])],
            **options,
        )
    except PlaywrightError as exc:
        raise _not_started(browser, exc.message) from None


def _not_started(browser: Browser, report: str) -> BrowserUnavailableError:
    if "sandbox" in report.lower() and not is_switched_off():
        return BrowserUnavailableError(
            f"{browser.name} ({browser.path}) cannot use its sandbox on this system",
            hint="Allow it unprivileged user namespaces; or, in a container that nothing else runs in, set"
            " ORMCO_BROWSER_SANDBOX=off: then a page that breaks out of the browser can do what you can.",
        )
    return BrowserUnavailableError(
        f"{browser.name} ({browser.path}) did not start",
        hint="Try it by hand; set ORMCO_BROWSER to another Chrome or Chromium; or go without, by a paste.",
    )
