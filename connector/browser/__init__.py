"""A real browser: consent in a fresh one, and the redirect caught before it leaves.

`capture`, `applications` and `profile` say what is done; `browser_thread` runs it in a browser that `launch`
starts; `session` is the one place that waits and ends early; `intercept` catches the redirect; `pages` knows
the words on the pages.
"""

from __future__ import annotations

from connector.browser.capture import capture_redirect, open_capture
from connector.browser.installed import Browser, find_browser
from connector.browser.readiness import check_browser

__all__ = ["Browser", "capture_redirect", "check_browser", "find_browser", "open_capture"]
