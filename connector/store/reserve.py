"""Room on the disk that is kept for what must not be lost."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from connector.own_files import create_own_file, open_own_file

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
            OSError: if there is no room for it, or another file has its name.
        """
        with suppress(FileNotFoundError):
            handle = open_own_file(self._path)
            size = os.fstat(handle).st_size
            os.close(handle)
            if size == _BYTES:
                return
            self.give_up()
        try:
            handle = create_own_file(self._path)
        except FileExistsError:
            return  # another process is making it
        try:
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
