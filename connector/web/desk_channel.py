"""A network connection to the desk; other users of the machine can open any number of them."""

from __future__ import annotations

from typing import Any

from waitress.channel import HTTPChannel

__all__ = ["DeskChannel"]

_MOST = 64  # fewer than those at which waitress stops accepting


class DeskChannel(HTTPChannel):  # type: ignore[misc]
    """A connection with a time limit; if there are too many, the one that is silent for longest is closed.

    Waitress counts every byte as activity, so it would wait for a request that never ends.
    """

    last_activity: float

    def __init__(self, server: Any, *args: Any, **options: Any) -> None:
        super().__init__(server, *args, **options)
        others = [each for each in server.active_channels.values() if each is not self]
        idle = [each for each in others if not (each.requests or each.will_close)]
        if len(idle) >= _MOST:
            min(idle, key=lambda channel: channel.last_activity).will_close = True

    def handle_read(self) -> None:
        """Read the available bytes; further bytes of the same request do not extend its time."""
        is_going_on, since = self.request is not None, self.last_activity
        super().handle_read()
        if is_going_on and self.request is not None:
            self.last_activity = since
