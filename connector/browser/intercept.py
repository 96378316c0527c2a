"""Intercept the redirect inside the browser, and show a local page instead of the landing site.

Playwright's routes never see the target of a redirect, so this uses DevTools' `Fetch` on the whole browser,
popups and new tabs included. DevTools is Chromium's; other browsers are not supported.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Set
from contextlib import suppress
from enum import Enum
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from connector.browser.redirect_target import (
    RedirectTarget,
    has_response,
    response_url,
    response_values,
    same_address,
)

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, CDPSession, Response

__all__ = ["PageTargets", "RedirectInterceptor", "ResultPage"]

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}

_CLOSE = "You can close this window."


class ResultPage(Enum):
    """The content of the local page: its kind, title, text, and the person's next step."""

    ALLOWED = (
        "wait",
        "Access allowed",
        "The connection is now being finished in the program that opened this window.",
        _CLOSE,
    )
    CONNECTED = ("good", "You are connected", "Ormco is now connected to your account.", _CLOSE)
    DENIED = (
        "bad",
        "Access was not allowed",
        "Ormco was not given access to your account. To allow it after all, start again.",
        _CLOSE,
    )
    FAILED = (
        "bad",
        "The connection did not work",
        "The program that opened this window shows the next step.",
        _CLOSE,
    )
    ELSEWHERE = (
        "wait",
        "This page stays closed here",
        "This window is only for allowing Ormco access to your account.",
        "Go back to the previous page to continue.",
    )

    def html(self, detail: str = "") -> bytes:
        """Return the page as UTF-8 HTML; `detail` is another sentence, as plain text without a secret."""
        words = dict(zip(("kind", "title", "text", "next"), self.value, strict=True)) | {"detail": detail}
        template = Template(files("connector.browser").joinpath("result_page.html").read_text("utf-8"))
        return template.substitute({name: html.escape(word) for name, word in words.items()}).encode()


class PageTargets:
    """The pages of one browser context, as DevTools sees them.

    Attributes:
        first: the id of the page that was open at the start; a page's main frame has the page's id.
        open: DevTools' `TargetInfo` of each open page, by its id.
        of_the_flow: the ids of the first page, of those that a person opened, and of those that the main
            frame of such a page opened. A window that a subframe opened, such as an advertisement, is not
            among them, and neither are the windows that it opens.
    """

    def __init__(self, context: BrowserContext, devtools: CDPSession) -> None:
        session = context.new_cdp_session(context.pages[0])
        info = session.send("Target.getTargetInfo")["targetInfo"]
        session.detach()
        self.first: str = info["targetId"]
        self.open: dict[str, dict[str, Any]] = {}
        self.of_the_flow: set[str] = set()
        self._context_id = info.get("browserContextId")
        devtools.on("Target.targetCreated", self._note)
        devtools.on("Target.targetInfoChanged", self._note)
        devtools.on("Target.targetDestroyed", self._forget)
        devtools.send("Target.setDiscoverTargets", {"discover": True})

    def _note(self, event: dict[str, Any]) -> None:
        info = event["targetInfo"]
        if info["type"] == "page" and info.get("browserContextId") == self._context_id:
            self.open[info["targetId"]] = info
            opener = info.get("openerFrameId")
            # Only main frames have a page's id; the opener itself may be closed already.
            if opener is None or opener in self.of_the_flow:
                self.of_the_flow.add(info["targetId"])

    def _forget(self, event: dict[str, Any]) -> None:
        self.open.pop(event["targetId"], None)


class RedirectInterceptor:
    """Intercepts every request of one browser to the landing site, and shows a local page instead.

    The authorization response is accepted only from the main frame of a page of this consent. A subframe, or
    a window that an advertisement opened, can request the redirect URI with any code: such requests are
    intercepted too, but their code is ignored.

    Attributes:
        response: the redirect URL, raw, once the provider has sent the browser there.
        shown: whether the local page has been shown since then.
    """

    def __init__(
        self,
        context: BrowserContext,
        target: RedirectTarget,
        *,
        devtools: CDPSession,
        page_targets: PageTargets,
        provider_hosts: Set[str | None],
    ) -> None:
        self.response: str | None = None
        self.shown: bool = False
        self._context = context
        self._target = target
        self._page_targets = page_targets
        self._provider_hosts = provider_hosts
        self._page = b""
        self._location = self._sender = ""
        self._devtools = devtools
        context.on("response", self._note_location)
        devtools.on("Fetch.requestPaused", self._on_paused)
        devtools.send("Fetch.enable", {"patterns": [{"urlPattern": each} for each in target.patterns]})

    def show(self, page: ResultPage, detail: str = "") -> None:
        """Show other content on the local page, if the window in which the redirect ended is still open."""
        self._page = page.html(detail)
        for each in self._context.pages:
            if same_address(each.url, self._target.url):
                each.goto(self._target.url, wait_until="load", timeout=5_000)
                return

    def _note_location(self, response: Response) -> None:
        if 300 <= response.status < 400:
            location = response.headers.get("location", "")
            # A server may send a value that is not an address.
            with suppress(ValueError):
                if self._target.covers(urljoin(response.url, location)):
                    self._location, self._sender = location, response.url

    def _on_paused(self, event: dict[str, Any]) -> None:
        from playwright.sync_api import Error as PlaywrightError

        # If a page closes meanwhile, its requests are gone.
        with suppress(PlaywrightError):
            self._respond(event)

    def _respond(self, event: dict[str, Any]) -> None:
        request, target = event["request"], self._target
        url, form = request["url"] + request.get("urlFragment", ""), request.get("postData", "")
        is_page = event["resourceType"] == "Document" and event.get("frameId") in self._page_targets.open
        brings_response = has_response(url, form)
        if is_page and self.response is not None and not has_response(url) and target.covers(url):
            self._fulfill(event, 200, _HEADERS, self._page)
            self.shown = True
        elif not target.covers(url) or (target.shared and not brings_response):
            self._devtools.send("Fetch.continueRequest", {"requestId": event["requestId"]})
        elif not is_page:  # a frame, an image or a script
            self._fulfill(event, 204, {})
        elif (brings_response or target.is_redirect_uri(url)) and self._is_of_this_consent(event):
            if self.response is None:
                self.response = response_url(url, form, self._location)
                self._page = _first_words(self.response).html()
            # Redirect once more, so that the code is in no address bar, no history and no referrer.
            self._fulfill(event, 303, {"Location": target.url, **_HEADERS})
        else:
            self._fulfill(event, 200, _HEADERS, ResultPage.ELSEWHERE.html())

    def _is_of_this_consent(self, event: dict[str, Any]) -> bool:
        """Return whether a page belongs to the flow, and was sent here by another site."""
        pages, page, is_redirected = self._page_targets, event["frameId"], "redirectedRequestId" in event
        before = urlsplit(str(pages.open[page]["url"])).hostname
        if pages.open[page].get("openerFrameId") is not None:
            return page in pages.of_the_flow and (is_redirected or before not in (None, *self._target.hosts))
        # A person may have opened an advertisement's link in a new tab.
        sender = urlsplit(self._sender).hostname if is_redirected else before
        return page == pages.first or sender in self._provider_hosts

    def _fulfill(
        self, event: dict[str, Any], status: int, headers: dict[str, str], body: bytes = b""
    ) -> None:
        response = {
            "requestId": event["requestId"],
            "responseCode": status,
            "responseHeaders": [{"name": name, "value": value} for name, value in headers.items()],
            "body": b64encode(body).decode("ascii"),
        }
        self._devtools.send("Fetch.fulfillRequest", response)


def _first_words(redirect_url: str) -> ResultPage:
    values = response_values(redirect_url)
    if "access_denied" in values.get("error", []):
        return ResultPage.DENIED
    return ResultPage.ALLOWED if "code" in values and "error" not in values else ResultPage.FAILED
