"""Is there a display for a browser window?"""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

from connector.errors import BrowserUnavailableError

__all__ = ["require_display"]

_FIRST_PORT = 6000  # X's display 0 over TCP
_PATIENCE = 5.0  # s


def require_display() -> None:
    """Make sure that there is a display, and that it answers.

    Raises:
        connector.errors.BrowserUnavailableError: if no window can open here.
    """
    if not sys.platform.startswith(("linux", "freebsd")):
        return
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if not (wayland and _wayland_answers(wayland)) and not (x11 and _x11_answers(x11)):
        raise BrowserUnavailableError(
            "there is no display for a browser window" + ("" if not x11 else f": {x11} does not answer"),
            hint="Open the link on another computer and paste the answer (--paste); or run without a window"
            " (--headless), with the credentials in the environment.",
        )


def _wayland_answers(name: str) -> bool:
    return _answers(str(Path(os.environ.get("XDG_RUNTIME_DIR", "/"), name)))


def _x11_answers(display: str) -> bool:
    match = re.fullmatch(r"(?:unix|([^:/]*))(?:/unix)?:(\d+)(?:\.\d+)?", display)
    if match is None:  # some other form, such as a path: the browser will see
        return True
    host, number = match[1], int(match[2])
    if host:
        try:
            socket.create_connection((host, _FIRST_PORT + number), timeout=_PATIENCE).close()
        except OSError:
            return False
        return True
    path = f"/tmp/.X11-unix/X{number}"  # noqa: S108 - where X has it
    return _answers(path) or _answers("\0" + path)


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(address)
        except OSError:
            return False
    return True
