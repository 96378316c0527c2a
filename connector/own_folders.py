"""Folders in which no other user can replace files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from connector.own_files import is_trusted, refused

__all__ = ["check_own_folder", "make_own_folder", "make_private_folder", "sync_folder"]

_POSIX = os.name == "posix"
_MOST_LINKS = 40  # the kernel's limit


def make_own_folder(path: Path) -> None:
    """Create a folder, and those above it that are missing, for this user alone, under any umask.

    Raises:
        PermissionError: if the folder, or the one in which the first is made, is another user's.
    """
    missing = [path]
    while not missing[-1].exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    check_own_folder(missing.pop())
    _make(missing)


def make_private_folder(path: Path) -> None:
    """Create a folder and its missing parents for this user alone, under any umask; accept existing ones.

    For folders that a person chooses, and for content that is not secret.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    _make(missing)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    if not _POSIX:  # a folder cannot be opened on Windows
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make(missing: Sequence[Path]) -> None:
    """Create folders, the last one first."""
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            check_own_folder(folder)
            continue
        if _POSIX and stat.S_IMODE(os.lstat(folder).st_mode) != 0o700:
            os.chmod(folder, 0o700)  # the umask had removed permissions that the owner needs


def check_own_folder(path: Path) -> None:
    """Refuse a folder in which another user can replace files, or to which another user's link leads.

    That is a folder of another user, or one without a sticky bit that every user, or a group with other
    members, can write to. Folders of the system (root) are accepted.

    Raises:
        PermissionError: if it is such a folder.
    """
    if not _POSIX:
        return
    _check_links(path)
    status = os.stat(path)
    if not is_trusted(status):
        raise refused("its folder belongs to another user", path)
    if status.st_mode & stat.S_ISVTX:
        return
    if status.st_mode & stat.S_IWOTH:
        raise refused("every user can replace files in its folder", path)
    if status.st_mode & stat.S_IWGRP and _has_others(status.st_gid):
        raise refused("a group of users can replace files in its folder", path)


def _check_links(path: Path) -> None:
    """Refuse a path that leads through another user's symbolic link, directly or through other links."""
    folder, names, links = "/", os.path.abspath(path).split("/"), 0
    while names:
        name = names.pop(0)
        here = os.path.normpath(os.path.join(folder, name))
        if name in ("", ".", "..") or not stat.S_ISLNK((status := os.lstat(here)).st_mode):
            folder = here
            continue
        links += 1
        if not is_trusted(status) or links > _MOST_LINKS:
            raise refused("its path contains a link that another user made", path)
        target = os.readlink(here)
        folder = "/" if target.startswith("/") else folder
        names[:0] = target.split("/")


def _has_others(gid: int) -> bool:
    """Return whether a group has members other than this user and root; root's own group counts as closed."""
    import grp
    import pwd

    if gid == 0:
        return False
    try:
        named = set(grp.getgrgid(gid).gr_mem)
    except KeyError:  # as in containers: an id that no user has
        named = set()
    users = [user for user in pwd.getpwall() if user.pw_gid == gid or user.pw_name in named]
    return any(user.pw_uid not in (os.geteuid(), 0) for user in users)
