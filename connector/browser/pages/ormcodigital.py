"""OrmcoDigital's pages: sign-in, My Profile, and the dialog that takes the authorization code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.browser.pages.screen import ACTION, pressable, texts

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = [
    "CONNECT",
    "METHOD",
    "choose_method",
    "chosen_method",
    "code_dialog",
    "code_field",
    "connect_button",
    "connected_words",
    "here_link",
    "invalid_words",
    "is_good_news",
    "is_method",
    "is_problem",
    "method_choice",
    "method_list",
    "my_account",
    "my_profile",
    "notices",
    "ok_button",
    "problems",
    "sign_in_button",
    "update_button",
]

METHOD = "3Shape Trios"
CONNECT = "Connect 3 Shape to Insignia"

_METHOD = re.compile(r"^\s*3\s?shape\s+trios\b", re.IGNORECASE)
_SOURCE = re.compile(r"^\s*intraoral scanner\s*$", re.IGNORECASE)
# The guide writes it with a space and without.
_CONNECT = re.compile(r"^\s*connect\s+3\s?shape\s+to\s+insignia\s*$", re.IGNORECASE)
_DIALOG_TITLE = re.compile(r"enter\s+authorization\s+code", re.IGNORECASE)
_OK = re.compile(r"^\s*ok\s*$", re.IGNORECASE)
_UPDATE = re.compile(r"^\s*update\s*$", re.IGNORECASE)
_HERE = re.compile(r"^\s*(click\s+)?here\s*$", re.IGNORECASE)
_SIGN_IN = re.compile(r"^\s*(log ?in|sign ?in|continue|next)\s*$", re.IGNORECASE)
_PROBLEM = re.compile(
    r"\b(in|not )valid\b|\bincorrect\b|\berror\b|\bexpired\b|\bfailed\b|\bunable to\b"
    r"|\bnot (be )?(accept|correct|recogni[sz]ed|updated|saved)",
    re.IGNORECASE,
)
_DONE = re.compile(r"\b(updated|saved|success(ful(ly)?)?)\b", re.IGNORECASE)
_CONNECTED = re.compile(r"\bconnected\b.*\binsignia\b|\b3\s?shape\b.*\bconnected\b", re.IGNORECASE)
_FIELD = "input:not([type=hidden]):not([type=submit]):not([type=button]), textarea"


def sign_in_button(page: Page) -> Locator:
    """Return the button that submits the sign-in form."""
    return page.get_by_role("button", name=_SIGN_IN)


def my_account(page: Page) -> Locator:
    """Return the menu "My Account"."""
    # A menu's title may be a link, a button or neither.
    return page.get_by_text(re.compile(r"^\s*my account\s*$", re.IGNORECASE))


def my_profile(page: Page) -> Locator:
    """Return the item "My Profile" of the menu "My Account"."""
    return pressable("my profile")(page).or_(page.get_by_role("menuitem", name="My Profile"))


def method_list(page: Page) -> Locator:
    """Return the list of scanners: the one with "3Shape Trios"."""
    return page.locator("select").filter(has=page.locator("option", has_text=_METHOD))


def method_choice(page: Page) -> Locator:
    """Return the radio button "Intraoral Scanner", to which the list belongs."""
    return page.get_by_role("radio", name=_SOURCE)


def connect_button(page: Page) -> Locator:
    """Return "Connect 3 Shape to Insignia"."""
    return page.get_by_role("button", name=_CONNECT).or_(page.get_by_role("link", name=_CONNECT))


def code_dialog(page: Page) -> Locator:
    """Return the dialog "Enter Authorization Code"."""
    by_role = page.get_by_role("dialog").filter(has_text=_DIALOG_TITLE)
    by_class = page.locator("dialog[open], .modal, .ui-dialog, .dialog").filter(has_text=_DIALOG_TITLE)
    return by_role.or_(by_class).locator("visible=true")


def here_link(page: Page) -> Locator:
    """Return the dialog's link to 3Shape; of several, the one with a redirect URI."""
    links = code_dialog(page).get_by_role("link", name=_HERE)
    return links if links.count() < 2 else links.and_(page.locator("[href*='redirect_uri=']"))


def code_field(page: Page) -> Locator:
    """Return the field for the code: by its label, or as the only field of the dialog."""
    dialog = code_dialog(page)
    labelled = dialog.get_by_label(re.compile(r"enter code", re.IGNORECASE)).locator("visible=true")
    return labelled.or_(dialog.locator(_FIELD).locator("visible=true")).first


def ok_button(page: Page) -> Locator:
    """Return the dialog's "Ok" button; of several, the one nearest to the field for the code."""
    found = code_dialog(page).get_by_role("button", name=_OK)
    if found.count() < 2:
        return found
    around = code_field(page).locator("xpath=ancestor::*").filter(has=page.get_by_role("button", name=_OK))
    return around.last.get_by_role("button", name=_OK)


def update_button(page: Page) -> Locator:
    """Return the "Update" button; of several, the one in the form with the scanner."""
    found = page.get_by_role("button", name=_UPDATE)
    if found.count() < 2:
        return found
    return page.locator("form").filter(has=method_list(page)).get_by_role("button", name=_UPDATE)


def problems(root: Page | Locator) -> list[str]:
    """Return the problems that a page, or a part of it, reports."""
    return texts(root.get_by_role("alert").or_(root.get_by_text(_PROBLEM)))


def notices(page: Page) -> list[str]:
    """Return the texts that mention a successful update."""
    return texts(page.get_by_text(_DONE))


def connected_words(page: Page) -> Locator:
    """Return the text that says that 3Shape is connected."""
    return page.get_by_text(_CONNECTED)


def is_problem(words: str) -> bool:
    """Return whether a text reports a problem."""
    return _PROBLEM.search(words) is not None


def is_good_news(words: str) -> bool:
    """Return whether a text says that the profile is saved."""
    return _DONE.search(words) is not None and not is_problem(words)


def is_method(words: str) -> bool:
    """Return whether a text is the Submission Method "3Shape Trios"."""
    return _METHOD.match(words) is not None


def chosen_method(page: Page) -> str:
    """Return the chosen Submission Method, or ""."""
    source = method_choice(page).locator("visible=true")
    if source.count() and not source.first.is_checked():
        return "other than Intraoral Scanner"
    chosen = method_list(page).first.evaluate("e => e.selectedOptions[0]?.text || ''")
    return " ".join(str(chosen).split())


def choose_method(page: Page) -> bool:
    """Choose "3Shape Trios"; return whether it was not chosen before."""
    if is_method(chosen_method(page)):
        return False
    source = method_choice(page).locator("visible=true")
    if source.count():
        source.first.check(timeout=ACTION)
    choices = method_list(page).first
    label = choices.locator("option", has_text=_METHOD).first.text_content() or METHOD
    choices.select_option(label=label.strip(), timeout=ACTION)
    return True


def invalid_words(page: Page) -> str:
    """Return the browser's own validation message for the form, or ""."""
    field = page.locator("input:invalid, select:invalid, textarea:invalid").locator("visible=true")
    if not field.count():
        return ""
    label = str(field.first.evaluate("e => e.labels?.[0]?.innerText || e.name || ''"))
    message = field.first.evaluate("e => e.validationMessage")
    return f"{label.strip(' :*')}: {message}"
