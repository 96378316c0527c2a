"""The folder of a running sandbox, with its provider file and its lock."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["SandboxFolder"]

_PREFIX = "ormco-sandbox-"
_LOCK = "lock"


class SandboxFolder:
    """A temporary folder; folders that killed processes left behind are removed first.

    A sandbox holds a lock in its folder, which the system releases when the process ends or is killed.
    """

    def __init__(self) -> None:
        for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            _remove_if_left(left)
        while True:
            self.path: Path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            # Another process that starts now may mistake it for one that was left behind.
            with suppress(FileNotFoundError):
                self._lock: BinaryIO = (self.path / _LOCK).open("xb")
                if _is_locked(self._lock) and self.path.exists():
                    return
                self._lock.close()

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):
        if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
            return
        with (folder / _LOCK).open("rb") as lock:
            if _is_locked(lock) and fcntl is not None:
                shutil.rmtree(folder, ignore_errors=True)
        if fcntl is None:
            (folder / _LOCK).unlink()  # fails while its sandbox runs
            shutil.rmtree(folder, ignore_errors=True)


def _is_locked(lock: BinaryIO) -> bool:
    """Lock a file for this process alone; return whether that succeeded."""
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
