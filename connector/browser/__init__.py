"""A real browser: consent in a fresh profile, and the redirect intercepted before it leaves the browser.

`capture`, `applications` and `profile` are the tasks. `browser_thread` runs them in a browser that `launch`
starts. `session` is the only module that waits and ends early; `page_watch` detects dead ends and crashes for
it. `intercept` intercepts the redirect. `pages` contains the words of the pages.
"""

from __future__ import annotations

from connector.browser.capture import capture_redirect, open_capture
from connector.browser.installed import Browser, find_browser
from connector.browser.readiness import check_browser

__all__ = ["Browser", "capture_redirect", "check_browser", "find_browser", "open_capture"]
