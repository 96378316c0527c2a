"""Detect a browser that went away: its pages, their processes and the driver can each end separately."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from connector.browser.launch import crashed
from connector.browser.provider_errors import ProviderErrors, fills_page
from connector.clock import Clock

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request

__all__ = ["LOST", "CrashWatch"]

LOST = 1.0  # s without any reply from the browser until it counts as gone
_ANSWER = 2_000.0  # ms for a page whose next page did not come to show that it is alive


class CrashWatch:
    """Detects parts of a browser that are gone without having been closed.

    Args:
        context: the browser.
        errors: says which pages the flow needs.
    """

    def __init__(self, context: BrowserContext, errors: ProviderErrors) -> None:
        self._context = context
        self._errors = errors
        self._crashed: set[Page] = set()
        self._is_dead = False
        self._lost_at: float | None = None
        for page in context.pages:
            self._watch(page)
        context.on("page", self._watch)
        context.on("requestfailed", self._require_answer)

    @property
    def is_lost(self) -> bool:
        """Whether the browser does not reply at present."""
        return self._lost_at is not None

    def pause(self, seconds: float) -> None:
        """Let the pages' events run for some seconds."""
        for page in reversed(self._context.pages):
            if page not in self._crashed:
                # A page during closing cannot wait; the previous page can.
                with suppress(PlaywrightError):
                    page.wait_for_timeout(1000 * seconds)
                    self._lost_at = None
                    return
        # Without its driver, the browser seems to exist for ever, and each call fails at once.
        Clock().sleep(seconds)
        self._lost_at = self._lost_at or Clock().monotonic()

    def raise_if_any(self) -> None:
        """Raise an error if a part that the flow needs is gone.

        Raises:
            connector.errors.BrowserUnavailableError: if it is gone.
        """
        if self._is_dead or (self._lost_at is not None and Clock().monotonic() - self._lost_at > LOST):
            raise crashed()
        pages = self._context.pages
        # Not an advertisement's window: only pages that the person needs.
        if pages and (self._crashed.issuperset(pages) or any(map(self._errors.is_flow_page, self._crashed))):
            raise crashed()

    def _watch(self, page: Page) -> None:
        page.on("crash", lambda crashed: self._crashed.add(crashed))

    def _require_answer(self, request: Request) -> None:
        """Close a page that does not reply any more, so that calls that wait for it end.

        If the process of a page dies during a navigation, Chromium aborts it and reports no crash.
        Playwright has no time limit for reading a page's content, which then never ends.
        """
        if not fills_page(request) or "ERR_ABORTED" not in (request.failure or ""):
            return
        # Any other error is a reply.
        with suppress(PlaywrightError):
            page = request.frame.page
            try:
                page.wait_for_function("() => true", polling=100, timeout=_ANSWER)
            except PlaywrightTimeoutError:
                self._is_dead = self._is_dead or self._errors.is_flow_page(page)
                page.close()
