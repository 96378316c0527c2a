"""What SQLite's errors mean here."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from connector.errors import StoreDamagedError, StoreError, StoreLockedError, StoreUnavailableError
from connector.own_files import create_own_file
from connector.store.database import NotUniqueError

__all__ = ["is_busy", "is_full", "translate", "unavailable"]

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


def is_busy(exc: sqlite3.Error) -> bool:
    """Return whether another one has the write lock."""
    return _primary(exc) in _BUSY


def is_full(error: StoreError) -> bool:
    """Return whether there was no room on the disk."""
    return error.message.endswith(_FULL)


def translate(exc: sqlite3.Error, path: Path) -> StoreError:
    """Return the error of ours."""
    code = _primary(exc)
    if code in _BUSY:
        return StoreLockedError(
            f"the store {path} is kept busy by another process",
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
        hint="Set ORMCO_STORE to a file on a local disk with room, in a folder this user may write.",
    )


def _primary(exc: sqlite3.Error) -> int:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def _is_full(path: Path) -> bool:
    """Return whether a write fails for want of room: some systems report that as an I/O error."""
    # A name that nobody can have taken before, with a link to something else.
    probe = path.with_name(f"{path.name}-{os.urandom(8).hex()}")
    try:
        with os.fdopen(create_own_file(probe), "wb") as file:
            file.write(b"\0" * 8192)
    except OSError as exc:
        return exc.errno in (errno.ENOSPC, errno.EDQUOT)
    finally:
        probe.unlink(missing_ok=True)
    return False
