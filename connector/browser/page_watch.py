"""Watch the pages of a browser for dead ends, and the browser's parts for crashes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from connector.browser import session_options as options
from connector.browser.launch import crashed
from connector.browser.provider_errors import Failure, raise_for
from connector.clock import Clock

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request, Response

__all__ = ["LOST", "PageWatch"]

LOST = 1.0  # s without any reply from the browser until it counts as gone
_RESPONSE_TIME = 2_000.0  # ms for a page to reply after its navigation was aborted
# These errors leave the page unchanged, or can be repaired by going back or reloading.
_HARMLESS = ("ERR_ABORTED", "ERR_CACHE_MISS", "ERR_BLOCKED_BY_CLIENT")


class PageWatch:
    """Watches the browser's pages (not their images, scripts and frames), and the browser itself.

    A failure of the first page ends the flow. Later only a failure of the provider itself does: a person may
    follow a link to a site that is down, open a second tab, or go back. The error is raised if the page
    does not move on in time. Pages, their processes and Playwright's driver can each end separately.

    Attributes:
        opened_hosts: the hosts of the first page and of its redirects; later pages add none.
        is_lost: whether the browser does not reply at present.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.opened_hosts: set[str | None] = set()
        self.is_lost: bool = False
        self._context = context
        self._hosts: set[str | None] = set()
        self._newest: dict[Request, Failure | None] = {}
        self._authorization: Request | None = None
        self._opening = False
        self._crashed: set[Page] = set()
        self._is_dead = False
        self._lost_at = 0.0
        for page in context.pages:
            self._watch(page)
        context.on("page", self._watch)
        context.on("response", self._on_response)
        context.on("requestfailed", self._on_failure)

    def start(self, url: str) -> None:
        """Treat an address and its redirects as the provider's; until `settle`, any failure ends the flow."""
        self._opening = True
        self._hosts.add(urlsplit(url).hostname)

    def settle(self) -> None:
        """Let only the provider's own failures end the flow from now on."""
        self._opening = False

    @property
    def suspects_dead_end(self) -> bool:
        """Whether a page of the flow looks like a dead end, but still has time to move on."""
        return any(self._ends_the_flow(failure) for _, failure in self._failures())

    def raise_if_dead_end(self, *, at_once: bool = False) -> None:
        """Raise an error if a page of the flow is a dead end.

        Args:
            at_once: do not give the page time to move on.
        """
        for page, failure in self._failures():
            if at_once or (self._ends_the_flow(failure) and failure.ripe.passed):
                self._newest.pop(failure.request, None)
                raise_for(failure, page)

    def raise_if_gone(self) -> None:
        """Check that no part of the browser that the flow needs has ended.

        Raises:
            connector.errors.BrowserUnavailableError: if a part has ended unexpectedly.
        """
        pages = self._context.pages
        is_lost = self.is_lost and Clock().monotonic() - self._lost_at > LOST
        # A crash of an advertisement's window alone does not end the flow.
        has_crashed = pages and (
            self._crashed.issuperset(pages) or any(map(self._is_flow_page, self._crashed))
        )
        if self._is_dead or is_lost or has_crashed:
            raise crashed()

    def pause(self, seconds: float) -> None:
        """Let the pages' events run for some seconds."""
        for page in reversed(self._context.pages):
            if page not in self._crashed:
                # A page that is closing cannot wait; the one before it can.
                with suppress(PlaywrightError):
                    page.wait_for_timeout(1000 * seconds)
                    self.is_lost = False
                    return
        # If the driver is gone, the pages are still listed, and each call fails immediately.
        Clock().sleep(seconds)
        self._lost_at = self._lost_at if self.is_lost else Clock().monotonic()
        self.is_lost = True

    def _watch(self, page: Page) -> None:
        page.on("crash", lambda crashed: self._crashed.add(crashed))

    def _is_flow_page(self, page: Page) -> bool:
        """Return whether a page is the first one, or the one that asks for access."""
        # Another site, such as OrmcoDigital, may open the provider's pages in a new tab.
        authorization = self._authorization and _page_of(self._authorization)
        return page in self._context.pages[:1] or page == authorization

    def _failures(self) -> list[tuple[Page, Failure]]:
        """Return the flow's pages whose newest document failed, and forget older documents."""
        newest: dict[Page, Request] = {}
        for request in list(self._newest):
            if (page := _page_of(request)) is not None:  # a new tab is reported only after its first request
                newest[page] = request
        for request in list(self._newest):
            if request not in newest.values() and _page_of(request) is not None:
                del self._newest[request]
        found = ((page, self._newest.get(request)) for page, request in newest.items())
        return [(page, failure) for page, failure in found if failure and self._is_flow_page(page)]

    def _ends_the_flow(self, failure: Failure) -> bool:
        # After the first page, a file or an empty response leaves the page unchanged.
        return self._opening or (
            not failure.content and urlsplit(failure.request.url).hostname in self._hosts
        )

    def _on_response(self, response: Response) -> None:
        request, status, headers = response.request, response.status, response.headers
        if not self._note(request) or (300 <= status < 400 and "location" in headers):
            return
        self._newest[request] = None
        # The address of identity's error page.
        is_error_page = urlsplit(request.url).path.lower().rstrip("/").endswith("/home/error")
        content = _no_page(status, headers)
        if is_error_page or content or status >= 400:
            wait = headers.get("retry-after", "")
            self._newest[request] = Failure(
                request=request,
                status=status,
                content=content,
                is_error_page=is_error_page,
                retry_after=float(wait) if wait.isdecimal() else None,
                ripe=Clock().deadline(options.DEAD_END),
            )

    def _on_failure(self, request: Request) -> None:
        report = (request.failure or "no connection").removeprefix("net::")
        if not self._note(request):
            return
        if not report.startswith(_HARMLESS):
            ripe = Clock().deadline(options.DEAD_END)
            self._newest[request] = Failure(request=request, network=report, ripe=ripe)
        elif "ERR_ABORTED" in report:
            self._require_response(request)

    def _note(self, request: Request) -> bool:
        """Record the addresses of the flow; return whether a request is for a page."""
        if not _fills_page(request):
            return False
        host, before = urlsplit(request.url).hostname, request.redirected_from
        if self._opening:
            self.opened_hosts.add(host)
        if "redirect_uri=" in request.url:
            self._authorization = request
            self._hosts.add(host)
        if before is not None and urlsplit(before.url).hostname in self._hosts:
            self._hosts.add(host)
        return True

    def _require_response(self, request: Request) -> None:
        """Close a page that does not reply any more, so that calls that wait for it end.

        If the process of a page dies during a navigation, Chromium aborts it and reports no crash.
        Playwright has no time limit for reading a page's content, which then never ends.
        """
        # Any other error is a reply.
        with suppress(PlaywrightError):
            page = request.frame.page
            try:
                page.wait_for_function("() => true", polling=100, timeout=_RESPONSE_TIME)
            except PlaywrightTimeoutError:
                self._is_dead = self._is_dead or self._is_flow_page(page)
                page.close()


def _fills_page(request: Request) -> bool:
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
