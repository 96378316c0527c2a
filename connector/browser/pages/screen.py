"""The pages of a browser as a person sees them: the newest first, by role and words."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from connector.errors import PageChangedError

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
    "texts",
    "username_field",
    "visible",
]

PRESSABLE = "button, [role=button], a[href], input[type=submit], input[type=button]"
ACTION = 5_000  # ms for one field or button
LONGEST_WORDS = 200

_TICK = 100  # ms
_USERNAME = re.compile(r"e-?mail|user ?name", re.IGNORECASE)


class Screen:
    """All pages of the browser: a site may go on in a popup.

    Args:
        context: the browser.
        beside: a page of another site, which is left alone.
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
            # A page that is just being left has nothing to find.
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
            except PlaywrightError as exc:  # it is closed, or has crashed; the one before it can wait
                failure = exc
        raise failure or changed(self, "open window")

    def words(self) -> list[str]:
        """Return what can be pressed, in the words of the pages."""
        found = [each for page in reversed(self.pages) for each in page.locator(PRESSABLE).all()]
        names = (each.evaluate("e => e.ariaLabel || e.innerText || e.value || ''") for each in found[:20])
        return [f'"{" ".join(name.split())[:40]}"' for name in names if name.strip()]


def visible(locator: Locator) -> bool:
    """Return whether something is on the page and can be seen."""
    from playwright.sync_api import Error as PlaywrightError

    with suppress(PlaywrightError):
        return locator.locator("visible=true").count() > 0
    return False


def texts(locator: Locator) -> list[str]:
    """Return what a person reads there, one line each."""
    from playwright.sync_api import Error as PlaywrightError

    with suppress(PlaywrightError):
        found = [" ".join(text.split()) for text in locator.locator("visible=true").all_inner_texts()]
        return [text for text in found if 0 < len(text) <= LONGEST_WORDS]
    return []


def pressable(name: str) -> Callable[[Page], Locator]:
    """Return what finds a button or link by its whole name."""
    words = re.compile(rf"^\s*{name}\s*$", re.IGNORECASE)
    return lambda page: page.get_by_role("button", name=words).or_(page.get_by_role("link", name=words))


def password_field(page: Page) -> Locator:
    """Return where a password is asked for."""
    # A password field has no role.
    return page.locator("input[type=password]")


def username_field(page: Page) -> Locator:
    """Return where an e-mail address or user name is asked for."""
    return page.get_by_role("textbox", name=_USERNAME).or_(page.locator("input[type=email]"))


def changed(screen: Screen, missing: str) -> PageChangedError:
    """Return the error for a page without something that it is known by."""
    words = ", ".join(screen.words()) or "nothing to press"
    return PageChangedError(
        f"the provider's page has no {missing}; it has: {words}",
        hint="Use the visible browser; the page may have changed, or ask for more.",
    )
