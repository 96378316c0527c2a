"""The current page in words and pictures, without personal data, and its difference from the guide's."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connector.errors import PageChangedError
from connector.own_folders import make_private_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = [
    "Difference",
    "Evidence",
    "compare",
    "look_at",
    "masked_screenshot",
    "page_changed",
    "save_private",
]

# Guide, Getting Connected on OrmcoDigital, step 5.
_BUTTONS = ("Allow access", "Cancel")
_USUAL = ("Home", "Authorize")
_APPLICATION = "Ormco"
_SENTENCE = (
    "You are hereby allowing the Ormco application to access your 3Shape Communicate™ cases, which include"
    " personal health information pertaining to patients."
)

# Places with personal data: an unexpected page may be a list of cases, with names and pictures of teeth, and
# a page's header shows the name of the user.
_PERSONAL = (
    "table, [role=table], [role=grid], [role=treegrid], [role=list], [role=listbox], ul, ol, dl,"
    " :is(header, nav, [role=banner], [role=navigation], .navbar, .header, #header):not(main *),"
    " img, picture, canvas, video, iframe, object, embed"
)
_EMAIL = re.compile(r"[^\s<>\"“”()]+@[^\s<>\"“”()]+")
_COLOUR = "#b9c3cc"
_FIELDS = (
    "input:not([type=submit], [type=button], [type=reset], [type=checkbox], [type=radio]), textarea, select,"
    " [contenteditable]:not([contenteditable=false])"
)
_LONGEST_WAIT = 10_000  # ms
_LOOKALIKE = 0.5  # difflib's ratio for a sentence that may replace the guide's
_MOST = 12  # of each role
_ROLES = ("heading", "button", "link")
_NAMES = """(elements, personal) => elements
  .filter(each => !each.closest(personal))
  .map(each => each.ariaLabel || each.innerText || each.value || '')"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference between the current page and the guide's Authorize page.

    Attributes:
        missing: expected elements that the page lacks, such as `button "Allow access"`.
        kept: expected elements that the page has.
        instead: other elements of the page that could replace missing ones.
    """

    missing: tuple[str, ...]
    kept: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is missing."""
        return bool(self.missing)

    def __str__(self) -> str:
        """Return the lines of a diff: removed, added and unchanged elements."""
        if not self.missing:
            return "The Authorize page has the words and buttons of the guide."
        signed = (("-", self.missing), ("+", self.instead), (" ", self.kept))
        lines = [f"  {sign} {line}" for sign, group in signed for line in group]
        return "\n".join(["The guide's Authorize page (-) and the current page (+):", *lines])


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The look of a page without personal data.

    Attributes:
        place: its address without query, and its title.
        difference: its difference from the guide's Authorize page; None for a sign-in page.
        screenshot: a masked PNG, or None if none could be made.
    """

    place: str
    difference: Difference | None
    screenshot: bytes | None = field(repr=False)


def compare(page: Page) -> Difference:
    """Compare the current page with the guide's Authorize page."""
    present = {role: _names(page, role) for role in _ROLES}
    text = page.locator("body").inner_text()
    pressable = {_plain(name) for role in ("button", "link") for name in present[role]}
    expected = {
        **{f'button "{name}"': _plain(name) in pressable for name in _BUTTONS},
        f'application\'s name "{_APPLICATION}"': _has_word(text, _APPLICATION),
        f'text "{_SENTENCE}"': _plain(_SENTENCE) in _plain(text),
    }
    missing = tuple(what for what, there in expected.items() if not there)
    known = {_plain(name) for name in (*_BUTTONS, *_USUAL)}
    others = [
        f'{role} "{_shown(name)}"' for role in _ROLES for name in present[role] if _plain(name) not in known
    ]
    if f'text "{_SENTENCE}"' in missing:
        others += [f'text "{line}"' for line in _lookalike(text)]
    return Difference(
        missing=missing,
        kept=tuple(what for what, there in expected.items() if there),
        instead=tuple(dict.fromkeys(others)) if missing else (),
    )


def page_changed(difference: Difference) -> PageChangedError:
    """Return the error for a page that differs."""
    there = f"; there is: {', '.join(difference.instead)}" if difference.instead else ""
    return PageChangedError(
        f"the Authorize page has no {', no '.join(difference.missing)}{there}",
        hint="Look at the page. If 3Shape keeps this change, change everything that relies on the guide's"
        " words; if it is another page, the account or the request is not as expected.",
    )


def look_at(page: Page, *, personal: Collection[str] = ()) -> Evidence:
    """Return the evidence of a page; call it in the page's own thread."""
    parts = urlsplit(page.url)
    title = _without_personal_data(page.title())
    evidence = Evidence(
        place=f"{parts.scheme}://{parts.netloc}{parts.path} “{title}”",
        # A password field has no role.
        difference=None if page.locator("input[type=password]").count() else compare(page),
        screenshot=None,
    )
    with suppress(Exception):
        return replace(evidence, screenshot=masked_screenshot(page, personal=personal))
    return evidence


def masked_screenshot(page: Page, *, personal: Collection[str] = ()) -> bytes:
    """Return a PNG of the page: fields, e-mail addresses, lists, tables and pictures are covered.

    Args:
        page: the page, in its own thread.
        personal: further words to cover wherever they occur, such as the account's user name.
    """
    texts = [_EMAIL, *(re.compile(re.escape(word), re.IGNORECASE) for word in personal if len(word) > 2)]
    return page.screenshot(
        full_page=True,
        animations="disabled",
        mask=[page.locator(_FIELDS), page.locator(_PERSONAL), *(page.get_by_text(text) for text in texts)],
        mask_color=_COLOUR,
        timeout=_LONGEST_WAIT,
    )


def save_private(content: bytes, path: Path) -> None:
    """Write a file that only its owner can read; an existing file is replaced."""
    make_private_folder(path.parent)
    # A new file with mode 0600: the permissions of an old file or link at this path do not matter.
    file, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
    os.replace(temporary, path)


def _without_personal_data(text: str) -> str:
    return _EMAIL.sub("…@…", text)


def _names(page: Page, role: str) -> list[str]:
    # By role: Playwright omits hidden elements.
    names: list[str] = page.get_by_role(role).evaluate_all(_NAMES, _PERSONAL)  # type: ignore[arg-type]
    return [" ".join(name.split()) for name in names if name.strip()][:_MOST]


def _plain(text: str) -> str:
    return " ".join(text.replace("™", "").casefold().split())


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def _shown(name: str) -> str:
    name = _without_personal_data(name)
    return name if len(name) <= 60 else name[:59] + "…"


def _lookalike(text: str) -> list[str]:
    lines = [" ".join(line.split()) for line in text.splitlines()]
    nearest = difflib.get_close_matches(_SENTENCE, lines, 1, _LOOKALIKE)
    return [_without_personal_data(line)[:240] for line in nearest]
