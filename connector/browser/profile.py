"""Connect OrmcoDigital's My Profile page to 3Shape in a browser, without manual copying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.browser.browser_thread import BrowserThread
from connector.browser.installed import Browser
from connector.browser.readiness import check_browser
from connector.browser.redirect_target import RedirectTarget
from connector.browser.session_options import Words
from connector.errors import BrowserUnavailableError, ConnectorError, ProviderErrorPageError
from connector.oauth.provider import require_secure
from connector.redirect.parse import parse_redirect

if TYPE_CHECKING:
    from connector.browser.profile_steps import ProfileSteps
    from connector.browser.session import BrowserSession

__all__ = ["ProfileUpdate", "SignIns", "check_profile", "connect_profile"]

_SLOW = 300.0  # s in addition to the person's time, for slow pages
_READ = 3.0  # s for a person to see that the profile is saved
_WORDS = Words(
    closed="before the profile was saved",
    close_hint="Start again, and leave the window open until it closes by itself.",
    nobody="nobody signed in to OrmcoDigital",
    hints={
        ProviderErrorPageError: "Open ORMCO_DIGITAL_URL in a browser of your own to check it. If the page"
        " is 3Shape's, OrmcoDigital's own link led there: tell Ormco's support.",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIns:
    """User names and passwords, to sign in without a person.

    Attributes:
        digital: for OrmcoDigital; None if a person signs in there.
        communicate: for 3Shape, also to allow access; None if a person does both.
    """

    digital: tuple[str, str] | None = field(default=None, repr=False)
    communicate: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileUpdate:
    """The result of saving My Profile.

    Attributes:
        said: the text of the page after *Update*, or "".
        confirmed: whether the page said that it is saved or that 3Shape is connected. If not, all that is
            known is that the server responded to *Update* and the Submission Method is saved.
    """

    said: str
    confirmed: bool


def connect_profile(
    digital_url: str,
    *,
    redirect_uri: str,
    sign_ins: SignIns = SignIns(),
    headless: bool = False,
    timeout: float = 600,
    browser: str | None = None,
    progress: Callable[[str], object] = lambda step: None,
) -> ProfileUpdate:
    """Take steps 1-10 of the guide "Getting Connected on OrmcoDigital" in a fresh browser.

    The code goes from 3Shape into OrmcoDigital's dialog and nowhere else: the landing site is never reached.

    Args:
        digital_url: the address of OrmcoDigital.
        redirect_uri: the address that 3Shape sends the browser back to for OrmcoDigital.
        sign_ins: user names and passwords, if no person signs in.
        headless: whether the browser runs without a window.
        timeout: seconds to wait for a person.
        browser: path of the browser; None to look for one.
        progress: called with each finished step ("method", "dialog", "consent", "code", "ok", "update",
            "checked"), and with each request for a manual step ("by hand: ...").

    Raises:
        connector.errors.ConsentDeniedError: access was refused, or the window was closed.
        connector.errors.CodeRefusedError: OrmcoDigital refused the code in the dialog, or at *Update*.
        connector.errors.AuthorizationResponseError: the time ran out, or a session ended.
        connector.errors.PageChangedError: a page lacks an element that the guide names.
        connector.errors.ProviderErrorPageError: OrmcoDigital refused to save the profile for another reason.
        connector.errors.ProviderUnavailableError: a page could not be loaded.
        connector.errors.SettingError: an address or a password is wrong.
        connector.errors.BrowserUnavailableError: there is no browser, or it does not start.
    """
    require_secure(digital_url, "ORMCO_DIGITAL_URL")
    target = RedirectTarget.from_urls(redirect_uri, digital_url)

    def work(session: BrowserSession) -> ProfileUpdate:
        from connector.browser.profile_page import ProfilePage
        from connector.browser.profile_steps import ProfileSteps

        page = ProfilePage(session, person=not headless, timeout=timeout, progress=progress)
        with page.in_words():
            session.open(digital_url)
            update = _follow(ProfileSteps(page, target, sign_ins.digital), redirect_uri, sign_ins.communicate)
            if not headless:
                session.stay(_READ)
            return update

    check_profile(headless=headless, browser=browser)
    return BrowserThread(
        work, browser=browser, headless=headless, target=target, timeout=timeout, slack=_SLOW, words=_WORDS
    ).run()


def check_profile(*, headless: bool = False, browser: str | None = None) -> Browser:
    """Check that a browser can be opened, before a person is asked for anything.

    Args:
        headless: whether the browser runs without a window.
        browser: path of the browser; None to look for one.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no browser, it is broken, or has no display.
        connector.errors.ExtraMissingError: if Playwright is not installed.
    """
    try:
        return check_browser(browser, headless=headless)
    except BrowserUnavailableError as exc:
        raise _no_browser(exc) from None


def _follow(steps: ProfileSteps, redirect_uri: str, allow: tuple[str, str] | None) -> ProfileUpdate:
    steps.open_dialog()
    steps.progress("dialog")
    response = parse_redirect(steps.authorize(allow), redirect_uri=redirect_uri)
    steps.progress("code")
    steps.enter(response.dialog_code)
    said = steps.update()
    connected = steps.check()
    return ProfileUpdate(said=said, confirmed=bool(said) or connected)


def _no_browser(error: ConnectorError) -> ConnectorError:
    """Return the error for a missing or broken browser, with the steps to take without one."""
    from connector.browser.profile_page import BY_HAND

    return type(error)(
        error.message,
        hint="Install Chrome or Chromium, or set ORMCO_BROWSER; without a display, run without a window, with"
        f" the credentials in the environment. {BY_HAND}",
    )
