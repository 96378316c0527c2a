"""Open the authorization URL in a fresh browser and return the redirect URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connector.browser.browser_thread import BrowserThread
from connector.browser.intercept import ResultPage
from connector.browser.redirect_target import RedirectTarget
from connector.errors import ConnectorError, ConsentDeniedError
from connector.redirect.parse import CapturedUrl
from connector.words import sentence

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from connector.browser.session import BrowserSession

__all__ = ["capture_redirect", "open_capture"]

_LOADING = 10_000.0  # ms
_GLANCE = 1.5  # s for a person to see that access is allowed
_READ = 4.0  # s for a person to read the result
_LONGEST_EXCHANGE = 600.0  # s for the caller to use the response

Farewell = tuple[ResultPage, str] | None


def capture_redirect(
    url: str,
    *,
    redirect_uri: str,
    person: Callable[[Page], object] | None = None,
    headless: bool = False,
    timeout: float = 600,
    browser: str | None = None,
) -> str:
    """Let a person allow access in a fresh browser, and return the redirect URL.

    The browser is of the Chromium family and has a fresh profile: no cookies, no stored passwords, no session
    of another account. The landing site is never contacted: the browser shows a local page instead.

    Args:
        url: the authorization URL.
        redirect_uri: the address the provider sends the browser back to.
        person: called with the page (Playwright's synchronous `Page`, in the browser's own thread) to act
            in place of a human.
        headless: whether the browser runs without a window.
        timeout: seconds to wait for the redirect.
        browser: path of the browser; None to look for one.

    Returns:
        The redirect URL, raw: percent-encoded exactly as the provider sent it.

    Raises:
        connector.errors.WindowClosedError: if the window was closed.
        connector.errors.NobodyActedError: if no person acted in time.
        connector.errors.ProviderErrorPageError: if the provider showed its own error page.
        connector.errors.ProviderUnavailableError: if a page of the provider could not be loaded.
        connector.errors.BrowserUnavailableError: if there is no browser, or it does not start or crashes.
        connector.errors.ExtraMissingError: if Playwright is not installed.
    """
    with _captured(url, redirect_uri, person, headless, timeout, browser) as (redirect_url, leave):
        leave(None)
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
    """Capture the redirect and keep the window open until the connection is made or has failed.

    The result of the `with` block decides the final text of the page: "You are connected", or the message of
    the error that leaves the block. Then the window stays open for some seconds, so that a person can read
    it. The arguments are those of `capture_redirect`.

    Yields:
        The redirect URL, raw.

    Raises:
        connector.errors.ConnectorError: as `capture_redirect` does.
    """
    with _captured(url, redirect_uri, person, headless, timeout, browser) as (redirect_url, leave):
        try:
            yield redirect_url
        except ConnectorError as exc:
            denied = isinstance(exc, ConsentDeniedError)
            leave(None if denied else (ResultPage.FAILED, sentence(exc.message)))
            raise
        leave((ResultPage.CONNECTED, ""))


def _let_act(session: BrowserSession, person: Callable[[Page], object]) -> None:
    from playwright.sync_api import Error as PlaywrightError

    page = session.page
    session.context.set_default_timeout(1000 * max(1.0, min(30.0, session.deadline.left)))
    try:
        # Closing a page in the middle of its loading makes Chromium hang.
        page.wait_for_load_state(timeout=_LOADING)
    except PlaywrightError:
        session.check()
    if session.response is None:
        session.act(lambda: person(page))


@contextmanager
def _captured(
    url: str,
    redirect_uri: str,
    person: Callable[[Page], object] | None,
    headless: bool,
    timeout: float,
    browser: str | None,
) -> Iterator[tuple[str, Callable[[Farewell], None]]]:
    response: Future[str] = Future()
    farewell: Future[Farewell] = Future()

    def work(session: BrowserSession) -> None:
        interceptor: Any = session.interceptor
        session.open(url)
        if person is not None and session.response is None:
            _let_act(session, person)
        session.wait_until(lambda: session.response)
        session.stay(2.0, until=lambda: interceptor.shown)
        response.set_result(interceptor.response)
        if headless:
            return
        session.stay(_LONGEST_EXCHANGE, until=farewell.done)
        words = farewell.result(timeout=0)
        if words is not None:
            interceptor.show(*words)
        session.stay(_READ if words else _GLANCE)

    def leave(words: Farewell) -> None:
        farewell.set_result(words)
        thread.join()

    target = RedirectTarget.from_urls(redirect_uri, url)
    with BrowserThread(
        work, browser=browser, headless=headless, english=person is not None, target=target, timeout=timeout
    ) as thread:
        yield CapturedUrl(thread.wait(response)), leave
