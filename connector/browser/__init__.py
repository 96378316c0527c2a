"""A real browser: consent in a fresh one, and the redirect caught before it leaves."""

from __future__ import annotations

from connector.browser.capture import capture_redirect, open_capture
from connector.browser.launch import Browser, find_browser

__all__ = ["Browser", "capture_redirect", "find_browser", "open_capture"]
