"""The page that is shown instead of the landing site."""

from __future__ import annotations

import html
from enum import Enum
from importlib.resources import files
from string import Template

__all__ = ["HEADERS", "ResultPage"]

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


class ResultPage(Enum):
    """The content of the page: its kind, title, text, and the person's next step."""

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

    def html(self, detail: str = "") -> bytes:
        """Return the page as UTF-8 HTML.

        Args:
            detail: another sentence, as plain text without a secret.
        """
        kind, title, text, after = self.value
        words = {"kind": kind, "title": title, "text": text, "detail": detail, "next": after}
        template = Template(files("connector.browser").joinpath("result_page.html").read_text("utf-8"))
        return template.substitute({name: html.escape(word) for name, word in words.items()}).encode()
