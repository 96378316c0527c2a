"""Capture of the redirect in a real Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connector.browser import find_browser, open_capture
from connector.browser.launch import open_browser
from connector.errors import AccountMismatchError
from tests.support.authorization_pages import (
    CODE,
    WAYS,
    AuthorizationPages,
    Trap,
    allow,
    browser_processes,
    foreign,
    landing_trap,
)
from tests.support.browsers import child_processes
from tests.support.keyboard import Keyboard

if TYPE_CHECKING:
    from playwright.sync_api import Page

Capture = Callable[..., str]


def test_without_the_capture_the_landing_site_is_reached(browser: str, pages: AuthorizationPages) -> None:
    """Without the interception the same browser reaches the trap, so a count of zero proves something."""
    with landing_trap() as trap, open_browser(find_browser(browser), headless=True) as context:
        pages.target = f"{foreign(trap)}?{CODE}"
        with contextlib.suppress(Exception):
            context.pages[0].goto(pages.authorize("302"))
    assert trap.connections > 0


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_redirecting_is_captured(
    way: str, capture: Capture, pages: AuthorizationPages, landing: str
) -> None:
    """For every kind of redirect the raw URL is captured, and no request leaves."""
    person = None if way == "302" else allow
    assert capture(pages.authorize(way), redirect_uri=landing, person=person) == pages.target


@pytest.mark.parametrize("query", ["code=a'b%2521c%2f%7E!+%20d", ""])
def test_captured_url_is_byte_for_byte_as_sent(
    query: str, capture: Capture, pages: AuthorizationPages, trap: Trap
) -> None:
    """Every character of the redirect URL comes back as the provider sent it."""
    pages.target = f"{foreign(trap)}?{query}"
    assert capture(pages.authorize("chain/4"), redirect_uri=foreign(trap)) == pages.target


@pytest.mark.parametrize(
    ("redirect_uri", "target"),
    [
        ("http://127.0.0.1:{port}/callback", "http://127.0.0.1:{port}/callback"),
        ("http://localhost:{port}/", "http://localhost:{port}"),
        ("http://landing.localhost:{port}/", "https://landing.localhost:{port}/other"),
        ("http://landing.localhost:{port}/", "http://www.landing.localhost:{port}/"),
        ("http://landing.localhost:{port}/", "http://landing.localhost.:{port}/"),
        ("http://landing.localhost:{port}/", "http://user:word@landing.localhost:{port}/"),
    ],
)
def test_redirect_uri_is_recognised_in_every_spelling(
    redirect_uri: str, target: str, capture: Capture, pages: AuthorizationPages, trap: Trap
) -> None:
    """On loopback, with another scheme, path or `www.`: the response is captured, and no request leaves."""
    pages.target = f"{target.format(port=trap.port)}?{CODE}"
    assert capture(pages.authorize("302"), redirect_uri=redirect_uri.format(port=trap.port)) == pages.target


def test_redirect_uri_on_the_providers_own_host(capture: Capture, pages: AuthorizationPages) -> None:
    """If the provider serves the redirect URI itself, its pages work and the code still stays here."""
    redirect_uri = f"{pages.url}/authorize/done"
    pages.target = f"{redirect_uri}?{CODE}"
    assert capture(pages.authorize("authorize"), redirect_uri=redirect_uri, person=allow) == pages.target
    assert "/authorize" in pages.asked
    assert not [path for path in pages.asked if "code=" in path or "done" in path]


def test_other_requests_to_the_landing_site_are_blocked_too(
    capture: Capture, pages: AuthorizationPages, landing: str
) -> None:
    """A resource of the landing site that the provider's page loads is no response, and not requested."""
    parts = "<img src='{0}?code=1'><link rel=preconnect href='{0}'><a href='{0}about'>About</a>"

    def person(page: Page) -> None:
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", parts.format(landing))
        page.get_by_role("link", name="About").click()
        page.get_by_role("heading", name="This page stays closed here").wait_for()
        page.go_back()
        allow(page)

    assert capture(pages.authorize("authorize"), redirect_uri=landing, person=person) == pages.target


def test_result_page_is_shown(capture: Capture, pages: AuthorizationPages, landing: str) -> None:
    """The person sees that access is allowed; the code is in no address bar, history or referrer."""
    seen: list[object] = []

    def person(page: Page) -> None:
        allow(page)
        page.get_by_role("heading", name="Access allowed").wait_for()
        seen.extend([page.url, page.title(), page.evaluate("document.referrer")])
        page.go_back()
        page.go_forward()
        seen.append(page.url)

    capture(pages.authorize("authorize"), redirect_uri=landing, person=person)
    assert seen == [landing, "Access allowed", "", landing]


def test_cancel_is_not_shown_as_access(capture: Capture, pages: AuthorizationPages, trap: Trap) -> None:
    """After *Cancel* the page does not claim that anything was allowed."""
    pages.target = foreign(trap)
    headings: list[str] = []

    def person(page: Page) -> None:
        page.get_by_role("button", name="Cancel").click()
        page.locator("[data-ormco-landing]").wait_for()
        headings.extend(page.get_by_role("heading").all_inner_texts())

    response = capture(pages.authorize("authorize"), redirect_uri=foreign(trap), person=person)
    assert (headings, "error=access_denied" in response) == (["Access was not allowed"], True)


def test_separate_browser_leaks_nothing(
    capture_alone: Capture,
    pages: AuthorizationPages,
    landing: str,
    monkeypatch: pytest.MonkeyPatch,
    temporary_folder: Path,
) -> None:
    """Beside an event loop, no secret and no request reaches its processes; no file and no thread is left."""
    monkeypatch.setenv("ORMCO_CLIENT_SECRET", "made-up-secret")
    monkeypatch.setenv("SOME_TOKEN", "made-up-token")
    seen: list[str] = []

    def person(page: Page) -> None:
        if Path("/proc/self/environ").exists():  # only Linux shows the environment of another process
            for process in {*browser_processes(page), *child_processes()}:
                names = (Path(f"/proc/{process}/{name}") for name in ("environ", "cmdline"))
                seen.extend(name.read_text("latin-1") for name in names)
            assert any("PATH=" in text for text in seen)
        allow(page)

    async def call() -> str:
        return capture_alone(pages.authorize("authorize"), redirect_uri=landing, person=person)

    assert asyncio.run(call()) == pages.target
    assert not [text for text in seen if "made-up" in text or "/authorize" in text]
    assert list(temporary_folder.iterdir()) == []
    assert "ormco-browser" not in [thread.name for thread in threading.enumerate()]


def test_open_capture_yields_the_response_and_raises_errors(
    browser: str, one_browser: None, pages: AuthorizationPages, landing: str
) -> None:
    """The block gets the redirect URL, and an error that it raises is passed on unchanged."""
    where: dict[str, Any] = {"redirect_uri": landing, "timeout": 60, "browser": browser}
    seen = []

    def connect() -> None:
        with open_capture(pages.authorize("302"), headless=True, **where) as redirect_url:
            seen.append(redirect_url)
            raise AccountMismatchError("another account")

    with pytest.raises(AccountMismatchError, match="another account"):
        connect()
    assert seen == [pages.target]


def test_visible_window(windowed: str, pages: AuthorizationPages, landing: str, display: None) -> None:
    """A window has the page in focus, not its address bar: no password goes to a search engine."""
    pages.more["typed"] = (
        "<input autofocus oninput=\"fetch('/key'); value === 'hush' && location.assign('/302')\">"
    )
    keyboard, captured = Keyboard(), threading.Event()

    def person() -> None:
        while not (captured.wait(0.5) or "/key" in pages.asked):
            if pages.asked:
                keyboard.type("hush")

    where: dict[str, Any] = {"redirect_uri": landing, "timeout": 60, "browser": windowed}
    typing = threading.Thread(target=person)
    typing.start()
    try:
        with open_capture(pages.authorize("typed"), **where) as redirect_url:
            assert redirect_url == pages.target
    finally:
        captured.set()
        typing.join()
