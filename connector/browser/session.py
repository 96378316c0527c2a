"""A browser session: waits for a page or a person, and the errors that end a wait early."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from playwright.sync_api import Error as PlaywrightError

from connector.browser.intercept import PageTargets, RedirectInterceptor
from connector.browser.launch import crashed, is_gone
from connector.browser.page_watch import LOST, PageWatch
from connector.browser.provider_errors import not_loaded
from connector.browser.redirect_target import RedirectTarget
from connector.browser.session_options import CONSENT, Words
from connector.clock import Clock, Deadline
from connector.errors import BrowserUnavailableError, ConnectorError, NobodyActedError, WindowClosedError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["BrowserSession", "Cancelled"]

_TICK = 0.05  # s
_LONGEST_TICK = 0.25  # s; a look at a page costs three processes' time, and a person needs minutes
_FIRST_PAGE = 60.0  # s
_KNOWN = LOST + 0.5  # s after which it is known whether the browser is gone
_MOMENT = 0.5  # s for a redirect in progress


class Cancelled(Exception):  # noqa: N818 - not an error: the caller ended the session
    """The session was cancelled."""


class BrowserSession:
    """A browser, seen from the thread that started it.

    Playwright runs event handlers only inside its own calls, so a wait must call it: see `pause`.

    Args:
        context: the browser, with its first page open.
        target: the target of the redirect to intercept, if there is one.
        timeout: seconds that a person has.
        cancelled: set from another thread to end the session.
        words: the messages for sessions that a person ends.

    Attributes:
        interceptor: intercepts the redirect; only with a target.
        deadline: the end of the person's time.
    """

    def __init__(
        self,
        context: BrowserContext,
        *,
        target: RedirectTarget | None = None,
        timeout: float = math.inf,
        cancelled: threading.Event | None = None,
        words: Words = CONSENT,
    ) -> None:
        self.context = context
        self.words = words
        self.deadline: Deadline = Clock().deadline(timeout)
        self._timeout = timeout
        self._cancelled = cancelled or threading.Event()
        if context.browser is None:
            raise BrowserUnavailableError(
                "this version of Playwright gives no access to the whole browser",
                hint="Update Playwright to a current version.",
            )
        self._devtools = context.browser.new_browser_cdp_session()
        self._page_targets = PageTargets(context, self._devtools)
        self._watch = PageWatch(context)
        self.interceptor: RedirectInterceptor | None = None
        if target is not None:
            self.interceptor = RedirectInterceptor(
                context,
                target,
                devtools=self._devtools,
                page_targets=self._page_targets,
                provider_hosts=self._watch.opened_hosts,
            )

    @property
    def process(self) -> int | None:
        """The id of the browser's main process."""
        processes = self._devtools.send("SystemInfo.getProcessInfo")["processInfo"]
        return next((int(each["id"]) for each in processes if each["type"] == "browser"), None)

    @property
    def response(self) -> str | None:
        """The raw redirect URL, once it has been intercepted."""
        return self.interceptor.response if self.interceptor else None

    @property
    def page(self) -> Page:
        """The first page."""
        self.check()
        return self.context.pages[0]

    def open(self, url: str) -> None:
        """Load a page and bring it to the front.

        Raises:
            connector.errors.ConnectorError: if the address does not load, or is not a page.
        """
        self._watch.start(url)
        self._go(url)
        self.wait_until(lambda: self.response is not None or not self._watch.suspects_dead_end)
        self._watch.settle()

    def _go(self, url: str) -> None:
        page, report = self.page, ""
        try:
            # In a new window the address bar has the focus, but a person's typing belongs to the page.
            page.bring_to_front()
            page.goto(url, wait_until="commit", timeout=1000 * min(_FIRST_PAGE, self.deadline.left or 1))
        except PlaywrightError as exc:
            report = exc.message
            if is_gone(exc):
                self.settle(exc)
        if not report or self.response is not None or self.deadline.passed:
            return
        self.check()
        # Otherwise the page moved on, or the watch has seen the response that is not a page.
        if "ERR_ABORTED" not in report and "interrupted by another navigation" not in report:
            raise not_loaded(url, report)

    def check(self, *, at_once: bool = False) -> None:
        """Raise an error if the flow cannot continue.

        Args:
            at_once: do not give a dead end time to move on.
        """
        if self._cancelled.is_set():
            raise Cancelled
        self._watch.raise_if_gone()
        if not self.context.pages and not self._is_followed():
            raise WindowClosedError(
                f"the browser window was closed {self.words.closed}", hint=self.words.close_hint
            )
        try:
            self._watch.raise_if_dead_end(at_once=at_once)
        except ConnectorError as exc:
            exc.hint = self.words.hints.get(type(exc), exc.hint)
            raise

    def wait_until(self, condition: Callable[[], object], seconds: float | None = None) -> bool:
        """Wait until a condition is true.

        Args:
            condition: called repeatedly, less often as the wait grows longer.
            seconds: seconds to wait; None to wait for a person, with an error if the time runs out.

        Returns:
            Whether the condition is true.

        Raises:
            connector.errors.ConnectorError: if the flow cannot continue, or no person acted.
        """
        deadline, tick = self.deadline if seconds is None else Clock().deadline(seconds), _TICK
        while not condition():
            self.check()
            if deadline.passed:
                if seconds is None:
                    raise self._nobody_acted()
                return False
            self.pause(min(tick, deadline.left))
            tick = min(1.5 * tick, _LONGEST_TICK)
        return True

    def act(self, act: Callable[[], object]) -> None:
        """Run an action in a page; ignore its failure if the redirect replaces the page.

        Raises:
            connector.errors.ConnectorError: if the action raises it, or the flow cannot continue.
        """
        try:
            act()
        except (PlaywrightError, ConnectorError) as exc:
            if not self.settle(exc):
                raise

    def settle(self, error: Exception) -> bool:
        """Wait for the redirect after an action in a page failed: it may have replaced the page.

        Returns:
            Whether the redirect has arrived, so that the error can be ignored.

        Raises:
            connector.errors.ConnectorError: if the flow cannot continue.
        """
        self.pause(_TICK)
        arrived = self.wait_until(
            lambda: self.response is not None and not self._watch.is_lost,
            _KNOWN if is_gone(error) else _MOMENT,
        )
        if not arrived:
            self.check(at_once=True)
        return arrived

    def stay(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Keep the window open for some seconds, or until a condition is true or a person closes it."""
        deadline = Clock().deadline(seconds)
        while self.context.pages and not self._watch.is_lost and not self._cancelled.is_set():
            if until() or deadline.passed:
                return
            self.pause(min(_TICK, deadline.left))

    def pause(self, seconds: float) -> None:
        """Let the pages' events run for some seconds."""
        self._watch.pause(seconds)

    def _nobody_acted(self) -> NobodyActedError:
        seconds = self._timeout
        duration = f"{seconds:g} seconds" if seconds < 120 else f"{seconds / 60:g} minutes"
        return NobodyActedError(
            f"{self.words.nobody} within {duration}",
            hint="Start again when a person who knows the password is present; a longer time can be set.",
        )

    def close(self) -> None:
        """Stop watching; the caller closes the browser."""
        with suppress(PlaywrightError):
            self._devtools.detach()

    def _is_followed(self) -> bool:
        """Return whether another page has replaced the last one."""
        # The event for a closed page arrives a little later.
        with suppress(Exception):
            self.context.wait_for_event("close", timeout=300)
        if not self.context.pages and self._page_targets.open:
            raise crashed()
        return bool(self.context.pages)
