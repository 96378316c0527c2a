"""How long a page is waited for that shows nothing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["USUAL", "Pauses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Seconds that pass although a page shows nothing; the defaults are for sites of other people.

    Attributes:
        dead_end: for a page that leads nowhere to move on by itself, or for a person to reload it.
        silence: for a page to ask its server, and to say something after the answer has come.
        again: before something is pressed a second time.
        unlisted: for a list to be filled in after the page has come.
        next_page: for a page that has come to show what is expected of it.
    """

    dead_end: float = 2.0
    silence: float = 3.0
    again: float = 1.5
    unlisted: float = 1.5
    next_page: float = 8.0


USUAL = Pauses()
