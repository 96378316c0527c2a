"""Start a browser with a temporary profile."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.browser.installed import Browser, home_folder
from connector.browser.readiness import is_root, is_sandbox_off, not_started, require_playwright, sandboxed
from connector.errors import BrowserUnavailableError
from connector.process import child_environment
from connector.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Playwright

__all__ = ["context_options", "crashed", "is_gone", "open_browser"]

_SWITCHES = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--test-type",  # otherwise the window shows a warning about the host rules
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


@contextmanager
def open_browser(
    browser: Browser,
    *,
    headless: bool,
    english: bool = False,
    unreachable: str = "",
    playwright: Playwright | None = None,
) -> Iterator[BrowserContext]:
    """Start a browser with a temporary profile; close it and remove the profile afterwards.

    Args:
        browser: from `find_browser`.
        headless: whether the browser runs without a window.
        english: whether to ask for pages in English, for automation that finds elements by their words.
        unreachable: host rules (`MAP host ~NOTFOUND`) for hosts that must not be reached.
        playwright: an instance that runs in this thread already; None to start one.

    Raises:
        connector.errors.BrowserUnavailableError: if the browser does not start.
        connector.errors.ExtraMissingError: if Playwright is not installed.
    """
    require_playwright()
    from playwright.sync_api import Error as PlaywrightError

    with ExitStack() as stack:
        folder = _make_folder(stack)
        playwright = playwright or stack.enter_context(_start_playwright(folder))
        context = _launch(playwright, browser, folder, headless, english, unreachable)
        try:
            yield context
        finally:
            # It may be closed already, by a person or by a crash.
            with suppress(PlaywrightError):
                context.close()


def _make_folder(stack: ExitStack) -> Path:
    try:
        return stack.enter_context(temporary_folder("ormco-browser-"))
    except OSError as exc:
        raise BrowserUnavailableError(
            f"no folder for the browser can be made in {tempfile.gettempdir()}: {exc.strerror}",
            hint="Free some space there, or set TMPDIR (on Windows: TEMP) to another folder.",
        ) from None


def is_gone(error: BaseException) -> bool:
    """Return whether a Playwright error means that a browser, its page or its driver is gone.

    Playwright has no public class for that, and raises a bare `Exception` if the driver dies at its start.
    """
    ours = type(error) is Exception or type(error).__module__.startswith("playwright.")
    return ours and any(words in str(error) for words in ("has been closed", "Connection closed"))


@contextmanager
def _start_playwright(folder: Path) -> Iterator[Playwright]:
    """Start the program that drives the browser, without the secrets in this process's environment."""
    from playwright.sync_api import sync_playwright

    with _driver_environment(_environment(folder)):
        starting = sync_playwright()
        playwright = starting.__enter__()
    asyncio.get_running_loop().set_exception_handler(_report)
    try:
        yield playwright
    finally:
        starting.__exit__(None, None, None)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print nothing about a driver that died: the caller gets a `BrowserUnavailableError`."""
    error = context.get("exception")
    if error is None or not is_gone(error):
        loop.default_exception_handler(context)


def context_options(*, english: bool) -> dict[str, Any]:
    """Return Playwright's options for a page that behaves as in an ordinary browser."""
    plain: dict[str, Any] = {
        "accept_downloads": False,
        "color_scheme": "null",
        "reduced_motion": "null",
        "forced_colors": "null",
    }
    return plain | ({"locale": "en-US"} if english else {})


@contextmanager
def _driver_environment(environment: dict[str, str]) -> Iterator[None]:
    """Give only these variables to the driver that this thread starts.

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
    environment = _environment(temporary)
    authority = Path(environment.get("XAUTHORITY") or home_folder() / ".Xauthority")
    if is_root() and authority.is_file():  # only root can read root's key to the display
        environment["XAUTHORITY"] = str(shutil.copyfile(authority, temporary / "x-authority"))
    try:
        return playwright.chromium.launch_persistent_context(
            profile,
            executable_path=sandboxed(browser, folder),
            chromium_sandbox=not is_sandbox_off(),
            headless=headless,
            env=environment,  # type: ignore[arg-type]
            # The driver also gets the terminal's Ctrl-C; the interrupted caller closes it in order.
            handle_sigint=False,
            # Hide the banner that says that the browser is controlled by test software.
            ignore_default_args=["--enable-automation"],
            args=[*_SWITCHES, *([f"--host-resolver-rules={unreachable}"] if unreachable else [])],
            **options,
        )
    except Exception as exc:
        if not isinstance(exc, PlaywrightError) and not is_gone(exc):
            raise
        raise not_started(browser, str(exc)) from None


def _environment(folder: Path) -> dict[str, str]:
    """Return only the environment variables that a browser needs, so no secret."""
    kept = child_environment(os.environ)
    # The user that runs the browser for root cannot enter root's home folder.
    if is_root() or ("HOME" not in kept and sys.platform != "win32"):
        kept["HOME"] = str(folder)
    # A crash report contains memory, which may contain a code.
    kept["BREAKPAD_DUMP_LOCATION"] = str(folder)
    # The browser creates a socket there, and a socket's path is limited to about 100 characters.
    if sys.platform == "linux" and len(str(folder)) < 60:
        kept["TMPDIR"] = str(folder)
    return kept


def crashed() -> BrowserUnavailableError:
    """Return the error for a browser, its page or its driver that ended unexpectedly."""
    return BrowserUnavailableError(
        "the browser ended unexpectedly",
        hint="Start again; if it happens again, set ORMCO_BROWSER to another Chrome, or connect without one.",
    )
