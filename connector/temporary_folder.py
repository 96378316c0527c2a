"""A private folder that is removed after use, or at the next start if its process was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from connector.clock import Clock

__all__ = ["sweep_leftovers", "temporary_folder"]

_LOCK = "owner.lock"


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a private folder (0700), and remove it with its content afterwards.

    Folders that earlier, killed processes left behind are removed first: only this module makes folders with
    this prefix.
    """
    sweep_leftovers(prefix)
    folder, lock = _make_locked(prefix)
    try:
        yield folder
    finally:
        _clear(folder)
        with suppress(OSError):
            lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def sweep_leftovers(prefix: str) -> None:
    """Remove the folders of processes that have ended.

    A running process holds a lock on a file in its folder; the system releases it when the process ends. A
    process id would not be enough, because the system reuses it.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError, Timeout):
            if _is_ours(folder):
                with FileLock(folder / _LOCK, timeout=0):
                    _clear(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _make_locked(prefix: str) -> tuple[Path, FileLock]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)
        # A sweep in another process may take the folder before its lock exists; then try another folder.
        with suppress(FileNotFoundError, Timeout):
            lock.acquire()
            if (folder / _LOCK).exists():
                return folder, lock


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and folder.is_dir() and not folder.is_symlink()


def _clear(folder: Path) -> None:
    """Remove everything but the lock, which is removed last; wait for a child process that still writes."""
    deadline = Clock().deadline(3)
    while left := _entries(folder):
        for entry in left:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with suppress(OSError):
                    entry.unlink()
        if not _entries(folder) or not deadline.pause(0.05):
            return


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [entry for entry in folder.iterdir() if entry.name != _LOCK]
    return []
