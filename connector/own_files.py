"""Files and folders that belong to this user alone.

In a folder that other users can write to, a file may have been planted: a symbolic link to something else, a
hard link, a named pipe without data, or a file that still belongs to its creator, who can read it
later. So a new file is created with `O_EXCL`, and an old one is opened without following links and
checked by its open handle, not by its path.

Every refusal is a `PermissionError` whose `strerror` is the reason, so that callers that translate
`OSError` need no second rule. On Windows, owners are not compared; profile folders are closed to other users.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = [
    "check_owner",
    "create_own_file",
    "is_trusted",
    "open_own_file",
    "platform_folder",
    "read_named_file",
    "read_own_file",
    "refused",
]

_POSIX = os.name == "posix"
_BINARY: int = getattr(os, "O_BINARY", 0)
# O_NONBLOCK: opening a named pipe would wait for its other end. It changes nothing for a regular file.
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_GUARDED: int = _BINARY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_OTHERS, _WRITERS = 0o077, 0o022


def platform_folder(kind: str) -> Path | None:
    """Return this user's folder for "data" or "config", or None for a user without a home."""
    import platformdirs  # takes longer to import than everything else

    find = platformdirs.user_data_path if kind == "data" else platformdirs.user_config_path
    try:
        folder = find("ormco", appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def create_own_file(path: Path) -> int:
    """Create a file that only this user can read, under any umask; return its handle, to read and write.

    Raises:
        FileExistsError: if anything has this name already, even a dangling link.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _GUARDED, 0o600)
    if _POSIX:
        os.fchmod(handle, 0o600)
    return handle


def open_own_file(path: Path, *, write: bool = False, one_link: bool = True, closed: bool = True) -> int:
    """Open a regular file that this user made and no other user can read; return its handle.

    Args:
        path: the file; never followed if it is a symbolic link.
        write: open it to read and write, not only to read.
        one_link: refuse a file that has a second name.
        closed: refuse a file that others can read; one that others can write to is refused in any case.

    Raises:
        FileNotFoundError: if there is none.
        PermissionError: if it is not such a file.
    """
    try:
        handle = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _GUARDED)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):  # a link, or a pipe without a reader
            raise refused("it is not a regular file", path) from None
        raise
    try:
        _check_opened(os.fstat(handle), path, one_link=one_link, closed=closed)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_own_file(path: Path, *, limit: int) -> bytes:
    """Return at most `limit` bytes of a regular file that this user made and no other user can read."""
    # A second hard link is no danger: the permissions belong to the file, not to its name.
    with os.fdopen(open_own_file(path, one_link=False), "rb") as file:
        return file.read(limit)


def read_named_file(path: Path, *, limit: int) -> bytes:
    """Return at most `limit` bytes of a secret file that a setting names.

    A person chose this path, so links are followed: Kubernetes mounts secrets behind links. The
    permissions of root's files are not checked, because root chose them; other users must not be able to read
    a file of this user.

    Raises:
        PermissionError: if it is not a regular file, belongs to another user, or can be read by others.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | _GUARDED & ~_NO_FOLLOW), "rb") as file:
        status = os.fstat(file.fileno())
        if not (_POSIX and status.st_uid == 0 and os.geteuid() != 0 and stat.S_ISREG(status.st_mode)):
            _check_opened(status, path, one_link=False)
        return file.read(limit)


def check_owner(path: Path) -> None:
    """Refuse a file, or a link to one, that another user made; do nothing if there is none.

    For files that another library opens by their path; otherwise use `open_own_file`, which checks more.

    Raises:
        PermissionError: if it belongs to another user, or is not a regular file.
    """
    if not _POSIX:
        return
    try:
        link, target = os.lstat(path), os.stat(path)
    except FileNotFoundError:
        if path.is_symlink() and not is_trusted(os.lstat(path)):
            raise refused("it is a link that another user made", path) from None
        return
    if not (is_trusted(link) and is_trusted(target)):
        raise refused("it belongs to another user", path)
    if not stat.S_ISREG(target.st_mode):
        raise refused("it is not a regular file", path)


def _check_opened(status: os.stat_result, path: Path, *, one_link: bool, closed: bool = True) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise refused("it is not a regular file", path)
    if not _POSIX:
        return
    if status.st_uid != os.geteuid():
        raise refused("it belongs to another user", path)
    if status.st_mode & (_OTHERS if closed else _WRITERS):
        raise refused(f"other users can {'read' if closed else 'write to'} it", path)
    if one_link and not status.st_nlink:
        raise FileNotFoundError(errno.ENOENT, "it was removed while it was opened", str(path))
    if one_link and status.st_nlink > 1:
        raise refused("it has a second name", path)


def is_trusted(status: os.stat_result) -> bool:
    """Return whether a file belongs to this user or to root, who can do anything here in any case."""
    return status.st_uid in (os.geteuid(), 0)


def refused(reason: str, path: Path) -> PermissionError:
    """Return the error for a file or folder that is not safe to use."""
    return PermissionError(errno.EPERM, reason, str(path))
