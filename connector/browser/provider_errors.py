"""Pages that end the flow: the provider's error pages, an outage, or no page at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError

from connector.clock import Clock, Deadline
from connector.errors import ProviderErrorPageError, ProviderUnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request, Response

__all__ = ["ProviderErrors", "fills_page", "not_loaded"]

_FORM = "input:not([type=hidden]), select, textarea, button"
_IDENTIFIER = re.compile(r"\S{24,}")
_AGAIN = "Check the network connection and ORMCO_PROVIDER, then start again."
_TRY_IN_A_BROWSER = "Open the address in a browser of your own to see it; check ORMCO_PROVIDER."
# Chromium's names of failures, by their beginnings: what happened, and what to do.
_FAILURES = {
    "ERR_CERT_DATE_INVALID": (
        "its certificate is not valid today",
        "Check the date and time of this computer; if they are right, the site itself has to be mended.",
    ),
    "ERR_CERT": (
        "its certificate is not trusted",
        "If a proxy or a virus scanner looks into encrypted connections here, its certificate has to be"
        " installed in the system; otherwise somebody may be listening: do not go on.",
    ),
    "ERR_SSL": ("no secure connection could be made", _AGAIN),
    "ERR_INVALID_AUTH_CREDENTIALS": (
        "it asks for a user name and password in a dialog of the browser (HTTP authentication)",
        "3Shape's pages never do: a proxy or gateway stands before them, or ORMCO_PROVIDER is another site.",
    ),
    "ERR_PROXY_AUTH": ("the proxy asks for a user name and password", "Ask whoever runs the network here."),
    "ERR_NAME_NOT_RESOLVED": ("there is no address for this name", _AGAIN),
    "ERR_TOO_MANY_REDIRECTS": ("it redirects in a circle", _TRY_IN_A_BROWSER),
}
# These leave the page as it was, or can be repaired by going back or reloading.
_HARMLESS = ("ERR_ABORTED", "ERR_CACHE_MISS", "ERR_BLOCKED_BY_CLIENT")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    request: Request
    status: int = 0
    network: str = ""
    content: str = ""
    retry_after: float | None = None
    ripe: Deadline

    @property
    def is_error_page(self) -> bool:
        """Whether the address alone shows an error: identity's error page."""
        return urlsplit(self.request.url).path.lower().rstrip("/").endswith("/home/error")


class ProviderErrors:
    """Watches the responses to the browser's pages (not to their images, scripts and frames).

    A failure of the first page ends the flow. Later only a failure of the provider itself does: a person may
    follow a link to a site that is down, open a second tab, or go back, which `grace` seconds allow for.
    """

    def __init__(self, context: BrowserContext, *, grace: float) -> None:
        self._context = context
        self._grace = grace
        self._hosts: set[str | None] = set()
        self._newest: dict[Request, _Failure | None] = {}
        self._authorization: Request | None = None
        self._opening = False
        context.on("response", self._on_response)
        context.on("requestfailed", self._on_failure)

    def start(self, url: str) -> None:
        """Treat this address and its redirects as the provider's; any failure of them ends the flow."""
        self._opening = True
        self._hosts.add(urlsplit(url).hostname)

    def settle(self) -> None:
        """Let only the provider's own failures end the flow from now on."""
        self._opening = False

    @property
    def suspected(self) -> bool:
        """Whether a page of the flow looks like a dead end, but still has time to move on."""
        return any(self._ends_the_flow(failure) for _, failure in self._failures())

    def is_flow_page(self, page: Page) -> bool:
        """Return whether a page is the first one, or the one that asks for access."""
        # Another site may open the provider's pages in a tab of their own.
        authorization = self._authorization and _page_of(self._authorization)
        return page in self._context.pages[:1] or page == authorization

    def raise_if_any(self, *, at_once: bool = False) -> None:
        """Raise an error if a page of the flow is a dead end.

        Args:
            at_once: give it no time to move on, because the caller cannot go on from it.
        """
        for page, failure in self._failures():
            if at_once or (self._ends_the_flow(failure) and failure.ripe.passed):
                self._newest.pop(failure.request, None)
                _raise_for(failure, page)

    def _failures(self) -> list[tuple[Page, _Failure]]:
        """Return the flow's pages whose newest document failed."""
        newest = {}
        for request, failure in list(self._newest.items()):
            page = _page_of(request)
            if page is not None:  # a new tab is reported only after its first request
                newest[page] = (request, failure)
        self._newest = {
            request: failure
            for request, failure in self._newest.items()
            if _page_of(request) is None or (request, failure) in newest.values()
        }
        return [
            (page, failure) for page, (_, failure) in newest.items() if failure and self.is_flow_page(page)
        ]

    def _ends_the_flow(self, failure: _Failure) -> bool:
        # After the first page, a file or an empty response leaves the page as it was.
        return self._opening or (
            not failure.content and urlsplit(failure.request.url).hostname in self._hosts
        )

    def _on_response(self, response: Response) -> None:
        request = response.request
        headers, failure = response.headers, None
        if not self._note(request) or (300 <= response.status < 400 and "location" in headers):
            return
        problem = _Failure(
            request=request,
            status=response.status,
            content=_no_page(response.status, headers),
            retry_after=float(wait) if (wait := headers.get("retry-after", "")).isdecimal() else None,
            ripe=Clock().deadline(self._grace),
        )
        if problem.is_error_page or problem.content or response.status >= 400:
            failure = problem
        self._newest[request] = failure

    def _on_failure(self, request: Request) -> None:
        failure = (request.failure or "no connection").removeprefix("net::")
        if self._note(request) and not failure.startswith(_HARMLESS):
            self._newest[request] = _Failure(
                request=request, network=failure, ripe=Clock().deadline(self._grace)
            )

    def _note(self, request: Request) -> bool:
        """Record the addresses of the flow; return whether a request is for a page."""
        if not fills_page(request):
            return False
        if "redirect_uri=" in request.url:
            self._authorization = request
            self._hosts.add(urlsplit(request.url).hostname)
        before = request.redirected_from
        if before is not None and urlsplit(before.url).hostname in self._hosts:
            self._hosts.add(urlsplit(request.url).hostname)
        return True


def not_loaded(url: str, report: str) -> ProviderUnavailableError:
    """Return the error for a page that did not load, from Playwright's message or Chromium's error name."""
    name = (report.partition("net::")[2].split() or [report if report.startswith("ERR_") else ""])[0]
    host = urlsplit(url).hostname or "the provider"
    if "Download is starting" in report:
        return _not_a_page(host, "a file to download")
    known = next((known for beginning, known in _FAILURES.items() if name.startswith(beginning)), None)
    words, hint = (f"{known[0]} ({name})", known[1]) if known else (name or "no answer in time", _AGAIN)
    return ProviderUnavailableError(f"the browser could not load the page of {host}: {words}", hint=hint)


def _raise_for(failure: _Failure, page: Page) -> None:
    """Raise the error for a page that is a dead end, unless a person can go on from it."""
    host = urlsplit(failure.request.url).hostname or "the provider"
    if failure.network:
        raise not_loaded(failure.request.url, failure.network)
    if (failure.status >= 500 or failure.status == 429) and not failure.is_error_page:
        raise ProviderUnavailableError(
            f"{host} answered with status {failure.status} instead of a page",
            hint="Wait a little, then start again.",
            retry_after=failure.retry_after,
        )
    if failure.content:
        raise _not_a_page(host, failure.content)
    # A sign-in page that comes with status 401 after a wrong password is no dead end.
    if failure.is_error_page or not _has_form(page):
        raise ProviderErrorPageError(
            f"{host} showed an error page: {_heading(page) or f'status {failure.status}'}",
            hint="Mostly the client id or the redirect URI is not registered there: check ORMCO_CLIENT_ID,"
            " ORMCO_REDIRECT_URI and ORMCO_PROVIDER.",
        )


def _not_a_page(host: str, what: str) -> ProviderUnavailableError:
    return ProviderUnavailableError(f"{host} answered with {what} instead of a page", hint=_TRY_IN_A_BROWSER)


def _no_page(status: int, headers: Mapping[str, str]) -> str:
    """Return a description of a response that is not a page, or ""."""
    if status in (204, 205):
        return f"nothing (status {status})"
    if 300 <= status < 304:
        return f"a redirect to nowhere (status {status})"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if headers.get("content-disposition", "").strip().lower().startswith("attachment"):
        return "a file to download"
    if status >= 400 or not kind or "html" in kind or "xml" in kind:
        return ""
    return f"a file ({kind[:60]})"


def fills_page(request: Request) -> bool:
    """Return whether a request is for a page, and not for a part of one."""
    if not request.is_navigation_request():
        return False
    with suppress(PlaywrightError):
        return request.frame.parent_frame is None
    return True  # the first request of a new tab comes before its page


def _page_of(request: Request) -> Page | None:
    with suppress(PlaywrightError):
        return request.frame.page
    return None


def _has_form(page: Page) -> bool:
    with suppress(PlaywrightError):
        return page.locator(_FORM).filter(visible=True).count() > 0
    return True


def _heading(page: Page) -> str:
    """Return the page's heading: one short line, without anything that looks like an identifier."""
    with suppress(PlaywrightError):
        for locator in (page.get_by_role("heading"), page.locator("title")):
            text = (locator.first.text_content(timeout=1_000) or "") if locator.count() else ""
            if text.strip():
                return _IDENTIFIER.sub("…", " ".join(text.split()))[:120]
    return ""
