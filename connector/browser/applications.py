"""The Applications page: see whether an account has allowed Ormco, and remove it there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from connector.browser.installed import find_browser
from connector.browser.launch import require_playwright
from connector.browser.own_thread import run_in_browser
from connector.clock import Clock

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

__all__ = ["remove_application"]

_SLOW = 120.0  # s beyond the person's time for pages that take theirs
_PATIENCE = 20.0  # s for the page to show what is expected of it, where nobody can help


def remove_application(
    url: str,
    *,
    account: str | None = None,
    credentials: tuple[str, str] | None = None,
    headless: bool = False,
    timeout: float = 600,
    browser: str | None = None,
) -> bool:
    """Remove Ormco on the Applications page: sign in, the square icon next to it, confirm, seen gone.

    A person signs in, unless there are credentials. The rest is done for them; where the page is not as it is
    known they can do that too, and its end is seen.

    Args:
        url: the Applications page.
        account: e-mail address of the account that has to be signed in, if it is known.
        credentials: user name and password, to sign in where no person does.
        headless: without a window.
        timeout: seconds until the wait for a person ends.
        browser: path of the browser; None to look for one.

    Returns:
        Whether Ormco was listed; it is not any more.

    Raises:
        connector.errors.AccountMismatchError: another account is signed in; nothing was removed.
        connector.errors.WindowClosedError: if the window was closed before.
        connector.errors.NobodyActedError: if the time ran out.
        connector.errors.PageChangedError: if the page is not as expected, and nobody is there to help.
        connector.errors.SettingError: if the credentials are not accepted.
        connector.errors.ProviderUnavailableError: if a page could not be loaded.
        connector.errors.BrowserUnavailableError: if there is no browser, or it does not start.
        connector.errors.ExtraMissingError: without Playwright.
    """
    require_playwright()
    from connector.browser.applications_visit import ApplicationsVisit, require_account

    if credentials is not None and "@" in credentials[0]:
        require_account(account, {credentials[0]})
    chosen = find_browser(browser, headless=headless)

    def remove(context: BrowserContext, cancelled: threading.Event) -> bool:
        visit = ApplicationsVisit(context, cancelled, account=account, deadline=Clock().deadline(timeout))
        visit.open(url)
        if credentials is not None:
            visit.sign_in(*credentials)
        return visit.remove(patience=_PATIENCE if credentials is not None else timeout)

    return run_in_browser(remove, browser=chosen, timeout=timeout + _SLOW, headless=headless, english=True)
