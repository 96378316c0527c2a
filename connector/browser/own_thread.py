"""Work in a browser, in a thread of its own.

So Ctrl-C reaches the caller at any moment and not the middle of a browser call, and it makes no difference
whether an event loop runs in the caller's thread.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from connector.browser import endings
from connector.browser.installed import Browser
from connector.browser.launch import open_browser
from connector.clock import Clock

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

__all__ = ["CalledOff", "run_in_browser"]

_T = TypeVar("_T")
_START = 60.0  # s for a browser to start
_PROMPTLY = 2.0  # s for a browser to close that was asked to
_CLOSING = 10.0  # s for what is left of it to be swept up


class CalledOff(Exception):  # noqa: N818 - no error: the caller has gone away
    """The work was called off."""


def run_in_browser(
    work: Callable[[BrowserContext, threading.Event], _T],
    *,
    browser: Browser,
    timeout: float = 3600,
    **options: Any,
) -> _T:
    """Open a fresh browser, do some work in it, close it, and return what the work returned.

    Args:
        work: called with the browser and an event that is set when the caller has gone away.
        browser: from `find_browser`.
        timeout: seconds after which the work has ended by itself, or never will.
        options: of `open_browser`.

    Raises:
        connector.errors.ConnectorError: as the work and `open_browser` do.
    """
    task, deadline = _Task(work, browser, options), Clock().deadline(_START + timeout)
    with task:
        # In small steps: on Windows, Ctrl-C does not end a wait without an end.
        while not wait([task.result], timeout=0.2).done:
            if deadline.passed:
                raise endings.crashed()
        return task.result.result()


class _Task(Generic[_T]):
    def __init__(
        self,
        work: Callable[[BrowserContext, threading.Event], _T],
        browser: Browser,
        options: dict[str, Any],
    ) -> None:
        self.result: Future[_T] = Future()
        self._work, self._browser, self._options = work, browser, options
        self._cancelled = threading.Event()
        self._process: int | None = None
        # A daemon: a second Ctrl-C ends the program, and with it the driver and the browser.
        self._thread = threading.Thread(target=self._run, name="ormco-browser", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exc: object) -> None:
        self._cancelled.set()
        self._thread.join(_PROMPTLY)
        if self._thread.is_alive():
            # Inside a browser call the thread does not see it; without its browser the call ends.
            if self._process is not None:
                with suppress(OSError):
                    os.kill(self._process, getattr(signal, "SIGKILL", signal.SIGTERM))
            self._thread.join(_CLOSING)

    def _run(self) -> None:
        try:
            with open_browser(self._browser, **self._options) as context:
                self._process = _process_of(context)
                result = self._work(context, self._cancelled)
            self.result.set_result(result)
        except BaseException as exc:
            self.result.set_exception(exc)


def _process_of(context: BrowserContext) -> int | None:
    if context.browser is None:
        return None
    session = context.browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return next((int(each["id"]) for each in processes if each["type"] == "browser"), None)
