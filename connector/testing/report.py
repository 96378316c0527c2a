"""The look of a page without personal data, and the report of a failed consent test."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connector.own_folders import make_private_folder
from connector.testing.expected_page import PERSONAL, Difference, compare, without_personal_data

if TYPE_CHECKING:
    import pytest
    from playwright.sync_api import Page

    from connector.testing.consent import Consent

__all__ = ["Evidence", "Reporter", "look_at", "masked_screenshot", "save_private"]

_COLOUR = "#b9c3cc"
_FIELDS = (
    "input:not([type=submit], [type=button], [type=reset], [type=checkbox], [type=radio]), textarea, select,"
    " [contenteditable]:not([contenteditable=false])"
)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_LONGEST_WAIT = 10_000  # ms


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


def look_at(page: Page, *, personal: Collection[str] = ()) -> Evidence:
    """Return the evidence of a page; call it in the page's own thread.

    Args:
        page: the provider's page.
        personal: words to cover wherever they occur.
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
        mask=[page.locator(_FIELDS), page.locator(PERSONAL), *(page.get_by_text(text) for text in texts)],
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


class Reporter:
    """Reports on the consent of one test.

    Args:
        name: the name of the test.
        config: pytest's configuration, which names the folder for files.
    """

    def __init__(self, name: str, config: pytest.Config) -> None:
        self.consent: Consent | None = None
        self._name = re.sub(r"[^\w.-]+", "-", name).strip("-")[:100]
        self._config = config

    def path(self, ending: str) -> Path:
        """Return the path of a file for this test; its folder exists."""
        chosen = self._config.getoption("--consent-output")
        cache = getattr(self._config, "cache", None)
        if chosen or cache is None:
            folder = Path(chosen or "consent-results").absolute()
            make_private_folder(folder)
        else:
            folder = cache.mkdir("consent")
        return folder / f"{self._name}-{ending}"

    def attach(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Add a section to the report, and to the JUnit properties where the screenshot is."""
        if self.consent is None:
            return
        lines = [f"steps: {'; '.join(self.consent.steps) or 'none'}"]
        evidence = self.consent.evidence()
        if evidence is not None:
            lines.append(f"page: {evidence.place}")
            if evidence.difference is not None:
                lines.append(str(evidence.difference))
            if evidence.screenshot is not None:
                lines.append(self._save(evidence.screenshot, item))
        report.user_properties = list(item.user_properties)
        report.sections.append(("consent", "\n".join(lines)))

    def _save(self, screenshot: bytes, item: pytest.Item) -> str:
        try:
            path = self.path("page.png")
            save_private(screenshot, path)
        except OSError as exc:
            return f"the screenshot could not be saved: {exc.strerror}"
        item.user_properties.append(("consent_screenshot", str(path)))
        return f"screenshot, masked: {path}"
