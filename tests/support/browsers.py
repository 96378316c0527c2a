"""The browser that tests use, and one that they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connector.browser import Browser, find_browser
from connector.browser.launch import context_options, open_browser
from connector.errors import BrowserUnavailableError
from connector.testing.browser import ConsentBrowser

if TYPE_CHECKING:
    from playwright.sync_api import Browser as PageBrowser

    from connector.browser.redirect_target import RedirectTarget
    from connector.browser.session import BrowserSession

# The pages of tests load at once, so waits for missing elements can be shorter than in normal use.
QUICK = {"DEAD_END": 0.5, "SILENCE": 1.0, "AGAIN": 0.3, "UNLISTED": 0.5, "NEXT_PAGE": 3.0, "PATIENCE": 5.0}


# A browser that the product starts blocks only the redirect URI that it is given.
_ONLY_LOOPBACK = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


def _installed(*, headless: bool) -> str | None:
    try:
        return find_browser(os.environ.get("ORMCO_BROWSER"), headless=headless).path
    except BrowserUnavailableError:
        return None


# Found before the tests get a home folder of their own: Playwright keeps its browsers in the user's.
_WINDOWED = _installed(headless=False)
_QUICK = _installed(headless=True)


def windowed_browser() -> str:
    """Return the path of a browser that has windows; without one the test is skipped."""
    path = _WINDOWED or quick_browser()
    if "headless" in Path(path).name:
        pytest.skip("the browser at hand has no windows")
    return path


def quick_browser() -> str:
    """Return the path of a browser for pages alone: a build without windows needs a quarter of the time.

    Without one the test is skipped, and in CI it fails.
    """
    if _QUICK is not None:
        return _QUICK
    missing = "no Chromium: install Chrome, or run 'playwright install chromium', or set ORMCO_BROWSER"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


class SharedBrowser(ConsentBrowser):
    """One browser for all tests of a process that do not prove how it is started, in their thread.

    Attributes:
        prepare: called with each session before the work.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path=path)
        self.prepare: Callable[[BrowserSession], object] = lambda session: None
        self._chosen = Browser(name="Chromium", path=path)
        self._opened = ExitStack()
        self._launched: PageBrowser | None = None

    def stop(self) -> None:
        """Leave it to the next test."""

    def end(self) -> None:
        """Close the browser."""
        with self.in_use():
            self._opened.close()

    @property
    def browser(self) -> PageBrowser:
        """The running browser; it is started again after a crash."""
        if self._launched is None or not self._launched.is_connected():
            self._opened.close()
            opening = open_browser(self._chosen, headless=True, unreachable=_ONLY_LOOPBACK)
            with pytest.MonkeyPatch.context() as patch:
                # Otherwise root starts it as a user who cannot read the tests' pages.
                patch.setenv("ORMCO_BROWSER_SANDBOX", "off")
                self._launched = self._opened.enter_context(opening).browser
            assert self._launched is not None
        return self._launched

    @contextmanager
    def session(
        self,
        target: RedirectTarget | None = None,
        *,
        trace: Path | None = None,
        english: bool = True,
        **options: Any,
    ) -> Iterator[BrowserSession]:
        """Open a fresh profile; there is no trace of it."""
        from connector.browser.session import BrowserSession

        with self.browser.new_context(**context_options(english=english)) as context:
            context.new_page()
            session = BrowserSession(context, target=target, **options)
            try:
                self.prepare(session)
                yield session
            finally:
                session.close()

    def run(self, work: Callable[[BrowserSession], Any], **session: Any) -> Any:
        """Work in a fresh profile and return the result."""
        with self.in_use(), self.session(**session) as opened:
            return work(opened)

    def thread(
        self, work: Callable[[BrowserSession], Any], *, browser: str | None, headless: bool, **session: Any
    ) -> SharedThread:
        """Return a stand-in for `BrowserThread` that does such work."""
        session.pop("slack", None)
        return SharedThread(lambda: self.run(work, **session))


class SharedThread(nullcontext[Any]):
    """The stand-in for a `BrowserThread` that `SharedBrowser.thread` gives: no thread, but the work."""

    def __init__(self, run: Callable[[], Any]) -> None:
        super().__init__(self)
        self.run = run
        self.result: Future[Any] = Future()

    def wait(self, future: Future[Any]) -> Any:
        """Work, and return what the work has set before its end or its error."""
        try:
            self.run()
        except BaseException:
            if not future.done():
                raise
        return future.result(timeout=0)

    def join(self) -> None:
        """The work has ended."""


def child_processes() -> set[int]:
    """Return the numbers of this process's children; a browser's driver is one."""
    children = Path("/proc/self/task").glob("*/children")
    return {int(pid) for each in children for pid in each.read_text().split()}
