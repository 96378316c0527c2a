"""The pages of a browser as a person sees them: the newest first, by role and words."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from connector.errors import PageChangedError, SettingError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

__all__ = [
    "ACTION",
    "LONGEST_WORDS",
    "PRESSABLE",
    "Screen",
    "changed",
    "password_field",
    "pressable",
    "take_sign_in_step",
    "texts",
    "username_field",
    "visible",
]

PRESSABLE = "button, [role=button], a[href], input[type=submit], input[type=button]"
ACTION = 5_000  # ms for one field or button
LONGEST_WORDS = 200

_TICK = 100  # ms
_SIGN_IN = re.compile(r"^\s*(log ?in|sign ?in|continue|next)\s*$", re.IGNORECASE)
_REFUSAL = re.compile(
    r"incorrect|invalid|wrong|not (correct|valid|recogni[sz]ed)|n[o']t match|failed", re.IGNORECASE
)
_USERNAME = re.compile(r"e-?mail|user ?name", re.IGNORECASE)


class Screen:
    """All pages of the browser, because a site may continue in a popup.

    Args:
        context: the browser.
        beside: a page of another site, which is ignored.
    """

    def __init__(self, context: BrowserContext, *, beside: Page | None = None) -> None:
        self._context = context
        self._beside = beside

    @property
    def pages(self) -> list[Page]:
        """The pages, the newest first."""
        return [page for page in reversed(self._context.pages) if page != self._beside]

    def first(self, find: Callable[[Page], Locator]) -> Locator | None:
        """Return the first visible match, or None."""
        from playwright.sync_api import Error as PlaywrightError

        for page in self.pages:
            # A page that is navigating cannot be searched.
            with suppress(PlaywrightError):
                found = find(page).locator("visible=true")
                if found.count():
                    return found.first
        return None

    def wait(self) -> None:
        """Let the pages' events run briefly."""
        from playwright.sync_api import Error as PlaywrightError

        failure = None
        for page in reversed(self._context.pages):
            try:
                page.wait_for_timeout(_TICK)
                return
            except PlaywrightError as exc:  # closed or crashed; the page before it can wait
                failure = exc
        raise failure or changed(self, "open window")

    def words(self) -> list[str]:
        """Return the names of the buttons and links."""
        found = [each for page in reversed(self.pages) for each in page.locator(PRESSABLE).all()]
        names = (each.evaluate("e => e.ariaLabel || e.innerText || e.value || ''") for each in found[:20])
        return [f'"{" ".join(name.split())[:40]}"' for name in names if name.strip()]


def visible(locator: Locator) -> bool:
    """Return whether an element is visible."""
    from playwright.sync_api import Error as PlaywrightError

    with suppress(PlaywrightError):
        return locator.locator("visible=true").count() > 0
    return False


def texts(locator: Locator) -> list[str]:
    """Return the visible texts, one line each."""
    from playwright.sync_api import Error as PlaywrightError

    with suppress(PlaywrightError):
        found = [" ".join(text.split()) for text in locator.locator("visible=true").all_inner_texts()]
        return [text for text in found if 0 < len(text) <= LONGEST_WORDS]
    return []


def pressable(name: str) -> Callable[[Page], Locator]:
    """Return a function that finds a button or link by its whole name."""
    words = re.compile(rf"^\s*{name}\s*$", re.IGNORECASE)
    return lambda page: page.get_by_role("button", name=words).or_(page.get_by_role("link", name=words))


def password_field(page: Page) -> Locator:
    """Return the field for a password."""
    # A password field has no role.
    return page.locator("input[type=password]")


def username_field(page: Page) -> Locator:
    """Return the field for an e-mail address or user name."""
    return page.get_by_role("textbox", name=_USERNAME).or_(page.locator("input[type=email]"))


def changed(screen: Screen, missing: str) -> PageChangedError:
    """Return the error for a page that lacks an expected element."""
    words = ", ".join(screen.words()) or "nothing to press"
    return PageChangedError(
        f"the provider's page has no {missing}; it has: {words}",
        hint="Use the visible browser; the page may have changed, or may require another step.",
    )


def take_sign_in_step(
    screen: Screen, credentials: tuple[str, str], sent: str, *, site: str, setting: str
) -> str:
    """Fill in and submit each field of a sign-in once; return the last step that was taken.

    Args:
        screen: the pages; a sign-in is on one or on two of them.
        credentials: user name and password.
        sent: the last return value: "", "username", "password", or "left" once the password field is gone.
        site: the name of the site.
        setting: the prefix of the environment variables for the credentials.

    Raises:
        connector.errors.SettingError: if the site does not accept the user name or the password.
    """
    from playwright.sync_api import Error as PlaywrightError

    # Playwright's errors quote the text to fill in. A page that navigates is tried again by the caller.
    with suppress(PlaywrightError):
        second, first = screen.first(password_field), screen.first(username_field)
        if sent and _is_refused(screen, first if sent == "username" else second):
            raise SettingError(
                f"{site} did not accept the user name or password",
                hint=f"Check {setting}_USERNAME and {setting}_PASSWORD by signing in by hand.",
            )
        if sent in ("password", "left"):
            return sent if second is not None else "left"
        if sent == "username" and second is None:
            return sent
        if first is not None and first.is_editable(timeout=ACTION):
            first.fill(credentials[0], timeout=ACTION)
        if second is not None:
            second.fill(credentials[1], timeout=ACTION)
            _send(screen, second)
            return "password"
        if first is not None:
            _send(screen, first)
            return "username"
    return sent


def _is_refused(screen: Screen, field: Locator | None) -> bool:
    """Return whether the form came back: with an error message, or with the field empty again."""
    if field is None:
        return False
    alert = screen.first(lambda page: page.get_by_role("alert").or_(page.get_by_text(_REFUSAL)))
    if alert is not None:
        return True
    return bool(field.evaluate("e => e.value === ''", timeout=ACTION))


def _send(screen: Screen, field: Locator) -> None:
    # The form's own button: a page may have another "Log in" or "Next" elsewhere.
    form = field.locator("xpath=ancestor::form[1]")
    own = form.get_by_role("button", name=_SIGN_IN).locator("visible=true")
    button = screen.first(lambda page: page.get_by_role("button", name=_SIGN_IN))
    if own.count():
        own.first.click(timeout=ACTION)
    elif button is not None and not form.count():
        button.click(timeout=ACTION)
    else:
        field.press("Enter", timeout=ACTION)
