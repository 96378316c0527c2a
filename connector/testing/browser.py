"""The browser of a test session: one for all tests, in their thread, with a fresh profile for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from connector.browser.launch import context_options, open_browser
from connector.browser.readiness import ready_browser
from connector.browser.redirect_target import RedirectTarget
from connector.errors import SettingError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Playwright

    from connector.browser.session import BrowserSession

__all__ = ["ConsentBrowser"]

# So that pytest shows the test's own line, not the arguments of this module's functions, such as a password.
__tracebackhide__ = True


class ConsentBrowser:
    """Starts a browser on first use, and opens a fresh profile for each consent.

    Playwright's synchronous objects belong to one thread, here the test's, and leave a running event loop in
    it: `asyncio.run` would fail in every later test. So that loop is the running one only while it is used.

    Args:
        path: path of the browser; None to look for one.
        headless: whether the browser runs without a window.
        playwright: an instance that runs in this thread, such as pytest-playwright's; None to start one.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        headless: bool = True,
        playwright: Playwright | None = None,
    ) -> None:
        self._path = path
        self._headless = headless
        self._playwright = playwright
        self._running = ExitStack()
        self._context: BrowserContext | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rules: set[str] = set()

    @contextmanager
    def session(
        self, target: RedirectTarget, *, timeout: float = 120, trace: Path | None = None
    ) -> Iterator[BrowserSession]:
        """Open a fresh profile.

        Args:
            target: the target of the redirect to intercept.
            timeout: seconds to wait for the redirect.
            trace: the path for Playwright's trace, which contains all typed and shown text, or None.
        """
        from connector.browser.session import BrowserSession

        browser = self._started(target).browser
        assert browser is not None  # noqa: S101 - not None for a launched browser
        context = browser.new_context(**context_options(english=True))
        try:
            context.new_page()
            if trace is not None:
                context.tracing.start(screenshots=True, snapshots=True)
            session = BrowserSession(context, target=target, timeout=timeout)
            yield session
            session.close()
        finally:
            with suppress(Exception):  # the browser may have ended
                if trace is not None:
                    context.tracing.stop(path=trace)
                context.close()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make Playwright's event loop the running one, and restore the previous one afterwards."""
        if self._playwright is not None:
            yield
            return
        outer = asyncio._get_running_loop()
        outer = None if outer is self._loop else outer
        task = asyncio.current_task(outer) if outer is not None else None
        if outer is not None and task is not None:
            asyncio.tasks._leave_task(outer, task)
        asyncio._set_running_loop(self._loop)
        try:
            yield
        finally:
            self._loop = asyncio._get_running_loop() or self._loop
            asyncio._set_running_loop(outer)
            if outer is not None and task is not None:
                asyncio.tasks._enter_task(outer, task)

    def show_loop(self) -> None:
        """Make Playwright's event loop the running one, for callers that use its objects directly.

        Raises:
            connector.errors.SettingError: another event loop runs in this thread.
        """
        if self._playwright is None:
            if asyncio._get_running_loop() not in (None, self._loop):
                raise SettingError(
                    "the page cannot be used while an event loop runs in the same thread",
                    hint="Use it outside the asynchronous part; the steps of the fixture work inside, too.",
                )
            asyncio._set_running_loop(self._loop)

    def stop(self) -> None:
        """Close the browser; the next use starts it again."""
        with self.in_use():
            self._running.close()
            if self._playwright is None:  # the loop of a given instance continues
                asyncio._set_running_loop(None)
        self._context = self._loop = None

    def _started(self, target: RedirectTarget) -> BrowserContext:
        rules = set(filter(None, target.resolver_rules.split(", ")))
        if self._context is None or not rules <= self._rules:
            self._running.close()
            self._rules |= rules
            opening = open_browser(
                ready_browser(self._path, headless=self._headless),
                headless=self._headless,
                unreachable=", ".join(sorted(self._rules)),
                playwright=self._playwright,
            )
            self._context = self._running.enter_context(opening)
        return self._context
