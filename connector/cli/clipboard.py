"""Copy a text to the clipboard of the person at the terminal."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys

from connector.process import child_environment

__all__ = ["copy"]

_SECONDS = 3.0


def copy(text: str) -> str:
    """Copy a text; return a message about it, or "" if it was not possible.

    The platform's own tool comes first, because it reports success. Otherwise the terminal gets OSC 52,
    which also reaches the right machine over SSH, but gives no reply.
    """
    if any(_run(command, text) for command in _tools()):
        return "copied to the clipboard"
    if os.environ.get("TERM", "dumb") == "dumb" or not sys.stderr.isatty():
        return ""
    sys.stderr.write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07")
    sys.stderr.flush()
    return "sent to the terminal's clipboard, if it has one: try pasting"


def _tools() -> list[list[str]]:
    if sys.platform == "darwin":
        return [["pbcopy"]]
    if sys.platform == "win32":
        return [["clip.exe"]]
    if os.environ.get("SSH_TTY"):
        return []  # the clipboard here is another machine's
    tools = []
    if os.environ.get("WAYLAND_DISPLAY"):
        tools.append(["wl-copy"])
    if os.environ.get("DISPLAY"):
        tools += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    return [*tools, ["clip.exe"]] if os.environ.get("WSL_DISTRO_NAME") else tools


def _run(command: list[str], text: str) -> bool:
    program = shutil.which(command[0])
    if program is None:
        return False
    try:
        # xclip stays in the background to serve the clipboard: it must not keep our streams open.
        ended = subprocess.run(
            [program, *command[1:]],
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=child_environment(os.environ),
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
