"""Open the authorization URL in a fresh browser and bring back the redirect URL.

The browser has a thread of its own. So Ctrl-C reaches the caller at any moment and not the middle of a
browser call, and it makes no difference whether an event loop runs in the caller's thread.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.browser import endings
from connector.browser.installed import Browser, find_browser
from connector.browser.landing import Landing
from connector.browser.launch import open_browser, require_playwright
from connector.browser.redirect_place import RedirectPlace
from connector.clock import Clock
from connector.errors import ConnectorError, ConsentDeniedError
from connector.redirect.parse import CapturedUrl

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["capture_redirect", "open_capture"]

_GLANCE = 1.5  # s for a person to see that access is allowed
_READ = 4.0  # s for a person to read how it ended
_PROMPTLY = 2.0  # s for a browser to close that was asked to
_CLOSING = 10.0  # s for what is left of it to be swept up
_START = 60.0  # s for a browser to start
_LONGEST_EXCHANGE = 600.0  # s for the caller to make use of the answer


def capture_redirect(
    url: str,
    *,
    redirect_uri: str,
    person: Callable[[Page], object] | None = None,
    headless: bool = False,
    timeout: float = 600,
    browser: str | None = None,
) -> str:
    """Let a person allow access in a fresh browser, and return where the provider then sends the browser.

    The browser is of the Chromium family and knows nothing: no cookies, no stored passwords, no session of
    another account. The landing site is never contacted: the redirect is answered by a page of ours.

    Args:
        url: the authorization URL.
        redirect_uri: the address the provider sends the browser back to.
        person: called with the page (Playwright's synchronous `Page`, in the browser's own thread) to act
            when no human does.
        headless: without a window.
        timeout: seconds until the wait ends.
        browser: path of the browser; None to look for one.

    Returns:
        The redirect URL, raw: percent-encoded exactly as the provider sent it.

    Raises:
        connector.errors.WindowClosedError: if the window was closed.
        connector.errors.NobodyActedError: if the time ran out.
        connector.errors.ProviderErrorPageError: if the provider showed an error page of its own.
        connector.errors.ProviderUnavailableError: if a page of the provider could not be loaded.
        connector.errors.BrowserUnavailableError: if there is no browser, or it does not start or crashes.
        connector.errors.ExtraMissingError: without Playwright.
    """
    errand = _errand(url, redirect_uri, person=person, headless=headless, timeout=timeout, browser=browser)
    with _Courier(errand) as courier:
        redirect_url = courier.redirect_url()
        courier.leave(None)
        return redirect_url


@contextmanager
def open_capture(
    url: str,
    *,
    redirect_uri: str,
    person: Callable[[Page], object] | None = None,
    headless: bool = False,
    timeout: float = 600,
    browser: str | None = None,
) -> Iterator[str]:
    """Capture the redirect and keep the window, until the connection is made or has failed.

    What happens inside the `with` block decides what the page says at the end: "You are connected", or the
    message of the error that leaves the block. Then the window stays for some seconds to be read.

    Args:
        url: the authorization URL.
        redirect_uri: the address the provider sends the browser back to.
        person: as for `capture_redirect`.
        headless: without a window.
        timeout: seconds until the wait for the redirect ends.
        browser: path of the browser; None to look for one.

    Yields:
        The redirect URL, raw.

    Raises:
        connector.errors.ConnectorError: as `capture_redirect` does.
    """
    errand = _errand(url, redirect_uri, person=person, headless=headless, timeout=timeout, browser=browser)
    with _Courier(errand) as courier:
        redirect_url = courier.redirect_url()
        try:
            yield redirect_url
        except ConnectorError as exc:
            denied = isinstance(exc, ConsentDeniedError)
            courier.leave(None if denied else (Landing.FAILED, _sentence(exc.message)))
            raise
        courier.leave((Landing.CONNECTED, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    url: str
    place: RedirectPlace
    person: Callable[[Page], object] | None
    headless: bool
    timeout: float
    browser: Browser


def _errand(url: str, redirect_uri: str, *, browser: str | None, headless: bool, **rest: Any) -> _Errand:
    require_playwright()
    return _Errand(
        url=url,
        place=RedirectPlace.from_urls(redirect_uri, url),
        headless=headless,
        browser=find_browser(browser, headless=headless),
        **rest,
    )


class _Courier:
    """Runs an errand in a thread of its own; inside `with`, which ends with the browser gone."""

    def __init__(self, errand: _Errand) -> None:
        self._errand = errand
        self._answer: Future[str] = Future()
        self._farewell: Future[tuple[Landing, str] | None] = Future()
        self._cancelled = threading.Event()
        self._browser_process: int | None = None
        # A daemon: a second Ctrl-C ends the program, and with it the driver and the browser.
        self._thread = threading.Thread(target=self._run, name="ormco-browser", daemon=True)

    def __enter__(self) -> _Courier:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._cancelled.set()
        self._thread.join(_PROMPTLY)
        if self._thread.is_alive():
            # Inside a browser call the thread does not see it; without its browser the call ends.
            self._kill_browser()
            self._thread.join(_CLOSING)

    def redirect_url(self) -> str:
        """Wait for the redirect, and return it."""
        deadline = Clock().deadline(_START + self._errand.timeout)
        # In small steps: on Windows, Ctrl-C does not end a wait without an end.
        while not wait([self._answer], timeout=0.2).done:
            if deadline.passed:
                raise endings.nobody_acted(self._errand.timeout)
        return CapturedUrl(self._answer.result())

    def leave(self, words: tuple[Landing, str] | None) -> None:
        """Say how it ended, if there is more to say than before; then close the window when it was read."""
        self._farewell.set_result(words)
        while self._thread.is_alive():
            self._thread.join(0.2)

    def _kill_browser(self) -> None:
        if self._browser_process is not None:
            with suppress(OSError):
                os.kill(self._browser_process, getattr(signal, "SIGKILL", signal.SIGTERM))

    def _run(self) -> None:
        try:
            self._carry()
        except BaseException as exc:
            # After the answer, nothing that happens to the window matters any more.
            if not self._answer.done():
                self._answer.set_exception(exc)

    def _carry(self) -> None:
        from connector.browser.trap import RedirectTrap
        from connector.browser.visit import Visit

        errand = self._errand
        with open_browser(
            errand.browser,
            headless=errand.headless,
            english=errand.person is not None,
            unreachable=errand.place.resolver_rules,
        ) as context:
            trap = RedirectTrap(context, errand.place)
            self._browser_process = trap.browser_process
            visit = Visit(context, trap, timeout=errand.timeout, cancelled=self._cancelled)
            answer = visit.redirect_url(errand.url, errand.person)
            visit.stay(2.0, until=lambda: trap.shown)
            self._answer.set_result(answer)
            if errand.headless:
                return
            visit.stay(_LONGEST_EXCHANGE, until=self._farewell.done)
            words = self._farewell.result(timeout=0)
            if words is not None:
                trap.show(*words)
            visit.stay(_READ if words else _GLANCE)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:] + ("" if message.endswith((".", "…")) else ".")
