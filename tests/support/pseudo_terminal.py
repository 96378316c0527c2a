"""A terminal of a chosen size with a command in it, and a person who types."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence

_PATIENCE = 120.0


def _own_session() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """`ormco`, or another command, in a pseudo-terminal."""

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str],
        columns: int = 80,
        command: Sequence[str] = (sys.executable, "-m", "connector"),
    ) -> None:
        self._terminal, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        without = {"COLUMNS", "LINES", "NO_COLOR", "SSH_TTY", "DISPLAY", "WAYLAND_DISPLAY"}
        inherited = {name: value for name, value in os.environ.items() if name not in without}
        self._process = subprocess.Popen(
            [*command, *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={**inherited, "TERM": "xterm-256color", **env},
            # The session has this terminal as its own, so that /dev/tty refers to it.
            preexec_fn=_own_session,
        )
        os.close(inside)
        self.raw = ""

    def sees(self, text: str) -> None:
        """Wait until a text is on the screen."""
        ends = time.monotonic() + _PATIENCE
        while text not in self.raw and time.monotonic() < ends and self._read(0.1):
            pass
        assert text in self.raw

    def types(self, text: str) -> None:
        """Type or paste a text."""
        data = text.encode()
        while data:
            data = data[os.write(self._terminal, data[:1024]) :]

    def ends(self) -> int:
        """Wait until the command ends; return its exit status."""
        while self._read(_PATIENCE):
            pass
        os.close(self._terminal)
        return self._process.wait(_PATIENCE)

    @property
    def screen(self) -> str:
        """The printed text, without the sequences that colour it or speak to the terminal."""
        return re.sub(r"\x1b\][^\x07]*\x07|\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw).replace("\r\n", "\n")

    def _read(self, seconds: float) -> bool:
        """Read the available output; return whether more can follow."""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._terminal, 65_536)
        except OSError:  # Linux: the command has ended
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
