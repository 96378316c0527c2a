"""Options of a browser session: times to wait for a page, and the messages if a person ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.errors import ConnectorError

__all__ = ["AGAIN", "CONSENT", "DEAD_END", "NEXT_PAGE", "PATIENCE", "SILENCE", "UNLISTED", "Words"]

# Seconds to wait while a page does not change; long enough for a slow site.
DEAD_END = 2.0  # for a dead-end page to move on by itself, or for a person to reload it
SILENCE = 3.0  # for a page to send a request, and to show something after the response
AGAIN = 1.5  # before something is pressed a second time
UNLISTED = 1.5  # for a list to be filled in after the page has loaded
NEXT_PAGE = 8.0  # for a loaded page to show the expected elements
PATIENCE = 20.0  # for a page to show the next element, if no person can help


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The messages for a session that a person ends, or in which no person acts.

    Attributes:
        closed: completes "the browser window was closed …".
        close_hint: the hint for a closed window.
        nobody: precedes "within … minutes".
        hints: other hints for some classes of error.
    """

    closed: str
    close_hint: str
    nobody: str
    hints: Mapping[type[ConnectorError], str] = field(default_factory=dict)


CONSENT = Words(
    closed="before access was allowed",
    close_hint="Start again, and leave the window open until it shows that access is allowed.",
    nobody="nobody allowed or refused access",
)
