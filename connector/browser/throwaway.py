"""A folder for one browser, gone afterwards: at once, or at the next start if its process was killed."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from connector.clock import Clock
from connector.errors import BrowserUnavailableError

__all__ = ["sweep_leftovers", "throw_away_folder"]

_PREFIX = "ormco-browser-"
_OWNER = "owner.lock"
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    """Make a private folder (0700), and remove it with all that is in it.

    Folders that earlier, killed processes left behind are removed first.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no room for one.
    """
    sweep_leftovers()
    try:
        folder, owner = _make_owned()
    except OSError as exc:
        raise BrowserUnavailableError(
            f"no folder for the browser can be made in {tempfile.gettempdir()}: {exc.strerror}",
            hint="Make room there, or set TMPDIR (on Windows: TEMP) to another folder.",
        ) from None
    try:
        yield folder
    finally:
        _clear(folder)
        os.close(owner)
        shutil.rmtree(folder, ignore_errors=True)


def sweep_leftovers() -> None:
    """Remove the folders whose process is dead.

    A living process holds a lock on a file in its folder; the system frees it with the process, however
    that ended. A process number would not do: it is given to another process sooner or later.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if _is_ours(folder):
                _sweep(folder)


def _sweep(folder: Path) -> None:
    owner = _open_owner(folder)
    try:
        if not _try_lock(owner):
            return
        _clear(folder)
    finally:
        os.close(owner)
    shutil.rmtree(folder, ignore_errors=True)


def _make_owned() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            owner = _open_owner(folder)
            try:
                locked = _try_lock(owner)
            except OSError:
                locked = True  # No locks on this file system: then no sweep takes the folder either.
            # A sweep in another process may have been at the folder before its lock was.
            if locked and (folder / _OWNER).exists():
                return folder, owner
            os.close(owner)


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and folder.is_dir() and not folder.is_symlink()


def _open_owner(folder: Path) -> int:
    return os.open(folder / _OWNER, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(file: int) -> bool:
    """Take the lock; return False if another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in _BUSY:
            return False
        raise
    return True


def _clear(folder: Path) -> None:
    """Remove all but the lock, which goes last; what a dying browser still writes is waited for."""
    deadline = Clock().deadline(3)
    while not _is_cleared(folder) and deadline.pause(0.05):
        pass


def _is_cleared(folder: Path) -> bool:
    """Remove all but the lock; return whether nothing else is left."""
    for entry in _entries(folder):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()
    return not _entries(folder)


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [entry for entry in folder.iterdir() if entry.name != _OWNER]
    return []
