"""OrmcoDigital's page in the browser: reach it, record its server's responses, and report its failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError

from connector.browser import session_options as options
from connector.browser.pages.screen import LONGEST_WORDS, visible
from connector.clock import Clock
from connector.errors import (
    CodeRefusedError,
    ConnectorError,
    PageChangedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    RequestExpiredError,
)

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Locator, Page, Request, Response

    from connector.browser.session import BrowserSession

__all__ = [
    "BY_HAND",
    "PageTraffic",
    "ProfilePage",
    "failed",
    "not_as_known",
    "session_ended",
    "update_refused",
]

_AGAIN = "Start again"
BY_HAND = "Do it by hand, by the guide's steps 1 to 10; the code page shows the code in the dialog's form."


@dataclass(slots=True)
class PageTraffic:
    """The page's requests, and the server's responses, during an action.

    Attributes:
        asked: whether a request was sent.
    """

    asked: bool = False
    statuses: list[int] = field(default_factory=list)

    @property
    def failure(self) -> int | None:
        """The first status that is an error."""
        return next((status for status in self.statuses if status >= 400), None)


class ProfilePage:
    """OrmcoDigital in the first page of a browser.

    Attributes:
        alert: the text of the page's last JavaScript dialog.
    """

    def __init__(
        self,
        session: BrowserSession,
        *,
        person: bool,
        timeout: float,
        progress: Callable[[str], object],
    ) -> None:
        self.session = session
        self.progress = progress
        self.alert: str = ""
        self._person = person
        self._timeout = timeout
        session.context.on("dialog", self._accept)

    def reach(
        self, shown: Callable[[Page], Locator], towards: Callable[[Page], str], missing: Callable[[], str]
    ) -> Page:
        """Take steps on OrmcoDigital's page until it shows an element; return the page.

        Args:
            shown: finds the element.
            towards: takes the next step on a page; returns a name for it, "" if there is nothing to do, or
                "person" if a person has to act.
            missing: the name of the missing element, for the error.
        """
        clock, done = Clock(), set[str]()
        patience, again = clock.deadline(options.PATIENCE), clock.deadline(0)

        def is_there() -> bool:
            nonlocal patience, again
            if visible(shown(self.session.page)):
                return True
            step = self._take(towards) if again.passed else ""
            if step and step not in done:
                patience = clock.deadline(options.PATIENCE)
            if step and step != "person":
                done.add(step)
                again = clock.deadline(options.AGAIN)
            if patience.passed:
                if not self._person:
                    raise not_as_known(missing())
                self.progress(f"by hand: {missing()}")
                patience = clock.deadline(self._timeout)
            return False

        self.session.wait_until(is_there)
        return self.session.page

    @contextmanager
    def listening(self) -> Iterator[PageTraffic]:
        """Record the server's responses to OrmcoDigital's page, and the page's JavaScript dialogs."""
        page, traffic, self.alert = self.session.page, PageTraffic(), ""

        def counts(request: Request) -> bool:
            # Background requests of the page itself are ignored.
            asked = request.resource_type == "document" or request.method != "GET"
            return asked and urlsplit(request.url).netloc == urlsplit(page.url).netloc

        def note_request(request: Request) -> None:
            traffic.asked = traffic.asked or counts(request)

        def note_response(response: Response) -> None:
            if counts(response.request) and not 300 <= response.status < 400:
                traffic.statuses.append(response.status)

        page.on("request", note_request)
        page.on("response", note_response)
        try:
            yield traffic
        finally:
            page.remove_listener("request", note_request)
            page.remove_listener("response", note_response)

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Replace Playwright's errors, which quote the text to fill in, by a `PageChangedError`."""
        try:
            yield
        except PlaywrightError as exc:
            self.session.settle(exc)
            self.session.check(at_once=True)
            raise not_as_known("field or button that can be used at this step") from None

    def _take(self, towards: Callable[[Page], str]) -> str:
        # A page that is navigating has nothing to press.
        with suppress(PlaywrightError):
            return towards(self.session.page)
        return ""

    def _accept(self, dialog: Dialog) -> None:
        self.alert = " ".join(dialog.message.split())[:LONGEST_WORDS]
        dialog.accept()


def not_as_known(missing: str) -> PageChangedError:
    """Return the error for a page that lacks an element that the guide names."""
    return PageChangedError(f"OrmcoDigital's page has no {missing}", hint=BY_HAND)


def session_ended() -> RequestExpiredError:
    """Return the error for a session at OrmcoDigital that ended."""
    return RequestExpiredError(
        "the session at OrmcoDigital ended before the profile was saved, and the code is lost",
        hint=f"{_AGAIN}, and allow access within a few minutes.",
    )


def failed(what: str, status: int) -> ConnectorError:
    """Return the error for an error status of OrmcoDigital."""
    if status in (401, 403, 419, 440):
        return session_ended()
    if status < 500:
        return ProviderErrorPageError(
            f"OrmcoDigital refused {what} (status {status}); the profile is not saved", hint=f"{_AGAIN}."
        )
    return ProviderUnavailableError(
        f"OrmcoDigital failed at {what} (status {status}); the profile is not saved",
        hint=f"Wait a little. {_AGAIN}.",
    )


def update_refused(words: str) -> ConnectorError:
    """Return the error for an *Update* that the page refused, with its words."""
    message = f'OrmcoDigital did not save the profile: "{words}"'
    if any(word in words.lower() for word in ("code", "authoriz", "3shape", "3 shape")):
        return CodeRefusedError(message, hint=f"{_AGAIN}: a code is valid once, for about three minutes.")
    return ProviderErrorPageError(message, hint=f"Correct it on My Profile, and select Update. {_AGAIN}.")
