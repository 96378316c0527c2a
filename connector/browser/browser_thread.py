"""A separate thread for a browser.

With it, Ctrl-C reaches the caller at any time instead of interrupting a browser call, and the caller's thread
may have a running event loop.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from connector.browser.launch import crashed, is_gone, open_browser
from connector.browser.readiness import ready_browser
from connector.browser.redirect_target import RedirectTarget
from connector.clock import Clock
from connector.errors import BrowserUnavailableError

if TYPE_CHECKING:
    from connector.browser.session import BrowserSession

__all__ = ["BrowserThread"]

_T = TypeVar("_T")
_START = 60.0  # s for a browser to start
_PROMPTLY = 2.0  # s for a browser to close
_CLOSING = 10.0  # s to clean up after it


class BrowserThread(Generic[_T]):
    """Opens a fresh browser and runs work in it; the end of the context manager closes the browser.

    Args:
        work: called with the browser's session, in the browser's thread.
        browser: path of the browser; None to look for one.
        headless: whether the browser runs without a window.
        english: whether to ask for pages in English.
        target: the target of the redirect to intercept, if there is one.
        slack: seconds beyond the session's own timeout after which the work counts as hanging.
        session: further arguments of `BrowserSession`; `timeout` is required.
    """

    def __init__(
        self,
        work: Callable[[BrowserSession], _T],
        *,
        browser: str | None,
        headless: bool,
        english: bool = True,
        target: RedirectTarget | None = None,
        slack: float = 0.0,
        **session: Any,
    ) -> None:
        self.result: Future[_T] = Future()
        self._work, self._target, self._session = work, target, session
        self._setting, self._headless, self._english = browser, headless, english
        self._seconds = _START + session["timeout"] + slack
        self._cancelled = threading.Event()
        self._process: int | None = None
        # A daemon: a second Ctrl-C ends the program, and with it the driver and the browser.
        self._thread = threading.Thread(target=self._run, name="ormco-browser", daemon=True)

    def run(self) -> _T:
        """Run the work and return its result.

        Raises:
            connector.errors.BrowserUnavailableError: if there is no browser, or it does not start or crashes.
            connector.errors.ConnectorError: if the work raises it.
        """
        with self:
            result: _T = self.wait(self.result)
            return result

    def __enter__(self) -> BrowserThread[_T]:
        self._browser = ready_browser(self._setting, headless=self._headless)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._cancelled.set()
        self._thread.join(_PROMPTLY)
        if self._thread.is_alive():
            # Inside a browser call the thread cannot check for it; killing the browser ends the call.
            if self._process is not None:
                with suppress(OSError):
                    os.kill(self._process, getattr(signal, "SIGKILL", signal.SIGTERM))
            self._thread.join(_CLOSING)

    def wait(self, future: Future[Any]) -> Any:
        """Wait for a result that the work sets, or for the end of the work.

        Raises:
            connector.errors.ConnectorError: if the work raises it.
        """
        deadline = Clock().deadline(self._seconds)
        # In small steps: on Windows, Ctrl-C does not end a wait without a timeout.
        while not wait([future, self.result], timeout=0.2, return_when=FIRST_COMPLETED).done:
            if deadline.passed:
                raise BrowserUnavailableError(
                    "the browser does not respond", hint="End the browser by hand, and start again."
                )
        return future.result() if future.done() else self.result.result()

    def join(self) -> None:
        """Wait until the work has ended, with or without an error."""
        while self._thread.is_alive():
            self._thread.join(0.2)

    def _run(self) -> None:
        try:
            rules = self._target.resolver_rules if self._target else ""
            with open_browser(
                self._browser, headless=self._headless, english=self._english, unreachable=rules
            ) as context:
                from connector.browser.session import BrowserSession

                session = BrowserSession(
                    context, target=self._target, cancelled=self._cancelled, **self._session
                )
                self._process = session.process
                result = self._work(session)
            self.result.set_result(result)
        except BaseException as exc:
            self.result.set_exception(crashed() if is_gone(exc) else exc)
