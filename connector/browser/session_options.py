"""Options of a browser session: the waits for a silent page, and the messages for its ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.errors import ConnectorError

__all__ = ["AGAIN", "CONSENT", "DEAD_END", "NEXT_PAGE", "PATIENCE", "SILENCE", "UNLISTED", "Words"]

# Seconds to wait while a page shows nothing; they suit a slow foreign site.
DEAD_END = 2.0  # for a dead-end page to move on by itself, or for a person to reload it
SILENCE = 3.0  # for a page to ask its server, and to say something after the answer has come
AGAIN = 1.5  # before something is pressed a second time
UNLISTED = 1.5  # for a list to be filled in after the page has come
NEXT_PAGE = 8.0  # for a loaded page to show the expected elements
PATIENCE = 20.0  # for a page to show what comes next, if nobody is there who can help


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


CONSENT = Words(
    closed="before access was allowed",
    close_hint="Start again, and leave the window open until it says that access is allowed.",
    nobody="nobody allowed or refused access",
)
