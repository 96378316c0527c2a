"""The page that is shown in place of the landing site."""

from __future__ import annotations

import html
from enum import Enum
from functools import cache
from importlib.resources import files
from string import Template

__all__ = ["HEADERS", "Landing", "landing_page"]

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}

_CLOSE = "You can close this window."


class Landing(Enum):
    """What is true when the page is shown: its mood, title, text, and what the person can do."""

    ALLOWED = (
        "wait",
        "Access allowed",
        "The connection is now being finished in the program that opened this window.",
        _CLOSE,
    )
    CONNECTED = ("good", "You are connected", "Ormco is now connected to your account.", _CLOSE)
    DENIED = (
        "bad",
        "Access was not allowed",
        "Ormco was not given access to your account. To allow it after all, start again.",
        _CLOSE,
    )
    FAILED = (
        "bad",
        "The connection did not work",
        "The program that opened this window says what to do next.",
        _CLOSE,
    )
    ELSEWHERE = (
        "wait",
        "This page stays closed here",
        "This window is only for allowing Ormco access to your account.",
        "Go back to the page before to go on.",
    )


def landing_page(landing: Landing, detail: str = "") -> bytes:
    """Return the page as UTF-8 HTML.

    Args:
        landing: what is true now.
        detail: one more sentence, as plain text; nothing secret.
    """
    mood, title, text, after = landing.value
    words = {"mood": mood, "title": title, "text": text, "detail": detail, "next": after}
    return _template().substitute({name: html.escape(word) for name, word in words.items()}).encode()


@cache
def _template() -> Template:
    return Template(files("connector.browser").joinpath("landing.html").read_text("utf-8"))
