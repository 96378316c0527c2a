"""Locks between processes of one machine: byte ranges of one file, which end with their owner.

One file serves any number of practices: each locks one byte far behind the file's end, chosen by hash.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import threading
from pathlib import Path
from typing import ClassVar

from connector.own_files import create_own_file, open_own_file

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FileLocks"]

# Windows' _locking() takes 31 bits.
_RANGE = 1 << 31


class FileLocks:
    """The locks of one file.

    POSIX drops all of a process's locks on a file once it closes any handle of it, and never keeps a process
    from itself. So there is one handle a process, whatever number of stores is open, and a set of what is
    held.

    Args:
        path: the file; made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _File | None = None
        self._guard = threading.Lock()

    def try_lock(self, name: str) -> bool:
        """Take a lock if nobody has it."""
        return self._open().try_lock(_offset(name))

    def unlock(self, name: str) -> None:
        """Give a lock back; does nothing in a forked child, which never had it."""
        if self._file is not None:
            self._file.unlock(_offset(name))

    def holder(self, name: str) -> str | None:
        """Return who has a lock, in words, if the platform tells."""
        pid = self._open().holder(_offset(name))
        return None if pid is None else f"process {pid}"

    def close(self) -> None:
        """Let go of the file."""
        with self._guard:
            if self._file is not None:
                self._file.release()
                self._file = None

    def _open(self) -> _File:
        file = self._file
        if file is None or file.closed:
            with self._guard:
                file = self._file = _File.shared(self._path)
        return file


class _File:
    """One handle a process; counted."""

    _all: ClassVar[dict[tuple[int, int], _File]] = {}
    _all_guard = threading.Lock()

    def __init__(self, handle: int, key: tuple[int, int]) -> None:
        self._handle = handle
        self._key = key
        self._held: set[int] = set()
        self._guard = threading.Lock()
        self._users = 0
        self.closed = False

    @classmethod
    def shared(cls, path: Path) -> _File:
        with cls._all_guard:
            # Look before opening: closing a second handle would drop the locks held through the first.
            file = cls._all.get(_identity(path)) if path.exists() else None
            if file is None:
                handle = _open(path)
                file = cls._all.setdefault(_identity(path), cls(handle, _identity(path)))
            file._users += 1
            return file

    @classmethod
    def forget_all(cls) -> None:
        for file in cls._all.values():
            os.close(file._handle)
            file.closed = True
        cls._all, cls._all_guard = {}, threading.Lock()

    def release(self) -> None:
        with self._all_guard:
            self._users -= 1
            if self._users == 0 and not self.closed:
                self._all.pop(self._key, None)
                os.close(self._handle)
                self.closed = True

    def try_lock(self, offset: int) -> bool:
        with self._guard:
            if offset in self._held or not _try_lock_byte(self._handle, offset):
                return False
            self._held.add(offset)
            return True

    def unlock(self, offset: int) -> None:
        if self.closed:
            return
        with self._guard:
            if offset in self._held:
                self._held.remove(offset)
                _unlock_byte(self._handle, offset)

    def holder(self, offset: int) -> int | None:
        with self._guard:
            return os.getpid() if offset in self._held else _lock_owner(self._handle, offset)


def _open(path: Path) -> int:
    """Open the file, or make it: never one that another user has planted, or what a link leads to."""
    try:
        return create_own_file(path)
    except FileExistsError:
        return open_own_file(path, write=True)


def _offset(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _RANGE


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


if sys.platform == "win32":

    def _try_lock_byte(handle: int, offset: int) -> bool:
        os.lseek(handle, offset, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock_byte(handle: int, offset: int) -> None:
        os.lseek(handle, offset, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

    def _lock_owner(handle: int, offset: int) -> int | None:
        return None

else:

    def _try_lock_byte(handle: int, offset: int) -> bool:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):  # EAGAIN, or EACCES on some systems
            return False
        return True

    def _unlock_byte(handle: int, offset: int) -> None:
        fcntl.lockf(handle, fcntl.LOCK_UN, 1, offset)

    def _lock_owner(handle: int, offset: int) -> int | None:
        if not sys.platform.startswith("linux") or struct.calcsize("P") != 8:
            return None  # struct flock is laid out otherwise
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(handle, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK or pid <= 0 else int(pid)

    os.register_at_fork(after_in_child=_File.forget_all)
