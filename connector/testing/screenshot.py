"""Screenshots that can be shown around: what people typed and what is personal is covered."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from connector.own_files import make_private_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["PERSONAL", "masked_screenshot", "save_private"]

_COLOUR = "#b9c3cc"
_FIELDS = (
    "input:not([type=submit], [type=button], [type=reset], [type=checkbox], [type=radio]), textarea, select,"
    " [contenteditable]:not([contenteditable=false])"
)
# Where other people's words stand: a page that is not the expected one may be a list of cases, with names and
# with pictures of teeth; and a page's head shows who is signed in.
PERSONAL = (
    "table, [role=table], [role=grid], [role=treegrid], [role=list], [role=listbox], ul, ol, dl,"
    " :is(header, nav, [role=banner], [role=navigation], .navbar, .header, #header):not(main *),"
    " img, picture, canvas, video, iframe, object, embed"
)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_LONGEST_WAIT = 10_000  # ms


def masked_screenshot(page: Page, *, personal: Collection[str] = ()) -> bytes:
    """Return a PNG of the page: fields, e-mail addresses, lists, tables and pictures are covered.

    Args:
        page: in its own thread.
        personal: further words to cover wherever they stand, such as the account's user name.
    """
    texts = [_EMAIL, *(re.compile(re.escape(word), re.IGNORECASE) for word in personal if len(word) > 2)]
    return page.screenshot(
        full_page=True,
        animations="disabled",
        mask=[page.locator(_FIELDS), page.locator(PERSONAL), *(page.get_by_text(text) for text in texts)],
        mask_color=_COLOUR,
        timeout=_LONGEST_WAIT,
    )


def save_private(content: bytes, path: Path) -> None:
    """Write a file that only its owner can read; one that is there already is replaced."""
    make_private_folder(path.parent)
    # Made anew, with mode 0600: what an old file or a link there allows others does not count.
    file, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
    os.replace(temporary, path)
