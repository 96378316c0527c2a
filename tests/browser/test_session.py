"""The events at the provider that end a browser session without the redirect, and those that do not."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error as PlaywrightError

from connector.browser import capture_redirect
from connector.errors import (
    BrowserUnavailableError,
    ConnectorError,
    NobodyActedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    WindowClosedError,
)
from tests.support.authorization_pages import LANDING, AuthorizationPages, allow, serve_pages
from tests.support.browsers import SharedBrowser, child_processes
from tests.support.tls import server_context

if TYPE_CHECKING:
    from playwright.sync_api import Page

Capture = Callable[..., str]


@pytest.mark.parametrize(
    ("page", "error", "words"),
    [
        ("status/400", ProviderErrorPageError, "Bad request"),
        ("home/error", ProviderErrorPageError, "unauthorized_client"),
        ("status/502", ProviderUnavailableError, "502"),
        ("status/429", ProviderUnavailableError, "429"),
    ],
)
def test_error_page_of_the_provider(
    page: str, error: type[ConnectorError], words: str, capture: Capture, pages: AuthorizationPages
) -> None:
    """A dead-end page ends the wait, and the error describes the page."""
    with pytest.raises(error, match=words) as caught:
        capture(pages.authorize(page))
    assert caught.value.retry_after == (7.0 if error is ProviderUnavailableError else None)


def test_sign_in_page_with_an_error_status_does_not_end_the_wait(
    capture: Capture, pages: AuthorizationPages, landing: str
) -> None:
    """A sign-in form that came with status 401 can be filled in again."""

    def person(page: Page) -> None:
        page.wait_for_timeout(1_000)  # longer than the wait for a page that fails
        page.get_by_role("link").click()

    assert capture(pages.authorize("refused"), redirect_uri=landing, person=person) == pages.target


def test_provider_that_cannot_be_reached(capture: Capture) -> None:
    """A provider that cannot be reached is distinguished from a person who does not act."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProviderUnavailableError, match="ERR_CONNECTION_REFUSED"):
        capture(f"http://127.0.0.1:{port}/authorize")


def test_nobody_acts(capture: Capture, pages: AuthorizationPages) -> None:
    """The wait ends, and says how long it was."""
    with pytest.raises(NobodyActedError, match=r"within 1\.5 seconds"):
        capture(pages.authorize("authorize"), timeout=1.5)


def test_long_wait_is_cheap(shared_browser: SharedBrowser) -> None:
    """A wait for a person checks the page at once and often, and then four times a second."""
    looks: list[float] = []

    def look() -> None:
        looks.append(time.monotonic())

    shared_browser.run(lambda session: session.wait_until(look, 2.5))
    assert looks[3] - looks[0] < 1
    assert len(looks) < 18


def test_window_closed(capture: Capture, pages: AuthorizationPages) -> None:
    """A closed window is a refusal in its own words."""
    with pytest.raises(WindowClosedError):
        capture(pages.authorize("authorize"), person=lambda page: page.close())


@pytest.mark.parametrize("command", ["Browser.crash", "Page.crash"])
def test_browser_crashes(command: str, capture: Capture, pages: AuthorizationPages) -> None:
    """A crash of the browser or of its page is not taken for a closed window."""

    def person(page: Page) -> None:
        browser = page.context.browser
        assert browser is not None
        if command == "Browser.crash":
            browser.new_browser_cdp_session().send(command)
        else:
            with suppress(PlaywrightError):  # it never returns
                page.goto("chrome://crash")

    with pytest.raises(BrowserUnavailableError, match="ended unexpectedly"):
        capture(pages.authorize("authorize"), person=person)


def test_page_that_hangs_after_an_aborted_navigation(capture: Capture, pages: AuthorizationPages) -> None:
    """A look at such a page, which is left of a renderer that died on its way to the next, has an end."""
    pages.responses["nothing"] = (204, {})
    pages.more["stuck"] = "<script>location = '/nothing'; setTimeout(() => { for (;;); })</script>"

    def person(page: Page) -> None:
        with suppress(PlaywrightError):
            page.goto(pages.authorize("stuck"), wait_until="commit")
        while True:  # a call without a time limit in Playwright
            page.locator("button").count()
            page.wait_for_timeout(50)

    with pytest.raises(BrowserUnavailableError, match="ended unexpectedly"):
        capture(pages.authorize("authorize"), person=person)


def test_exception_of_the_caller_is_passed_on(capture: Capture, pages: AuthorizationPages) -> None:
    """An exception of the caller's own code reaches the caller."""

    def person(page: Page) -> None:
        raise LookupError("a mistake in the test")

    with pytest.raises(LookupError, match="a mistake in the test"):
        capture(pages.authorize("authorize"), person=person)


NO_PAGES = {
    "a download": ({"Content-Disposition": "attachment; filename=a.bin"}, 200, "a file to download"),
    "another kind of file": ({"Content-Type": "application/json"}, 200, r"a file \(application/json\)"),
    "nothing": ({}, 204, r"nothing \(status 204\)"),
    "a redirect to nowhere": ({}, 302, r"a redirect to nowhere \(status 302\)"),
    "redirects in a circle": ({"Location": "/odd"}, 302, "redirects in a circle"),
}


@pytest.mark.parametrize(("headers", "status", "words"), list(NO_PAGES.values()), ids=list(NO_PAGES))
def test_response_that_is_not_a_page(
    headers: dict[str, str], status: int, words: str, capture: Capture, pages: AuthorizationPages
) -> None:
    """A download, a password dialog and the like are reported as what they are, not as a bad network."""
    pages.responses["odd"] = (status, headers)
    with pytest.raises(ProviderUnavailableError, match=words):
        capture(pages.authorize("odd"))


def test_password_dialog_is_reported(windowed: str, pages: AuthorizationPages) -> None:
    """A provider that asks in a dialog of the browser is reported; only a browser with windows has one."""
    pages.responses["odd"] = (401, {"WWW-Authenticate": "Basic realm=x"})
    with pytest.raises(ProviderUnavailableError, match="in a dialog of the browser"):
        capture_redirect(pages.authorize("odd"), redirect_uri=LANDING, headless=True, browser=windowed)


def test_certificate_that_is_not_trusted(capture: Capture, tmp_path: Path) -> None:
    """A certificate error says so, with what may be behind it."""
    context, _ = server_context(tmp_path)
    with serve_pages(context) as pages, pytest.raises(ProviderUnavailableError) as caught:
        capture(pages.authorize("authorize"))
    assert "its certificate is not trusted (ERR_CERT_AUTHORITY_INVALID)" in caught.value.message
    assert "proxy" in caught.value.hint


@pytest.mark.parametrize("is_busy", [False, True], ids=["person is done", "person acts"])
def test_driver_that_dies(
    is_busy: bool, capture_alone: Capture, pages: AuthorizationPages, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported at once, not when the time is over, nor as an error of the call that it ended."""
    before = child_processes()
    died: list[float] = []

    def person(page: Page) -> None:
        (driver,) = child_processes() - before
        os.kill(driver, signal.SIGKILL)
        died.append(time.monotonic())
        if is_busy:
            page.wait_for_timeout(5_000)

    with pytest.raises(BrowserUnavailableError, match="ended unexpectedly"):
        capture_alone(pages.authorize("authorize"), person=person)
    assert time.monotonic() - died[0] < 30  # a person has 60
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_driver_that_dies_while_a_page_loads(capture_alone: Capture) -> None:
    """The error does not blame the provider."""
    before = child_processes()

    def kill(listener: socket.socket) -> None:
        with listener.accept()[0]:
            (driver,) = child_processes() - before
            os.kill(driver, signal.SIGKILL)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        killer = threading.Thread(target=kill, args=(listener,))
        killer.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/authorize"
        with pytest.raises(BrowserUnavailableError, match="ended unexpectedly"):
            capture_alone(url)
        killer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="a program of a shell's")
def test_driver_that_dies_while_the_browser_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright may raise an error of no class of its own then; ours has one."""
    monkeypatch.setenv("ORMCO_BROWSER_SANDBOX", "off")  # or the driver could not be killed from there
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\nkill -9 $PPID\n")
    program.chmod(0o755)
    with pytest.raises(BrowserUnavailableError, match="did not start"):
        capture_redirect("http://127.0.0.1:9/", redirect_uri=LANDING, headless=True, browser=str(program))


def test_failure_elsewhere_is_ignored(capture: Capture, pages: AuthorizationPages, landing: str) -> None:
    """A person may go to a page that fails, and come back: only the provider's own failure ends the flow."""
    pages.responses["file"] = (200, {"Content-Disposition": "attachment"})
    with serve_pages() as other:
        missing = f"http://localhost:{other.url.rpartition(':')[2]}/status/500"

        def person(page: Page) -> None:
            for url in ("http://127.0.0.1:9/", missing, pages.authorize("file")):
                with suppress(PlaywrightError):
                    page.goto(url)
                page.wait_for_timeout(600)  # longer than the wait for a page that fails
                page.goto(pages.authorize("authorize"))
            for url in ("http://127.0.0.1:9/", pages.authorize("status/502"), "chrome://crash"):
                with suppress(PlaywrightError):
                    page.context.new_page().goto(url)
                page.wait_for_timeout(600)
            page.bring_to_front()
            allow(page)

        url = pages.authorize("authorize")
        assert capture(url, redirect_uri=landing, person=person) == pages.target
