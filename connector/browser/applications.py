"""Remove Ormco on the Applications page of a Communicate account."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from connector.browser import session_options as options
from connector.browser.browser_thread import BrowserThread
from connector.browser.pages import communicate as pages
from connector.browser.session_options import Words
from connector.clock import Clock, Deadline
from connector.errors import AccountMismatchError, PageChangedError

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from connector.browser.session import BrowserSession

__all__ = ["remove_application"]

_NAME = "Ormco"
_SLOW = 120.0  # s in addition to the person's time, for slow pages
_ACTION = 5_000  # ms for one icon or button
_AGAIN = 5.0  # s before something is pressed a second time
_WORDS = Words(
    closed=f"before {_NAME} was shown as removed",
    close_hint="Start again, and leave the window open until it closes by itself.",
    nobody=f"{_NAME} was not removed in time: nobody signed in or pressed the buttons",
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")

Shown = Literal["asked", "listed", "unlisted", "elsewhere"]


def remove_application(
    url: str,
    *,
    account: str | None = None,
    credentials: tuple[str, str] | None = None,
    headless: bool = False,
    timeout: float = 600,
    browser: str | None = None,
) -> bool:
    """Remove Ormco on the Applications page, and wait until the page does not list it any more.

    A person signs in, unless there are credentials. The other steps are automatic; if the page has changed,
    the person can take them instead, and the removal is detected.

    Args:
        url: the Applications page.
        account: e-mail address of the account to be signed in to, if it is known.
        credentials: user name and password, to sign in without a person.
        headless: whether the browser runs without a window.
        timeout: seconds to wait for a person.
        browser: path of the browser; None to look for one.

    Returns:
        Whether Ormco was listed; afterwards it is not.

    Raises:
        connector.errors.AccountMismatchError: another account is signed in; nothing was removed.
        connector.errors.WindowClosedError: if the window was closed too early.
        connector.errors.NobodyActedError: if no person acted in time.
        connector.errors.PageChangedError: if the page is not as expected, and no person is there to help.
        connector.errors.SettingError: if the credentials are not accepted.
        connector.errors.ProviderUnavailableError: if a page could not be loaded.
        connector.errors.BrowserUnavailableError: if there is no browser, or it does not start or crashes.
        connector.errors.ExtraMissingError: if Playwright is not installed.
    """
    if credentials is not None and "@" in credentials[0]:
        _require_account(account, {credentials[0]})

    def remove(session: BrowserSession) -> bool:
        session.open(url)
        if credentials is not None:
            name, password, page = *credentials, session.page
            session.act(lambda: pages.sign_in(page, name, password, destination=pages.applications_heading))
        # If a person is there, the wait ends in NobodyActedError, not in PageChangedError.
        removal = _Removal(session, account, options.PATIENCE if credentials is not None else math.inf)
        session.wait_until(removal.is_done)
        return removal.listed

    return BrowserThread(
        remove, browser=browser, headless=headless, timeout=timeout, slack=_SLOW, words=_WORDS
    ).run()


class _Removal:
    """The removal, from the sign-in until Ormco is not listed any more.

    Attributes:
        listed: whether Ormco was listed at any time.
    """

    def __init__(self, session: BrowserSession, account: str | None, patience: float) -> None:
        self._session = session
        self._account = account
        self._patience = patience
        self.listed = False
        self._icon_pressed = False
        self._seen: Shown | None = None
        self._since = 0.0
        # When the icon and the confirmation may be pressed again.
        self._pressed: dict[Shown, Deadline] = {}
        # Some sites confirm by a JavaScript dialog; one before the icon is pressed has another reason.
        session.context.on(
            "dialog", lambda dialog: dialog.accept() if self._icon_pressed else dialog.dismiss()
        )

    def is_done(self) -> bool:
        """Press the icon or confirm, if either shows; return whether Ormco is not listed any more."""
        shown, page = self._look()
        now = Clock().monotonic()
        if shown != self._seen:
            self._seen, self._since = shown, now
        if shown == "unlisted" and now - self._since > options.UNLISTED:
            return True
        self.listed = self.listed or shown == "listed"
        before = self._pressed.get(shown)
        if page is not None and shown in ("listed", "asked") and (before is None or before.passed):
            self._press(page, shown)
            self._pressed[shown] = Clock().deadline(_AGAIN)
        if now - self._since > self._patience:
            raise PageChangedError(
                f"the Applications page has no {_MISSING.get(shown, 'end')}",
                hint="Use the visible browser, or remove it by hand and confirm that it is done.",
            )
        return False

    def _look(self) -> tuple[Shown, Page | None]:
        """Return the state of the removal, as the newest readable page shows it."""
        from playwright.sync_api import Error as PlaywrightError

        for page in reversed(self._session.context.pages):
            # A page that is navigating cannot be read.
            with suppress(PlaywrightError):
                if pages.confirm_button(page).count():
                    return "asked", page
                if pages.applications_heading(page).locator("visible=true").count():
                    self._check_account(page)
                    return "listed" if pages.application_name(page, _NAME).count() else "unlisted", page
        return "elsewhere", None

    def _press(self, page: Page, shown: Shown) -> None:
        """Press the next button if it is visible; a person may do it instead."""
        from playwright.sync_api import Error as PlaywrightError

        if shown == "asked" and not self._icon_pressed:
            return  # the dialog is about something else
        button = pages.confirm_button(page) if shown == "asked" else pages.application_icon(page, _NAME)
        with suppress(PlaywrightError):
            if button.count() > 1:
                return  # the wrong one would remove another application
            if button.count():
                self._icon_pressed = True
                button.click(timeout=_ACTION)

    def _check_account(self, page: Page) -> None:
        text = page.locator("body").inner_text(timeout=_ACTION)
        shown = {email for email in _EMAIL.findall(text) if "3shape" not in email.lower()}
        if shown:
            _require_account(self._account, shown)


def _require_account(expected: str | None, shown: Collection[str]) -> None:
    """Refuse an account other than the one whose access is revoked."""
    if expected is not None and expected.casefold() not in {each.casefold() for each in shown}:
        raise AccountMismatchError(
            f"{' or '.join(sorted(shown))} is signed in, but the connection is to {expected}; "
            "nothing was removed",
            hint=f"Start again, and sign in as {expected}.",
        )


_MISSING = {
    "elsewhere": 'heading "Applications"',
    "listed": f"single icon next to {_NAME}",
    "asked": f"list without {_NAME} after confirming, or more than one button to confirm",
}
