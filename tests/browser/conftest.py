"""Fixtures for tests in a real browser."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser as PageBrowser
from playwright.sync_api import Error as PlaywrightError

from connector.browser import capture_redirect, session_options
from connector.browser.session import BrowserSession
from tests.support.authorization_pages import (
    CODE,
    LANDING,
    AuthorizationPages,
    Trap,
    foreign,
    landing_trap,
    serve_pages,
)
from tests.support.browsers import QUICK, SharedBrowser, quick_browser, windowed_browser

USUAL = {name: getattr(session_options, name) for name in QUICK}


@pytest.fixture(scope="session")
def browser() -> str:
    """The path of a browser without windows, which starts in half the time if it has a build of its own."""
    return quick_browser()


@pytest.fixture(scope="session")
def windowed() -> str:
    """The path of a browser that has windows."""
    return windowed_browser()


@pytest.fixture(scope="session")
def shared_browser() -> Iterator[SharedBrowser]:
    """One browser for all tests of this process that do not prove how it is started."""
    shared = SharedBrowser(quick_browser())
    yield shared
    shared.end()


@pytest.fixture(scope="module")
def chromium(shared_browser: SharedBrowser) -> Iterator[PageBrowser]:
    """The shared browser, for tests that use Playwright themselves.

    For one module: meanwhile no other event loop can run in this thread.
    """
    with shared_browser.in_use():
        yield shared_browser.browser


@pytest.fixture
def one_browser(shared_browser: SharedBrowser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the product work in the shared browser, in a fresh profile."""
    for module in ("browser.capture", "browser.applications", "browser.profile", "testing.check"):
        monkeypatch.setattr(f"connector.{module}.BrowserThread", shared_browser.thread)
    monkeypatch.setattr(shared_browser, "prepare", lambda session: None)
    for name, seconds in QUICK.items():
        monkeypatch.setattr(f"connector.browser.session_options.{name}", seconds)


@pytest.fixture
def usual_timeouts(one_browser: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give pages that show nothing as much time as the product does."""
    for name, seconds in USUAL.items():
        monkeypatch.setattr(f"connector.browser.session_options.{name}", seconds)


@pytest.fixture
def closing(shared_browser: SharedBrowser, one_browser: None) -> None:
    """Close the window, as a person would, as soon as a page has loaded."""

    def close_when_loaded(session: BrowserSession) -> None:
        session.context.pages[0].on("load", lambda page: page.close())

    shared_browser.prepare = close_when_loaded


@pytest.fixture
def crashing(shared_browser: SharedBrowser, one_browser: None) -> None:
    """Crash the renderer of the first page as soon as the page has loaded."""

    def crash_when_loaded(session: BrowserSession) -> None:
        page = session.context.pages[0]

        def crash(response: object) -> None:
            devtools = session.context.new_cdp_session(page)
            with suppress(PlaywrightError):  # it never returns
                devtools.send("Page.crash")

        page.once("load", crash)

    shared_browser.prepare = crash_when_loaded


@pytest.fixture
def pages() -> Iterator[AuthorizationPages]:
    """An authorization server; each test sets the address that it redirects to."""
    with serve_pages() as served:
        yield served


@pytest.fixture
def trap() -> Iterator[Trap]:
    """A server in place of the landing site, which nothing may have reached by the end of a test."""
    with landing_trap() as trap:
        yield trap
        assert trap.connections == 0


@pytest.fixture
def landing(pages: AuthorizationPages, trap: Trap) -> str:
    """A redirect URI on another host than the provider's, to which the pages redirect with a code."""
    pages.target = f"{foreign(trap)}?{CODE}"
    return foreign(trap)


@pytest.fixture
def capture(browser: str, one_browser: None) -> Callable[..., str]:
    """`capture_redirect`, in the shared browser, without a window."""
    return partial(capture_redirect, redirect_uri=LANDING, headless=True, timeout=60, browser=browser)


@pytest.fixture
def capture_alone(browser: str) -> Callable[..., str]:
    """`capture_redirect`, in a browser of its own, without a window."""
    return partial(capture_redirect, redirect_uri=LANDING, headless=True, timeout=60, browser=browser)


@pytest.fixture
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for temporary files, here and in child processes; its path is short, for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    folder.chmod(0o711)  # root starts browsers as another user
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("TEMP", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def display(windowed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A display without a viewer."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb: a visible browser cannot be tried here")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x1000x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        monkeypatch.setenv("DISPLAY", f":{server.stdout.readline().strip()}")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        yield
        server.terminate()
