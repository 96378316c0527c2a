"""A connection to the desk, of which other users of the machine can open any number."""

from __future__ import annotations

from typing import Any

from waitress.channel import HTTPChannel

__all__ = ["DeskChannel"]

_MOST = 64  # fewer than those at which waitress stops accepting


class DeskChannel(HTTPChannel):  # type: ignore[misc]
    """Gives way to others: one that is silent for longest is closed if there are too many, or in time.

    Waitress counts every byte as a sign of life, so that a request which never ends would be waited for.
    """

    last_activity: float

    def __init__(self, server: Any, *args: Any, **options: Any) -> None:
        super().__init__(server, *args, **options)
        others = [each for each in server.active_channels.values() if each is not self]
        idle = [each for each in others if not (each.requests or each.will_close)]
        if len(idle) >= _MOST:
            min(idle, key=lambda channel: channel.last_activity).will_close = True

    def handle_read(self) -> None:
        """Read what has come; more of the same request gives it no more time."""
        is_going_on, since = self.request is not None, self.last_activity
        super().handle_read()
        if is_going_on and self.request is not None:
            self.last_activity = since
