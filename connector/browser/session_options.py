"""Options of a browser session: the waits for a silent page, and the messages for its ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.errors import ConnectorError

__all__ = ["CONSENT", "USUAL", "Pauses", "Words"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Seconds to wait while a page shows nothing; the defaults suit foreign sites.

    Attributes:
        dead_end: for a dead-end page to move on by itself, or for a person to reload it.
        silence: for a page to ask its server, and to say something after the answer has come.
        again: before something is pressed a second time.
        unlisted: for a list to be filled in after the page has come.
        next_page: for a loaded page to show the expected elements.
    """

    dead_end: float = 2.0
    silence: float = 3.0
    again: float = 1.5
    unlisted: float = 1.5
    next_page: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The messages for ends that a person causes: the window was closed …, nobody did … in time.

    Attributes:
        hints: the hints for errors of pages, instead of those about the provider.
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
