"""3Shape's pages: sign-in, Authorize, Applications."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from connector.browser import session_options as options
from connector.browser.pages.screen import (
    ACTION,
    PRESSABLE,
    Screen,
    changed,
    password_field,
    pressable,
    take_sign_in_step,
    username_field,
)
from connector.clock import Clock

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = [
    "ALLOW",
    "CANCEL",
    "application_icon",
    "application_name",
    "applications_heading",
    "confirm_button",
    "first_page",
    "press",
    "sign_in",
    "sign_in_and_allow",
]

ALLOW = "Allow access"
CANCEL = "Cancel"
_RESULT = "[data-ormco-landing]"
_ICON = f"{PRESSABLE}, input[type=image], [onclick]"
_DIALOG = "[role=alertdialog], [role=dialog], dialog[open], .modal"
_CONFIRM = re.compile(r"^\s*(delete|remove|revoke|confirm|yes|ok)\b", re.IGNORECASE)

_STEP = 20.0  # s for one page to follow another


def sign_in_and_allow(username: str, password: str, *, beside: Page | None = None) -> Callable[[Page], None]:
    """Return a `person` for `capture_redirect`: a function that signs in, if necessary, and allows access.

    Args:
        username: of the Communicate account, an e-mail address.
        password: of the Communicate account.
        beside: a page of another site, which is ignored.
    """

    def act(page: Page) -> None:
        if sign_in(page, username, password, beside=beside):
            press(page, ALLOW)

    return act


def sign_in(
    page: Page,
    username: str,
    password: str,
    *,
    destination: Callable[[Page], Locator] | None = None,
    beside: Page | None = None,
) -> bool:
    """Sign in if the provider asks for it, on one page or on two.

    Args:
        page: any page of the browser; popups are searched too.
        username: of the Communicate account, an e-mail address.
        password: of the Communicate account.
        destination: finds an element of the page after the sign-in; by default the button to allow access.
        beside: a page of another site, which is ignored.

    Returns:
        True if `destination` is visible; False if the provider has already sent the redirect.

    Raises:
        connector.errors.SettingError: if the provider does not accept the user name or the password.
        connector.errors.PageChangedError: if a page is not as expected.
    """
    screen, destination = Screen(page.context, beside=beside), destination or pressable(ALLOW)
    sent, deadline = "", Clock().deadline(_STEP)
    while not deadline.passed:
        is_over = screen.first(lambda page: page.locator(_RESULT)) is not None
        if is_over or screen.first(destination):
            return not is_over
        step = take_sign_in_step(screen, (username, password), sent, site="3Shape", setting="ORMCO_3SHAPE")
        if step != sent:
            sent, deadline = step, Clock().deadline(options.NEXT_PAGE if step == "left" else _STEP)
        screen.wait()
    raise changed(screen, f'"{ALLOW}" after sign-in' if sent else 'sign-in fields "Email" and "Password"')


def first_page(page: Page) -> Locator:
    """Return an element of 3Shape's first page, which is a sign-in page or the *Authorize* page."""
    return password_field(page).or_(username_field(page)).or_(pressable(ALLOW)(page))


def press(page: Page, name: str) -> None:
    """Press a button of the *Authorize* page: `ALLOW` or `CANCEL`.

    Raises:
        connector.errors.PageChangedError: if there is no such button, or more than one.
    """
    screen, deadline = Screen(page.context), Clock().deadline(_STEP)
    while not deadline.passed:
        if button := screen.first(pressable(name)):
            # With several buttons of this name, pressing one would be a guess.
            if pressable(name)(button.page).locator("visible=true").count() > 1:
                raise changed(screen, f'single "{name}"')
            button.click(timeout=ACTION)
            return
        screen.wait()
    raise changed(screen, f'"{name}"')


def applications_heading(page: Page) -> Locator:
    """Return the heading that only the Applications page has."""
    return page.get_by_role("heading", name=re.compile(r"^\s*applications\s*$", re.IGNORECASE))


def application_name(page: Page, name: str) -> Locator:
    """Return an application's name in the list."""
    return page.get_by_text(re.compile(rf"^\s*{re.escape(name)}\s*$", re.IGNORECASE)).locator("visible=true")


def application_icon(page: Page, name: str) -> Locator:
    """Return the square icon next to an application, by its label or by its position."""
    label = re.compile(rf"(remove|delete|revoke)\b.*\b{re.escape(name)}\s*$", re.IGNORECASE)
    row = page.locator("tr, li, dl, div, [role=row], [role=listitem]").filter(
        has=application_name(page, name)
    )
    # The last of the matching rows is the innermost one that contains something to press.
    icon = row.filter(has=page.locator(_ICON)).last.locator(_ICON).first
    labelled = page.get_by_role("button", name=label).or_(page.get_by_role("link", name=label))
    return labelled if labelled.count() else icon


def confirm_button(page: Page) -> Locator:
    """Return the button that confirms a deletion, in a dialog of the page."""
    return page.locator(_DIALOG).get_by_role("button", name=_CONFIRM).locator("visible=true")
