"""A consent in a browser, step by step, for a test or the monitor's check."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from connector.browser.pages import communicate as pages
from connector.browser.redirect_target import RedirectTarget
from connector.clock import Clock
from connector.config import Config
from connector.errors import ConnectorError, PageChangedError, SettingError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.provider import ClientRegistration, Provider, require_secure
from connector.resources import Resources
from connector.testing.communicate import PracticeAccount, client_id_of
from connector.testing.evidence import Difference, Evidence, compare, look_at, masked_screenshot, page_changed

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from connector.browser.session import BrowserSession
    from connector.testing.browser import ConsentBrowser

__all__ = ["Consent", "new_request"]

# So that pytest shows the test's own line, not the arguments of this module's functions, such as a password.
__tracebackhide__ = True


def new_request(config: Config, provider: Provider | None = None) -> AuthorizationRequest:
    """Create an authorization request as Ormco's application would.

    It is not stored, and needs no client secret. `provider` is the provider after discovery, if known.

    Raises:
        connector.errors.ConfigurationError: the provider or the redirect URI is wrong.
        connector.errors.ProviderUnavailableError: the provider's discovery document cannot be read.
    """
    provider = provider or Resources(config).provider
    client = ClientRegistration(
        client_id=client_id_of(config, provider) or "",
        redirect_uri=require_secure(config.redirect_uri, "the redirect URI"),
        scope=config.scope or provider.scope,
    )
    return AuthorizationRequest.new("consent-test", provider=provider, client=client, now=Clock().utc_now())


class Consent:
    """A browser at the provider; a test or a monitor acts instead of the person who gives consent.

    Each `open` begins with a fresh profile. The redirect is intercepted and reaches no server.

    Args:
        account: the account that signs in, unless `sign_in` gets another one.
        open_session: opens a browser for a redirect target.
        new_request: creates the request that `open` opens by default.
        browser: the test session's browser; None if the caller is in the browser's own thread.
    """

    def __init__(
        self,
        account: PracticeAccount,
        *,
        open_session: Callable[[RedirectTarget], AbstractContextManager[BrowserSession]],
        new_request: Callable[[], AuthorizationRequest] | None = None,
        browser: ConsentBrowser | None = None,
    ) -> None:
        self._account = account
        self._open_session = open_session
        self._new_request = new_request
        self._browser = browser
        self._running = ExitStack()
        self._session: BrowserSession | None = None
        self._error: BaseException | None = None
        self._personal: frozenset[str] = frozenset()
        self._failure: Evidence | None = None
        #: the steps taken, in words
        self.steps: list[str] = []

    def open(self, request: AuthorizationRequest | str | None = None) -> None:
        """Open an authorization request.

        Args:
            request: a request from `Connector.begin`, or any authorization URL, or None for a new request.

        Raises:
            connector.errors.ConnectorError: there is no browser, or the provider shows no page.
        """
        self.close()
        if request is None:
            if self._new_request is None:
                raise SettingError("there is no request to open", hint="Call consent.open(request).")
            request = self._new_request()
        url = request if isinstance(request, str) else request.url
        redirect_uris = parse_qs(urlsplit(url).query).get("redirect_uri", [])
        if len(redirect_uris) != 1:
            raise SettingError(
                "the authorization URL does not name one redirect_uri",
                hint="Open a request of Connector.begin, or a whole authorization URL.",
            )
        target = RedirectTarget.from_urls(redirect_uris[0], url)
        self._error, self._failure, self.steps = None, None, []
        with self._in_use():
            session = self._session = self._running.enter_context(self._open_session(target))
            self._guarded(lambda: session.open(url))
        self.steps.append("opened the authorization request")

    def sign_in(self, account: PracticeAccount | None = None) -> None:
        """Sign in, if the provider asks for it, and wait for the Authorize page.

        Raises:
            connector.errors.PageChangedError: a page lacks what the guide shows; the message names it.
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
            raise _bare(page_changed(difference)) from None
        self.steps.append("signed in")

    def allow(self, *, check: bool = True) -> None:
        """Press *Allow access*, unless the provider has redirected without asking.

        Args:
            check: whether to compare the page with the guide's first.

        Raises:
            connector.errors.PageChangedError: the page is not as the guide shows it.
        """
        self._press(pages.ALLOW, check=check)

    def cancel(self, *, check: bool = True) -> None:
        """Press *Cancel*; arguments and errors are those of `allow`."""
        self._press(pages.CANCEL, check=check)

    @property
    def redirected(self) -> bool:
        """Whether the provider has sent the browser back."""
        session = self._opened()
        with self._in_use():
            session.stay(0.05, until=lambda: session.response is not None)
        return session.response is not None

    @property
    def redirect_url(self) -> str:
        """The raw redirect URL, as for `Connector.complete`.

        Raises:
            connector.errors.ConnectorError: the provider does not redirect; the message has the reason.
        """
        session = self._opened()
        with self._in_use():
            self._guarded(lambda: session.wait_until(lambda: session.response))
        if self.steps[-1:] != ["was sent back"]:
            self.steps.append("was sent back")
        return session.response or ""

    @property
    def page(self) -> Page:
        """The newest page of the browser: Playwright's own synchronous `Page`, for the test's thread."""
        session = self._opened()
        if self._browser is not None:
            self._browser.show_loop()
        return session.context.pages[-1]

    def difference(self) -> Difference:
        """Compare the current page with the guide's Authorize page, in words and roles."""
        session = self._opened()
        with self._in_use():
            return compare(session.context.pages[-1])

    def screenshot(self) -> bytes:
        """Return a PNG of the current page, with personal data covered."""
        session = self._opened()
        with self._in_use():
            return masked_screenshot(session.context.pages[-1], personal=self._personal)

    def evidence(self) -> Evidence | None:
        """Return the evidence of a failed step's page, else of the current page; None if there is no page."""
        if self._failure is None and self._session is not None and self._session.response is None:
            with self._in_use():
                self._keep_evidence()
        return self._failure

    def close(self) -> None:
        """Close the profile with all its pages."""
        with self._in_use():
            self._running.close()
        self._session = None

    def _in_use(self) -> AbstractContextManager[None]:
        return self._browser.in_use() if self._browser is not None else nullcontext()

    def _opened(self) -> BrowserSession:
        if self._error is not None:
            raise self._error
        if self._session is None:
            raise SettingError("no authorization request is open", hint="Call consent.open(request) first.")
        return self._session

    def _press(self, name: str, *, check: bool) -> None:
        if self.redirected:
            self.steps.append(f"did not press {name}: the provider has not asked")
            return

        def act(page: Page) -> None:
            if check and (difference := compare(page)):
                raise page_changed(difference)
            pages.press(page, name)

        self._step(act)
        self.steps.append(f"pressed {name}")

    def _step(self, act: Callable[[Page], object]) -> None:
        """Run an action on the newest page; ignore its failure if the redirect arrives meanwhile."""
        session = self._opened()
        with self._in_use():
            self._guarded(lambda: session.act(lambda: act(session.context.pages[-1])))

    def _guarded(self, act: Callable[[], object]) -> None:
        """Run an action; if it fails, keep the evidence of the page, and raise without a traceback."""
        try:
            act()
            return
        except Exception as exc:
            self._keep_evidence()
            error = self._error = _bare(exc)
        raise error

    def _keep_evidence(self) -> None:
        with suppress(Exception):
            if self._session is not None:
                self._failure = look_at(self._session.context.pages[-1], personal=self._personal)


def _bare(error: BaseException) -> BaseException:
    """Return an error with its hint but without its traceback, which shows arguments such as the password."""
    error.__cause__ = error.__context__ = None
    if isinstance(error, ConnectorError) and error.hint and not hasattr(error, "__notes__"):
        error.add_note(f"Hint: {error.hint}")
    return error.with_traceback(None)
