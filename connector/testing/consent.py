"""A consent, step by step: what a test, or the monitor's check, has a browser do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

from connector.browser import find_browser, pages
from connector.browser.launch import require_playwright
from connector.errors import PageChangedError, SettingError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.provider import is_loopback
from connector.testing.browser_thread import BrowserThread, Errand, bare
from connector.testing.evidence import Evidence, look_at
from connector.testing.expected_page import Difference, compare, page_changed
from connector.testing.remote import remote
from connector.testing.screenshot import masked_screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["Consent", "PracticeAccount", "Settings"]

# pytest then shows the test's own line, and no arguments of ours, such as a password.
__tracebackhide__ = True

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticeAccount:
    """A practice's Communicate account, to sign in with; a test's report shows neither."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a consent's browser is run.

    Attributes:
        browser: path of the browser; None to look for one.
        headless: without a window.
        timeout: seconds until the redirect has to be there.
        trace: where to save a full trace, of a provider on this machine only; None for none.
    """

    browser: str | None = None
    headless: bool = True
    timeout: float = 120
    trace: Path | None = None


class Consent:
    """A browser at the provider, and a test, or a monitor, in the place of the person who gives consent.

    Each `open` starts a fresh browser that knows nothing. The redirect is caught in it and goes nowhere.

    Args:
        account: who signs in, unless `sign_in` is told otherwise.
        new_request: makes the request that `open` opens if it is given none.
        settings: how to run the browser.
    """

    def __init__(
        self,
        account: PracticeAccount,
        *,
        new_request: Callable[[], AuthorizationRequest] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._account = account
        self._new_request = new_request
        self._settings = settings or Settings()
        self._thread: BrowserThread | None = None
        self._personal: frozenset[str] = frozenset()
        self._failure: Evidence | None = None
        #: what was done so far, in words
        self.steps: list[str] = []

    def open(self, request: AuthorizationRequest | str | None = None) -> None:
        """Open an authorization request.

        Args:
            request: of `Connector.begin`; or any authorization URL; or None for one of its own.

        Raises:
            connector.errors.ConnectorError: there is no browser, or no page of the provider's.
        """
        self.close()
        if request is None:
            if self._new_request is None:
                raise SettingError("there is no request to open", hint="Call consent.open(request).")
            request = self._new_request()
        errand = self._errand(request)
        self._failure, self.steps = None, []
        self._thread = BrowserThread(errand, on_failure=self._keep_evidence)
        self._thread.open()
        self.steps.append("opened the authorization request")

    def sign_in(self, account: PracticeAccount | None = None) -> None:
        """Sign in, if the provider asks for it, and wait for the Authorize page.

        Raises:
            connector.errors.PageChangedError: a page is not as the guide shows it; it says what is missing.
            connector.errors.SettingError: the provider does not accept the user name or the password.
        """
        who = account or self._account
        self._personal |= {who.username}
        try:
            self._step(lambda page: pages.sign_in(page, who.username, who.password))
        except PageChangedError:
            difference = self._failure and self._failure.difference
            if not difference:
                raise
            raise bare(page_changed(difference)) from None
        self.steps.append("signed in")

    def allow(self, *, check: bool = True) -> None:
        """Press *Allow access*; where the provider has not asked, there is nothing to press.

        Args:
            check: first compare the page with the guide's.

        Raises:
            connector.errors.PageChangedError: the page is not as the guide shows it.
        """
        self._press(pages.allow_access, "Allow access", check=check)

    def cancel(self, *, check: bool = True) -> None:
        """Press *Cancel*.

        Args:
            check: first compare the page with the guide's.

        Raises:
            connector.errors.PageChangedError: the page is not as the guide shows it.
        """
        self._press(pages.cancel, "Cancel", check=check)

    @property
    def redirected(self) -> bool:
        """Whether the provider has sent the browser back."""
        return self._open_thread.redirected

    @property
    def redirect_url(self) -> str:
        """Where the provider sends the browser back to: raw, as for `Connector.complete`.

        Raises:
            connector.errors.ConnectorError: it does not; says what it does instead.
        """
        address = self._open_thread.redirect_url()
        if self.steps[-1:] != ["was sent back"]:
            self.steps.append("was sent back")
        return address

    @property
    def page(self) -> Page:
        """The newest page of the browser: Playwright's synchronous `Page`, usable from any thread.

        It works with Playwright's `expect`, whatever event loop runs in the test's own thread.
        """
        thread = self._open_thread
        page = thread.run(lambda page: page)
        return cast("Page", remote(lambda: page, lambda act: thread.run(lambda newest: act())))

    def difference(self) -> Difference:
        """Compare the page at hand with the guide's Authorize page, in words and roles."""
        return self._open_thread.run(compare)

    def screenshot(self) -> bytes:
        """Return a PNG of the page at hand, with everything personal covered."""
        return self._open_thread.run(lambda page: masked_screenshot(page, personal=self._personal))

    def evidence(self) -> Evidence | None:
        """Return what the page looked like when a step failed, else what it looks like now; None without."""
        if self._failure is None and self._thread is not None:
            with suppress(Exception):
                if not self._thread.redirected:
                    return self._thread.run(self._look)
        return self._failure

    def close(self) -> None:
        """Close the browser."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    @property
    def _open_thread(self) -> BrowserThread:
        if self._thread is None:
            raise SettingError("no authorization request is open", hint="Call consent.open(request) first.")
        return self._thread

    def _errand(self, request: AuthorizationRequest | str) -> Errand:
        require_playwright()
        url = request if isinstance(request, str) else request.url
        redirect_uri = _redirect_uri_in(url) if isinstance(request, str) else request.redirect_uri
        settings = self._settings
        return Errand(
            url=url,
            redirect_uri=redirect_uri,
            browser=find_browser(settings.browser, headless=settings.headless),
            headless=settings.headless,
            timeout=settings.timeout,
            trace=settings.trace if is_loopback(url) else None,
        )

    def _step(self, act: Callable[[Page], _T]) -> _T | None:
        return self._open_thread.step(act)

    def _press(self, press: Callable[[Page], None], name: str, *, check: bool) -> None:
        if self._open_thread.redirected:
            self.steps.append(f"did not press {name}: the provider has not asked")
            return

        def act(page: Page) -> None:
            if check and (difference := compare(page)):
                raise page_changed(difference)
            press(page)

        self._step(act)
        self.steps.append(f"pressed {name}")

    def _keep_evidence(self, page: Page) -> None:
        with suppress(Exception):
            self._failure = self._look(page)

    def _look(self, page: Page) -> Evidence:
        return look_at(page, personal=self._personal)


def _redirect_uri_in(url: str) -> str:
    values = parse_qs(urlsplit(url).query).get("redirect_uri", [])
    if len(values) != 1:
        raise SettingError(
            "the authorization URL does not name one redirect_uri",
            hint="Open a request of Connector.begin, or a whole authorization URL.",
        )
    return values[0]
