"""The ways a visit to the provider ends without the redirect."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error as PlaywrightError

from connector.errors import (
    BrowserUnavailableError,
    ConnectorError,
    NobodyActedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    WindowClosedError,
)
from tests.support.authorization_pages import CODE, AuthorizationPages, Trap, foreign

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
    """A page from which no way leads back ends the wait, with what the page says."""
    with pytest.raises(error, match=words) as caught:
        capture(pages.authorize(page), redirect_uri="https://landing.test/")
    assert caught.value.retry_after == (7.0 if error is ProviderUnavailableError else None)


def test_sign_in_page_with_an_error_status_is_no_end(
    capture: Capture, pages: AuthorizationPages, trap: Trap
) -> None:
    """A sign-in form that came with status 401 can be filled in again."""
    pages.target = f"{foreign(trap)}?{CODE}"

    def person(page: Page) -> None:
        page.wait_for_timeout(2_500)
        page.get_by_role("link").click()

    assert capture(pages.authorize("refused"), redirect_uri=foreign(trap), person=person) == pages.target


def test_provider_that_cannot_be_reached(capture: Capture) -> None:
    """A provider at which nobody answers is told apart from a person who does not act."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProviderUnavailableError, match="ERR_CONNECTION_REFUSED"):
        capture(f"http://127.0.0.1:{port}/authorize", redirect_uri="https://landing.test/")


def test_nobody_acts(capture: Capture, pages: AuthorizationPages) -> None:
    """The wait ends, and says how long it was."""
    with pytest.raises(NobodyActedError, match=r"within 1\.5 seconds"):
        capture(pages.authorize("authorize"), redirect_uri="https://landing.test/", timeout=1.5)


def test_window_closed(capture: Capture, pages: AuthorizationPages) -> None:
    """A closed window is a refusal in its own words."""
    with pytest.raises(WindowClosedError):
        capture(
            pages.authorize("authorize"),
            redirect_uri="https://landing.test/",
            person=lambda page: page.close(),
        )


@pytest.mark.parametrize("command", ["Browser.crash", "Page.crash"])
def test_browser_crashes(command: str, capture_alone: Capture, pages: AuthorizationPages) -> None:
    """A crash of the browser or of its page is not taken for a closed window."""

    def person(page: Page) -> None:
        browser = page.context.browser
        assert browser is not None
        if command == "Browser.crash":
            browser.new_browser_cdp_session().send(command)
        else:
            with suppress(PlaywrightError):  # it never answers
                page.goto("chrome://crash")

    with pytest.raises(BrowserUnavailableError, match="ended unexpectedly"):
        capture_alone(pages.authorize("authorize"), redirect_uri="https://landing.test/", person=person)


def test_error_of_the_person_comes_through(capture: Capture, pages: AuthorizationPages) -> None:
    """What a person's own code raises reaches whoever wrote it."""

    def person(page: Page) -> None:
        raise LookupError("a mistake in the test")

    with pytest.raises(LookupError, match="a mistake in the test"):
        capture(pages.authorize("authorize"), redirect_uri="https://landing.test/", person=person)
