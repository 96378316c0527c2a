"""What a browser's session is told: how long to wait for a silent page, and how to put its ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.errors import ConnectorError

__all__ = ["CONSENT", "USUAL", "Pauses", "Words"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How the ends that a person brings about are put: the window was closed …, nobody did … in time.

    Attributes:
        hints: for errors of pages, in place of those that speak of the provider.
    """

    closed: str
    close_hint: str
    nobody: str
    hints: Mapping[type[ConnectorError], str] = field(default_factory=dict)


USUAL = Pauses()
CONSENT = Words(
    closed="before access was allowed",
    close_hint="Start again, and leave the window open until it says that access is allowed.",
    nobody="nobody allowed or refused access",
)
