"""Catch the redirect inside the browser and answer it there.

A page's own routes never see the target of a redirect, so this is done by DevTools' `Fetch` on the whole
browser, popups and new tabs included. DevTools is Chromium's; other browsers are not supported.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from playwright.sync_api import Error as PlaywrightError

from connector.browser.landing import HEADERS, Landing, landing_page
from connector.browser.redirect_place import (
    RedirectPlace,
    answer_url,
    answer_values,
    carries_answer,
    same_address,
)
from connector.errors import BrowserUnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Response

__all__ = ["RedirectTrap"]


class RedirectTrap:
    """Holds back every request to the landing site from one browser, and shows a page of ours instead.

    Attributes:
        answer: the redirect URL, raw, once the provider has sent the browser there.
        shown: whether the page of ours has been shown since.
        open_pages: the ids of the pages that are open now, as DevTools tells them.
        browser_process: the number of the browser's own process.
    """

    def __init__(self, context: BrowserContext, place: RedirectPlace) -> None:
        self.answer: str | None = None
        self.shown = False
        self.open_pages: set[str] = set()
        self._context = context
        self._place = place
        self._page = b""
        self._location: str | None = None
        browser = context.browser
        if browser is None:
            raise BrowserUnavailableError(
                "this version of Playwright gives no access to the whole browser",
                hint="Update it: pip install --upgrade 'ormco-connector[browser]'",
            )
        context.on("response", self._note_location)
        self._devtools = browser.new_browser_cdp_session()
        self._devtools.on("Target.targetCreated", self._note_opened)
        self._devtools.on("Target.targetDestroyed", self._note_closed)
        self._devtools.on("Fetch.requestPaused", self._on_paused)
        self._devtools.send("Target.setDiscoverTargets", {"discover": True})
        self._devtools.send("Fetch.enable", {"patterns": [{"urlPattern": each} for each in place.patterns]})
        processes = self._devtools.send("SystemInfo.getProcessInfo")["processInfo"]
        self.browser_process = next(int(each["id"]) for each in processes if each["type"] == "browser")

    def show(self, landing: Landing, detail: str = "") -> None:
        """Change what the page of ours says."""
        self._page = landing_page(landing, detail)
        page = self._landing()
        if page is not None:
            page.goto(self._place.url, wait_until="load", timeout=5_000)

    def _landing(self) -> Page | None:
        """Return the page in which the redirect ended, if it is still open."""
        return next((page for page in self._context.pages if same_address(page.url, self._place.url)), None)

    def _note_opened(self, event: dict[str, Any]) -> None:
        if event["targetInfo"]["type"] == "page":
            self.open_pages.add(event["targetInfo"]["targetId"])

    def _note_closed(self, event: dict[str, Any]) -> None:
        self.open_pages.discard(event["targetId"])

    def _note_location(self, response: Response) -> None:
        location = response.headers.get("location", "")
        # What a server sends need not be an address.
        with suppress(ValueError):
            if 300 <= response.status < 400 and self._place.holds(urljoin(response.url, location)):
                self._location = location

    def _on_paused(self, event: dict[str, Any]) -> None:
        # A page that closes in the middle takes its requests along.
        with suppress(PlaywrightError):
            self._decide(event)

    def _decide(self, event: dict[str, Any]) -> None:
        request = event["request"]
        url, form = request["url"] + request.get("urlFragment", ""), request.get("postData", "")
        if not self._place.holds(url):
            self._go_on(event)
        elif event["resourceType"] != "Document":
            self._fulfill(event, 204, {})
        elif self.answer is not None and not carries_answer(url):
            self._fulfill(event, 200, HEADERS, self._page)
            self.shown = True
        elif self._place.is_answer(url, form):
            self._keep(answer_url(url, form, self._location))
            # Once more round: so the code is in no address bar, no history and no referrer.
            self._fulfill(event, 303, {"Location": self._place.url, **HEADERS})
        elif self._place.shared:
            self._go_on(event)
        else:
            self._fulfill(event, 200, HEADERS, landing_page(Landing.ELSEWHERE))

    def _keep(self, answer: str) -> None:
        if self.answer is None:
            self.answer = answer
            self._page = landing_page(_first_words(answer))

    def _go_on(self, event: dict[str, Any]) -> None:
        self._devtools.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    def _fulfill(
        self, event: dict[str, Any], status: int, headers: dict[str, str], body: bytes = b""
    ) -> None:
        answer = {
            "requestId": event["requestId"],
            "responseCode": status,
            "responseHeaders": [{"name": name, "value": value} for name, value in headers.items()],
            "body": b64encode(body).decode("ascii"),
        }
        self._devtools.send("Fetch.fulfillRequest", answer)


def _first_words(redirect_url: str) -> Landing:
    values = answer_values(redirect_url)
    if "access_denied" in values.get("error", []):
        return Landing.DENIED
    return Landing.ALLOWED if "code" in values and "error" not in values else Landing.FAILED
