"""What a failed consent test says of the page: what was done, how it differs, a masked screenshot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from connector.own_files import make_private_folder
from connector.testing.screenshot import save_private

if TYPE_CHECKING:
    import pytest

    from connector.testing.consent import Consent

__all__ = ["Reporter"]


class Reporter:
    """Reports on the consent of one test.

    Args:
        name: of the test.
        config: tells where files are saved.
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
