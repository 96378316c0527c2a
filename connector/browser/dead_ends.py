"""Pages of the provider from which no way leads back: its error pages, and none at all."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError

from connector.browser import endings
from connector.clock import Clock, Deadline

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request, Response

__all__ = ["DeadEnds"]

_GRACE = 2.0  # s for a page to move on by itself, or for a person to reload it
_FORM = "input:not([type=hidden]), select, textarea, button"
_IDENTIFIER = re.compile(r"\S{24,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suspicion:
    request: Request
    url: str
    status: int
    retry_after: float | None
    failure: str
    ripe: Deadline

    @property
    def page(self) -> Page | None:
        """The page it is about; a new tab's is known only a moment after its first request."""
        return _page_of(self.request)

    @property
    def is_error_page(self) -> bool:
        """Whether the address alone says so: identity's error page."""
        return urlsplit(self.url).path.lower().rstrip("/").endswith("/home/error")

    @property
    def is_outage(self) -> bool:
        return self.status >= 500 or self.status == 429


class DeadEnds:
    """Watches what the browser's pages themselves are answered (not their images and scripts)."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._suspicion: _Suspicion | None = None
        self._authorization: Request | None = None
        context.on("response", self._on_response)
        context.on("requestfailed", self._on_failure)

    @property
    def suspected(self) -> bool:
        """Whether the newest page looks like a dead end, and is being given time."""
        return self._suspicion is not None

    def raise_if_any(self, *, at_once: bool = False) -> None:
        """Raise if the newest page leads nowhere.

        Args:
            at_once: do not give it time to move on.
        """
        suspicion = self._suspicion
        if suspicion is None or not (at_once or suspicion.ripe.passed):
            return
        self._suspicion = None
        # What a person opened beside it, such as a help page, may be missing.
        page = suspicion.page
        if page is not None and (page in self._context.pages[:1] or self._asks_for_access(page)):
            raise_for(suspicion, page)

    def _asks_for_access(self, page: Page) -> bool:
        # Another site may open the provider's pages in a tab of their own.
        return self._authorization is not None and page == _page_of(self._authorization)

    def _on_response(self, response: Response) -> None:
        self._note_authorization(response.request)
        if not 300 <= response.status < 400:
            self._suspect(response.request, response.status, response.headers.get("retry-after", ""))

    def _note_authorization(self, request: Request) -> None:
        if "redirect_uri=" in request.url and _fills_page(request):
            self._authorization = request

    def _on_failure(self, request: Request) -> None:
        self._note_authorization(request)
        failure = request.failure or ""
        if "ERR_ABORTED" not in failure:
            self._suspect(request, failure=failure.removeprefix("net::") or "no connection")

    def _suspect(
        self, request: Request, status: int = 0, retry_after: str = "", *, failure: str = ""
    ) -> None:
        if not _fills_page(request):
            return
        suspicion = _Suspicion(
            request=request,
            url=request.url,
            status=status,
            retry_after=float(retry_after) if retry_after.isdecimal() else None,
            failure=failure,
            ripe=Clock().deadline(_GRACE),
        )
        is_dead_end = suspicion.is_error_page or failure or status >= 400
        self._suspicion = suspicion if is_dead_end else None


def raise_for(suspicion: _Suspicion, page: Page) -> None:
    """Raise what a page that led nowhere means; nothing, if a person can go on from it."""
    if suspicion.failure:
        raise endings.unreachable(suspicion.url, suspicion.failure)
    if suspicion.is_outage and not suspicion.is_error_page:
        raise endings.unavailable(suspicion.url, suspicion.status, suspicion.retry_after)
    # A sign-in page that comes with status 401 after a wrong password is no dead end.
    if suspicion.is_error_page or not _has_form(page):
        raise endings.error_page(suspicion.url, _heading(page) or f"status {suspicion.status}")


def _fills_page(request: Request) -> bool:
    """Return whether a request is to fill a page, and not a part of one."""
    if not request.is_navigation_request():
        return False
    with suppress(PlaywrightError):
        return request.frame.parent_frame is None
    return True  # the first request of a new tab comes before its page


def _page_of(request: Request) -> Page | None:
    """Return the page that a request is to fill, or None if it is not known yet."""
    with suppress(PlaywrightError):
        return request.frame.page
    return None


def _has_form(page: Page) -> bool:
    with suppress(PlaywrightError):
        return page.locator(_FORM).filter(visible=True).count() > 0
    return True


def _heading(page: Page) -> str:
    """Return what the page calls itself: one short line, without anything that looks like an identifier."""
    with suppress(PlaywrightError):
        for locator in (page.get_by_role("heading"), page.locator("title")):
            text = (
                " ".join((locator.first.text_content(timeout=1_000) or "").split()) if locator.count() else ""
            )
            if text:
                return _IDENTIFIER.sub("…", text)[:120]
    return ""
