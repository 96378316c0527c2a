"""What a page looked like: its place, how it differs from the guide's, a masked screenshot."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connector.testing.expected_page import Difference, compare, without_personal_data
from connector.testing.screenshot import masked_screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["Evidence", "look_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the page looked like; fit to be shown around.

    Attributes:
        place: its address without query, and its title.
        difference: from the guide's Authorize page; None for a sign-in page.
        screenshot: a masked PNG, or None where there was none to be had.
    """

    place: str
    difference: Difference | None
    screenshot: bytes | None = field(repr=False)


def look_at(page: Page, *, personal: Collection[str] = ()) -> Evidence:
    """Return what a page looks like, in its own thread.

    Args:
        page: the provider's.
        personal: words to cover wherever they stand.
    """
    parts = urlsplit(page.url)
    title = without_personal_data(page.title())
    evidence = Evidence(
        place=f"{parts.scheme}://{parts.netloc}{parts.path} “{title}”",
        # A password field has no role.
        difference=None if page.locator("input[type=password]").count() else compare(page),
        screenshot=None,
    )
    with suppress(Exception):
        return replace(evidence, screenshot=masked_screenshot(page, personal=personal))
    return evidence
