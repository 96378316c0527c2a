"""The browser that tests use."""

from __future__ import annotations

import os

import pytest

from connector.browser import find_browser
from connector.errors import BrowserUnavailableError

__all__ = ["need_browser"]


def _installed() -> str | None:
    try:
        return find_browser(os.environ.get("ORMCO_BROWSER"), headless=True).path
    except BrowserUnavailableError:
        return None


# Looked for before the tests get a home folder of their own: Playwright keeps its browsers in the real one.
_BROWSER = _installed()


def need_browser() -> str:
    """Return the path of a browser; without one the test is skipped, and fails where tests are for good."""
    if _BROWSER is None:
        missing = "no Chromium: install Chrome, or run 'playwright install chromium', or set ORMCO_BROWSER"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return _BROWSER
