"""Room on the disk that is kept for what must not be lost."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Reserve"]

_BYTES = 1 << 20


class Reserve:
    """A file of real blocks that is given up when a write finds the disk full.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> None:
        """Make the file if it is not whole.

        Raises:
            OSError: if there is no room for it.
        """
        try:
            if self._path.stat().st_size == _BYTES:
                return
        except FileNotFoundError:
            pass
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(_BYTES))  # zeros could be stored as a hole
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.give_up()
            raise

    def give_up(self) -> bool:
        """Free the room; return whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
