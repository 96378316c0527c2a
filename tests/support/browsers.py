"""The browser that tests use, and one that they share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connector.browser import Browser, find_browser
from connector.browser.launch import context_options, open_browser
from connector.errors import BrowserUnavailableError

if TYPE_CHECKING:
    from connector.browser.session import BrowserSession

# Pages of tests come at once: what is waited for in vain need not be waited for as long as in earnest.
QUICK = {"DEAD_END": 0.5, "SILENCE": 1.0, "AGAIN": 0.3, "UNLISTED": 0.5, "NEXT_PAGE": 3.0, "PATIENCE": 5.0}


# What no test may reach; a browser of the product's own cuts off the one redirect URI that it is given.
_UNREACHABLE = ("ormco.com", "www.ormco.com", "landing.test", "www.landing.test", "*landing.localhost")


def _installed(*, headless: bool) -> str | None:
    try:
        return find_browser(os.environ.get("ORMCO_BROWSER"), headless=headless).path
    except BrowserUnavailableError:
        return None


# Looked for before the tests get a home folder of their own: Playwright keeps its browsers in the real one.
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


class SharedBrowser:
    """One browser in a thread of its own, for all tests of a process that do not prove how it is started.

    Its `thread` replaces `BrowserThread`: the same work, in a fresh profile of the browser that runs.

    Attributes:
        prepare: called with each session before the work, in the browser's thread.
    """

    def __init__(self, path: str) -> None:
        self.prepare: Callable[[BrowserSession], object] = lambda session: None
        self._path = path
        self._thread = ThreadPoolExecutor(1, "shared-browser")
        self._running = ExitStack()
        self._browser: Any = None

    def close(self) -> None:
        """End the browser and its thread."""
        self._thread.submit(self._running.close).result()
        self._thread.shutdown()

    def run(self, work: Callable[[BrowserSession], Any], **session: Any) -> Any:
        """Work in a fresh profile and return the result."""
        return self._thread.submit(self._work, work, True, session).result()

    def thread(
        self,
        work: Callable[[BrowserSession], Any],
        *,
        browser: str | None,
        headless: bool,
        english: bool = True,
        slack: float = 0.0,
        **session: Any,
    ) -> SharedThread:
        """Return a context manager that does such work."""
        return SharedThread(self._thread, lambda more: self._work(work, english, session | more))

    def _work(self, work: Callable[[BrowserSession], Any], english: bool, session: dict[str, Any]) -> Any:
        from connector.browser.session import BrowserSession

        context = self._started().new_context(**context_options(english=english))
        try:
            context.new_page()
            opened = BrowserSession(context, **session)
            try:
                self.prepare(opened)
                return work(opened)
            finally:
                opened.close()
        finally:
            context.close()

    def _started(self) -> Any:
        if self._browser is None or not self._browser.is_connected():
            self._running.close()
            opening = open_browser(
                Browser(name="Chromium", path=self._path),
                headless=True,
                unreachable=", ".join(f"MAP {host} ~NOTFOUND" for host in _UNREACHABLE),
            )
            self._browser = self._running.enter_context(opening).browser
        return self._browser


class SharedThread:
    """The stand-in for a `BrowserThread` that `SharedBrowser.thread` gives."""

    def __init__(self, executor: ThreadPoolExecutor, work: Callable[[dict[str, Any]], Any]) -> None:
        self.result: Future[Any] = Future()
        self._executor, self._work = executor, work
        self._cancelled = threading.Event()

    def __enter__(self) -> SharedThread:
        self.result = self._executor.submit(self._work, {"cancelled": self._cancelled})
        return self

    def __exit__(self, *_exc: object) -> None:
        self._cancelled.set()
        self.join()

    def run(self) -> Any:
        """Run the work, and return its result."""
        with self:
            return self.result.result()

    def wait(self, future: Future[Any]) -> Any:
        """Wait for something that the work sets, or for its end without it."""
        wait([future, self.result], return_when=FIRST_COMPLETED)
        return future.result() if future.done() else self.result.result()

    def join(self) -> None:
        """Wait until the work has ended, however it does."""
        self.result.exception()


def child_processes() -> set[int]:
    """Return the numbers of this process's children; a browser's driver is one."""
    children = Path("/proc/self/task").glob("*/children")
    return {int(pid) for each in children for pid in each.read_text().split()}
