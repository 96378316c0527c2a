"""One visit of the browser to the provider, from the authorization URL to the redirect or another end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from connector.browser import endings
from connector.browser.dead_ends import DeadEnds
from connector.browser.trap import RedirectTrap
from connector.clock import Clock, Deadline
from connector.errors import ConnectorError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["Cancelled", "Visit", "was_left"]

_TICK = 50  # ms
_FIRST_PAGE = 60.0  # s
_LOADING = 10.0  # s


class Cancelled(Exception):  # noqa: N818 - no error: the caller has gone away
    """The visit was called off."""


class Visit:
    """Waits in the browser for the redirect, in the thread that started the browser.

    Playwright's handlers run inside Playwright's calls only: nothing here waits in any other way.

    Args:
        context: the browser.
        trap: what catches the redirect.
        timeout: seconds until nobody has acted.
        cancelled: set from another thread to end the visit.
    """

    def __init__(
        self, context: BrowserContext, trap: RedirectTrap, *, timeout: float, cancelled: threading.Event
    ) -> None:
        self._context = context
        self._trap = trap
        self._timeout = timeout
        self._deadline = Clock().deadline(timeout)
        self._cancelled = cancelled
        self._dead_ends = DeadEnds(context)
        self._crashed = False
        for page in context.pages:
            self._watch(page)
        context.on("page", self._watch)

    def redirect_url(self, url: str, person: Callable[[Page], object] | None) -> str:
        """Open the authorization URL and return the redirect URL.

        Args:
            url: the authorization URL.
            person: acts in the page when no human does.
        """
        page = self._first_page()
        self._open(page, url)
        if person is not None:
            self._let_act(person, page)
        while self._trap.answer is None:
            self._tick()
        return self._trap.answer

    def stay(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Keep the window, for so long, or until something is true or the window is closed."""
        deadline = Clock().deadline(seconds)
        while not (until() or deadline.passed or self._cancelled.is_set()) and self._context.pages:
            self._wait(deadline)

    def _first_page(self) -> Page:
        self._raise_if_gone()
        return self._context.pages[0]

    def _open(self, page: Page, url: str) -> None:
        try:
            # A new window has its address bar in focus: what a person types belongs into the page.
            page.bring_to_front()
            page.goto(url, wait_until="commit", timeout=1000 * min(_FIRST_PAGE, self._deadline.left or 1))
        except PlaywrightTimeout:
            if self._trap.answer is None and not self._deadline.passed:
                raise endings.unreachable(url, "no answer in time") from None
        except PlaywrightError as exc:
            self._raise_if_gone()
            if self._trap.answer is None and not was_left(exc.message):
                raise endings.unreachable(url, _net_error(exc.message)) from None
        while self._dead_ends.suspected and self._trap.answer is None:
            self._tick()

    def _let_act(self, person: Callable[[Page], object], page: Page) -> None:
        self._context.set_default_timeout(1000 * max(1.0, min(30.0, self._deadline.left)))
        # Closing a page in the middle of its loading makes Chromium hang.
        with suppress(PlaywrightError):
            page.wait_for_load_state(timeout=1000 * _LOADING)
        if self._trap.answer is not None:
            return
        try:
            person(page)
        except (PlaywrightError, ConnectorError):
            # The redirect takes the page away from whoever still acts in it.
            self.stay(0.5, until=lambda: self._trap.answer is not None or self._crashed)
            if self._trap.answer is None:
                self._raise_if_called_off()
                self._raise_if_gone()
                self._dead_ends.raise_if_any(at_once=True)
                raise

    def _tick(self) -> None:
        self._raise_if_called_off()
        self._wait(self._deadline)
        if self._trap.answer is not None:
            return
        self._raise_if_gone()
        self._dead_ends.raise_if_any()
        if self._deadline.passed:
            raise endings.nobody_acted(self._timeout)

    def _wait(self, deadline: Deadline) -> None:
        with suppress(PlaywrightError):
            if self._context.pages:
                self._context.pages[-1].wait_for_timeout(min(_TICK, 1000 * deadline.left))

    def _raise_if_called_off(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    def _raise_if_gone(self) -> None:
        if self._crashed:
            raise endings.crashed()
        if self._context.pages:
            return
        # One page may have followed another; and what is known of their end comes a moment later.
        with suppress(PlaywrightError):
            self._context.wait_for_event("close", timeout=300)
        if not self._context.pages:
            raise endings.crashed() if self._trap.open_pages else endings.window_closed()

    def _watch(self, page: Page) -> None:
        page.on("crash", self._note_crash)

    def _note_crash(self, _page: Page) -> None:
        self._crashed = True


def was_left(report: str) -> bool:
    """Return whether a page did not load because the browser was sent on to another one."""
    return "ERR_ABORTED" in report or "interrupted by another navigation" in report


def _net_error(report: str) -> str:
    """Return Chromium's name of a network failure, out of a text that may hold the whole address."""
    words = report.partition("net::")[2].split()
    return words[0] if words else "no connection"
