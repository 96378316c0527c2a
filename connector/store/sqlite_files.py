"""The files of a SQLite store: their owners, the disk reserve, and the meaning of SQLite's errors."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
from pathlib import Path

from connector.errors import StoreDamagedError, StoreError, StoreLockedError, StoreUnavailableError
from connector.own_files import check_owner, create_own_file, open_own_file
from connector.own_folders import check_own_folder, make_own_folder
from connector.store.database import NotUniqueError

__all__ = [
    "check_place",
    "facts",
    "is_busy",
    "is_full",
    "is_there",
    "keep_reserve",
    "make_file",
    "network_share",
    "release_reserve",
    "translate",
    "unavailable",
]

_NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "glusterfs", "ceph")
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_FULL = "the disk is full"
_WORDS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_IOERR: "reading or writing it failed",
}
# One thread at a time makes the file: closing a second handle would drop the process's locks on it.
_making = threading.Lock()
_RESERVED_BYTES = 1 << 20


def is_there(path: Path) -> bool:
    """Return whether a store's file exists and is not empty."""
    if path.parent.exists():
        check_place(path)
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise unavailable(path, exc.strerror or str(exc)) from None


def make_file(path: Path) -> None:
    """Make a store's file if there is none, readable only by its owner.

    An existing file is not opened: closing it would drop the locks that SQLite has through other handles of
    this process.
    """
    try:
        make_own_folder(path.parent)
        with _making:
            os.close(create_own_file(path))
    except FileExistsError:
        return
    except OSError as exc:
        raise unavailable(path, exc.strerror or str(exc)) from None


def check_place(path: Path) -> None:
    """Refuse files that another user has planted: SQLite would apply a planted journal."""
    try:
        check_own_folder(path.parent)
        check_owner(path)
        real = Path(os.path.realpath(path))  # SQLite puts its journals beside the target of a link
        check_own_folder(real.parent)
        for suffix in ("-wal", "-shm", "-journal"):
            check_owner(real.with_name(f"{real.name}{suffix}"))
    except OSError as exc:
        raise StoreUnavailableError(
            f"the store {path} is not used, because of {exc.filename}: {exc.strerror}",
            hint="Run it as the owner of the store, or set ORMCO_STORE to a file in your own folder.",
        ) from None


def keep_reserve(path: Path) -> None:
    """Keep a file beside the store's, which is deleted when a write finds the disk full.

    Raises:
        connector.errors.StoreUnavailableError: if the disk is full, or another file has its name.
    """
    reserve = path.with_name(f"{path.name}-reserve")
    try:
        if not _is_kept(reserve):
            _keep(reserve)
    except OSError as exc:
        raise unavailable(path, exc.strerror or str(exc)) from None


def _is_kept(reserve: Path) -> bool:
    try:
        handle = open_own_file(reserve)
    except FileNotFoundError:
        return False
    size = os.fstat(handle).st_size
    os.close(handle)
    if size == _RESERVED_BYTES:
        return True
    reserve.unlink(missing_ok=True)
    return False


def _keep(reserve: Path) -> None:
    try:
        handle = create_own_file(reserve)
    except FileExistsError:
        return  # another process is making it
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(_RESERVED_BYTES))  # zeros might take no space on the disk
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        reserve.unlink(missing_ok=True)
        raise


def release_reserve(path: Path) -> bool:
    """Delete the reserve; return whether there was one."""
    try:
        path.with_name(f"{path.name}-reserve").unlink()
    except OSError:
        return False
    return True


def facts(path: Path) -> dict[str, str]:
    """Return the store's path, permissions, free space and problems."""
    import shutil  # not at the top, to keep `ormco token` fast

    found = {"database": "SQLite", "path": str(path)}
    folder = next(parent for parent in path.parents if parent.exists())
    found["free_bytes"] = str(shutil.disk_usage(folder).free)
    if path.is_symlink():
        found["symlink_to"] = os.path.realpath(path)
    if path.exists():
        found["bytes"] = str(path.stat().st_size)
        if os.name == "posix":
            file, mode = path.stat(), stat.S_IMODE(path.stat().st_mode)
            found["permissions"] = f"{mode:04o}"
            found["folder_permissions"] = f"{stat.S_IMODE(path.parent.stat().st_mode):04o}"
            found |= {"readable_by_others": "yes"} if mode & 0o077 else {}
            found |= {"owned_by": str(file.st_uid)} if file.st_uid != os.getuid() else {}
    share = network_share(path, _mounts())
    if share:
        found["network_share"] = share
    return found


def network_share(path: Path, mounts: str) -> str:
    """Return the kind of network share that a path is on, or "": SQLite's locks do not work there.

    `mounts` is the content of /proc/self/mounts; empty if the system has no such file.
    """
    if str(path).startswith(("\\\\", "//")):
        return "UNC path"
    real = Path(os.path.realpath(path))
    found = [line.split(" ") for line in mounts.splitlines()]
    over = [(mount[1], mount[2]) for mount in found if len(mount) > 2 and real.is_relative_to(mount[1])]
    kind = max(over, key=lambda mount: len(mount[0]), default=("", ""))[1]
    return kind if kind.startswith(_NETWORK) else ""


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text("utf-8", "replace")
    except OSError:
        return ""


def is_busy(exc: sqlite3.Error) -> bool:
    """Return whether another connection has the write lock."""
    return _primary(exc) in _BUSY


def is_full(error: StoreError) -> bool:
    """Return whether the disk was full."""
    return error.message.endswith(_FULL)


def translate(exc: sqlite3.Error, path: Path) -> StoreError:
    """Return our error for one of SQLite."""
    code = _primary(exc)
    if code in _BUSY:
        return StoreLockedError(
            f"the store {path} is locked by another process",
            hint="End the program that has it open for writing (a backup? an editor?), then try again.",
        )
    if getattr(exc, "sqlite_errorcode", 0) in _UNIQUE:
        return NotUniqueError(f"the store {path} has such a row already")
    if code in _DAMAGED:
        return StoreDamagedError(
            f"the store {path} is damaged ({exc})",
            hint="Nothing was changed. Restore the file from a backup.",
        )
    full = code == sqlite3.SQLITE_IOERR and _is_full(path)
    return unavailable(path, _FULL if full else _WORDS.get(code, str(exc)))


def unavailable(path: Path, why: str) -> StoreUnavailableError:
    """Return the error for a file that cannot be used."""
    return StoreUnavailableError(
        f"the store {path} cannot be used: {why}",
        hint="Set ORMCO_STORE to a file on a local disk with free space, in a folder this user can write to.",
    )


def _primary(exc: sqlite3.Error) -> int:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def _is_full(path: Path) -> bool:
    """Return whether the disk is full, which some systems report as an I/O error."""
    # A random name, so that no other user can have planted a link there.
    probe = path.with_name(f"{path.name}-{os.urandom(8).hex()}")
    try:
        with os.fdopen(create_own_file(probe), "wb") as file:
            file.write(b"\0" * 8192)
    except OSError as exc:
        return exc.errno in (errno.ENOSPC, errno.EDQUOT)
    finally:
        probe.unlink(missing_ok=True)
    return False


if hasattr(os, "register_at_fork"):  # not on Windows; no thread of the parent may hold it in a child
    os.register_at_fork(
        before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
    )
