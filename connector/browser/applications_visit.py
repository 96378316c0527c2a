"""One visit to the Applications page, from signing in to the moment Ormco is not listed any more."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from playwright.sync_api import Error as PlaywrightError

from connector.browser import endings, pages
from connector.browser.dead_ends import DeadEnds
from connector.browser.own_thread import CalledOff
from connector.clock import Clock, Deadline
from connector.errors import (
    AccountMismatchError,
    ConnectorError,
    NobodyActedError,
    PageChangedError,
    WindowClosedError,
)

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["ApplicationsVisit", "require_account"]

_NAME = "Ormco"
_FIRST_PAGE = 60_000  # ms
_ACTION = 5_000  # ms for one icon or button
_TICK = 100  # ms
_SETTLE = 1.5  # s that the list has to be without the name: it may be filled in after the page has come
_AGAIN = 5.0  # s before something is pressed a second time
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


class ApplicationsVisit:
    """One visit to the Applications page.

    Args:
        context: the browser.
        cancelled: set when the caller has gone away.
        account: who has to be signed in, if it is known.
        deadline: when a person has had time enough.
    """

    def __init__(
        self,
        context: BrowserContext,
        cancelled: threading.Event,
        *,
        account: str | None,
        deadline: Deadline,
    ) -> None:
        self._context = context
        self._cancelled = cancelled
        self._account = account
        self._deadline = deadline
        self._dead_ends = DeadEnds(context)
        self._icon_pressed = False
        # Some sites ask with a dialog of the browser's own; what a person asks for beside is not for us.
        context.on("dialog", lambda dialog: dialog.accept() if self._icon_pressed else dialog.dismiss())

    def open(self, url: str) -> None:
        """Load the page; the sign-in page comes first."""
        try:
            self._context.pages[0].goto(url, wait_until="commit", timeout=_FIRST_PAGE)
        except PlaywrightError as exc:
            self._raise_if_over()
            reason = exc.message.partition("net::")[2].split()[:1]
            raise endings.unreachable(url, reason[0] if reason else "no answer in time") from None

    def sign_in(self, username: str, password: str) -> None:
        """Sign in where no person does."""
        try:
            pages.sign_in(self._context.pages[0], username, password, destination=pages.applications_heading)
        except (PlaywrightError, ConnectorError):
            self._raise_if_over()
            self._dead_ends.raise_if_any(at_once=True)
            raise

    def remove(self, *, patience: float) -> bool:
        """Press the icon and confirm, until Ormco is not listed any more; return whether it ever was."""
        listed, seen, pressed, clock = False, "", Clock().deadline(0), Clock()
        since = clock.monotonic()
        while True:
            self._raise_if_over()
            found, page = self._look()
            if found != seen:
                seen, since = found, clock.monotonic()
            if found == "unlisted" and clock.monotonic() - since > _SETTLE:
                return listed
            listed = listed or found == "listed"
            if page is not None and found in ("listed", "asked") and pressed.passed:
                self._press(page, found)
                pressed = clock.deadline(_AGAIN)
            if clock.monotonic() - since > patience:
                raise _changed(found)
            self._tick()

    def _look(self) -> tuple[str, Page | None]:
        """Return what the newest page that can tell shows: "asked", "listed", "unlisted" or "elsewhere"."""
        for page in reversed(self._context.pages):
            # A page that is just being left shows nothing.
            with suppress(PlaywrightError):
                if pages.confirm_button(page).count():
                    return "asked", page
                if pages.applications_heading(page).locator("visible=true").count():
                    self._check_account(page)
                    return "listed" if pages.application_name(page, _NAME).count() else "unlisted", page
        return "elsewhere", None

    def _press(self, page: Page, found: str) -> None:
        """Press what is next, if it is there; a person may do it instead."""
        button = pages.confirm_button(page) if found == "asked" else pages.application_icon(page, _NAME)
        with suppress(PlaywrightError):
            if button.count() and (found == "listed" or self._icon_pressed):
                self._icon_pressed = True
                button.first.click(timeout=_ACTION)

    def _check_account(self, page: Page) -> None:
        text = page.locator("body").inner_text(timeout=_ACTION)
        shown = {email for email in _EMAIL.findall(text) if "3shape" not in email.lower()}
        if shown:
            require_account(self._account, shown)

    def _tick(self) -> None:
        with suppress(PlaywrightError):
            if self._context.pages:
                self._context.pages[-1].wait_for_timeout(_TICK)

    def _raise_if_over(self) -> None:
        if self._cancelled.is_set():
            raise CalledOff
        if not self._context.pages:
            raise WindowClosedError(
                f"the browser window was closed before {_NAME} was seen to be removed",
                hint="Run the same command again, and leave the window open until it closes by itself.",
            )
        self._dead_ends.raise_if_any()
        if self._deadline.passed:
            raise NobodyActedError(
                f"{_NAME} was not removed in time",
                hint="Run the same command again when somebody with the account's password is there; "
                "--timeout gives more time.",
            )


def require_account(expected: str | None, shown: Collection[str]) -> None:
    """Refuse another account than the one whose access is to be taken back.

    Raises:
        connector.errors.AccountMismatchError: if it is another.
    """
    if expected is not None and expected.casefold() not in {each.casefold() for each in shown}:
        raise AccountMismatchError(
            f"{' or '.join(sorted(shown))} is signed in, but the connection is to {expected}; "
            "nothing was removed",
            hint=f"Run the same command again, and sign in as {expected}.",
        )


_MISSING = {
    "elsewhere": 'heading "Applications"',
    "listed": f"icon next to {_NAME}",
    "asked": "list without it after confirming",
}


def _changed(found: str) -> PageChangedError:
    return PageChangedError(
        f"the Applications page has no {_MISSING.get(found, 'end')}",
        hint="Use the visible browser (without --headless), or remove it by hand and add --confirm-done.",
    )
