"""3Shape's pages: sign-in, Authorize, Applications."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from connector.browser import session_options as options
from connector.browser.pages.screen import (
    ACTION,
    PRESSABLE,
    Screen,
    changed,
    password_field,
    pressable,
    username_field,
)
from connector.clock import Clock
from connector.errors import SettingError

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = [
    "allow_access",
    "application_icon",
    "application_name",
    "applications_heading",
    "cancel",
    "confirm_button",
    "first_page",
    "sign_in",
    "sign_in_and_allow",
]

_ALLOW = "Allow access"
_CANCEL = "Cancel"
_SIGN_IN = re.compile(r"^\s*(log ?in|sign ?in|continue|next)\s*$", re.IGNORECASE)
_REFUSAL = re.compile(
    r"incorrect|invalid|wrong|not (correct|valid|recogni[sz]ed)|n[o']t match|failed", re.IGNORECASE
)
_RESULT = "[data-ormco-landing]"
_ICON = f"{PRESSABLE}, input[type=image], [onclick]"
_DIALOG = "[role=alertdialog], [role=dialog], dialog[open], .modal"
_CONFIRM = re.compile(r"^\s*(delete|remove|revoke|confirm|yes|ok)\b", re.IGNORECASE)

_STEP = 20.0  # s for one page to follow another


def sign_in_and_allow(username: str, password: str, *, beside: Page | None = None) -> Callable[[Page], None]:
    """Return a person for `capture_redirect` who signs in, if asked to, and allows access.

    Args:
        username: of the Communicate account, an e-mail address.
        password: of the Communicate account.
        beside: a page of another site, which is left alone.
    """

    def act(page: Page) -> None:
        if sign_in(page, username, password, beside=beside):
            allow_access(page)

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
        page: any page of the browser; popups are looked at too.
        username: of the Communicate account, an e-mail address.
        password: of the Communicate account.
        destination: what is on the page that comes then; by default the button that allows access.
        beside: a page of another site, which is left alone.

    Returns:
        Whether there is now a page to allow access on. The provider may have gone on without one.

    Raises:
        connector.errors.SettingError: if the provider does not accept the user name or the password.
        connector.errors.PageChangedError: if a page is not as expected.
    """
    screen, destination = Screen(page.context, beside=beside), destination or pressable(_ALLOW)
    sent, deadline = "", Clock().deadline(_STEP)
    while not deadline.passed:
        is_over = screen.first(lambda page: page.locator(_RESULT)) is not None
        if is_over or screen.first(destination):
            return not is_over
        step = _take_step(screen, username, password, sent)
        if step != sent:
            sent, deadline = step, Clock().deadline(options.NEXT_PAGE if step == "left" else _STEP)
        screen.wait()
    raise changed(screen, f'"{_ALLOW}" after sign-in' if sent else 'sign-in fields "Email" and "Password"')


def first_page(page: Page) -> Locator:
    """Return what shows that 3Shape's first page has come: a sign-in, or the *Authorize* page."""
    return password_field(page).or_(username_field(page)).or_(pressable(_ALLOW)(page))


def allow_access(page: Page) -> None:
    """Press *Allow access* on the *Authorize* page.

    Raises:
        connector.errors.PageChangedError: if there is no such button.
    """
    _press(page, _ALLOW)


def cancel(page: Page) -> None:
    """Press *Cancel* on the *Authorize* page.

    Raises:
        connector.errors.PageChangedError: if there is no such button.
    """
    _press(page, _CANCEL)


def applications_heading(page: Page) -> Locator:
    """Return what only the Applications page has."""
    return page.get_by_role("heading", name=re.compile(r"^\s*applications\s*$", re.IGNORECASE))


def application_name(page: Page, name: str) -> Locator:
    """Return an application's name in the list."""
    return page.get_by_text(re.compile(rf"^\s*{re.escape(name)}\s*$", re.IGNORECASE)).locator("visible=true")


def application_icon(page: Page, name: str) -> Locator:
    """Return the square icon next to an application, by its label or by its place."""
    label = re.compile(rf"(remove|delete|revoke)\b.*\b{re.escape(name)}\s*$", re.IGNORECASE)
    row = page.locator("tr, li, dl, div, [role=row], [role=listitem]").filter(
        has=application_name(page, name)
    )
    # The last of the elements around it is the innermost that has something to press.
    icon = row.filter(has=page.locator(_ICON)).last.locator(_ICON).first
    labelled = page.get_by_role("button", name=label).or_(page.get_by_role("link", name=label))
    return labelled if labelled.count() else icon


def confirm_button(page: Page) -> Locator:
    """Return what confirms a deletion, in a dialog of the page."""
    return page.locator(_DIALOG).get_by_role("button", name=_CONFIRM).locator("visible=true")


def _take_step(screen: Screen, username: str, password: str, sent: str) -> str:
    """Fill in and send what the page asks for, once; return what has been sent so far."""
    from playwright.sync_api import Error as PlaywrightError

    # Playwright's own errors quote what was filled in; and a page that moves on is looked at again.
    with suppress(PlaywrightError):
        second, first = screen.first(password_field), screen.first(username_field)
        if sent and _is_refused(screen, first if sent == "username" else second):
            raise SettingError(
                "3Shape did not accept the user name or password",
                hint="Check ORMCO_3SHAPE_USERNAME and ORMCO_3SHAPE_PASSWORD by signing in by hand.",
            )
        if sent in ("password", "left"):
            return sent if second is not None else "left"
        if sent == "username" and second is None:
            return sent
        if first is not None and first.is_editable(timeout=ACTION):
            first.fill(username, timeout=ACTION)
        if second is not None:
            second.fill(password, timeout=ACTION)
            _send(screen, second)
            return "password"
        if first is not None:
            _send(screen, first)
            return "username"
    return sent


def _is_refused(screen: Screen, field: Locator | None) -> bool:
    """Return whether the form came back: with words that say so, or with the field empty again."""
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


def _press(page: Page, name: str) -> None:
    screen, deadline = Screen(page.context), Clock().deadline(_STEP)
    while not deadline.passed:
        if button := screen.first(pressable(name)):
            # Which of several would be a guess, and one of them may be for something else.
            if pressable(name)(button.page).locator("visible=true").count() > 1:
                raise changed(screen, f'single "{name}"')
            button.click(timeout=ACTION)
            return
        screen.wait()
    raise changed(screen, f'"{name}"')
