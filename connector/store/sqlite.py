"""The embedded store: one SQLite file, for any number of threads and processes of one machine."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from connector.clock import Clock
from connector.errors import StoreDamagedError, StoreError, StoreLockedError, StoreUnavailableError
from connector.store import sqlite_facts
from connector.store.database import Dialect, Execute, Job, Statement, WriteQueue
from connector.store.file_locks import FileLocks
from connector.store.migrations import is_current, migrate

__all__ = ["SqliteDatabase"]

_T = TypeVar("_T")
_BUSY_SECONDS = 30.0
_RESERVE_BYTES = 1 << 20
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FULL = "the disk is full"
_WORDS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_IOERR: "reading or writing it failed",
}

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END"
_DIALECT = Dialect(
    types={
        "key": "TEXT",
        "blob": "BLOB",
        "real": "REAL",
        "unique_nonce": "",  # no commit's outcome is ever unknown here
        # Never given twice; with one writer at a time, their order is that of the commits.
        "event_position": "sequence INTEGER PRIMARY KEY AUTOINCREMENT",
    },
    for_update="",
    last_steps=(
        f"CREATE TRIGGER ormco_events_stay BEFORE DELETE ON ormco_events {_REFUSE}",
        "CREATE TRIGGER ormco_events_unchanged BEFORE UPDATE OF sequence, nonce, at, kind, outcome, "
        f"practice_id, actor, state ON ormco_events {_REFUSE}",
    ),
)


class SqliteDatabase:
    """Rows in a SQLite file in WAL mode, each commit synced.

    Args:
        path: the file, absolute.
        clock: for waits.
    """

    dialect = _DIALECT
    locks_prove_death = True

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._start()

    def _start(self) -> None:
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._queue = WriteQueue(self._commit)
        self._opening = threading.Lock()
        self._is_open = False
        self._locks = FileLocks(self._path.with_name(f"{self._path.name}-locks"))
        self._reserve = self._path.with_name(f"{self._path.name}-reserve")

    def exists(self) -> bool:
        """Return whether the file is there and not empty."""
        try:
            return self._path.stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise self._unavailable(exc.strerror or str(exc)) from None

    def open(self) -> None:
        """Make the file, its folder and the schema, as far as they are missing."""
        if self._is_open:
            return
        with self._opening:
            if not self._is_open:
                self._make_file()
                self._readers.append(self._prepare())
                self._is_open = True

    def fetch_one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""
        try:
            db = self._readers.pop()
        except IndexError:
            db = self._connect(_BUSY_SECONDS)
        try:
            row = db.execute(sql, args).fetchone()
        except sqlite3.Error as exc:
            db.close()
            raise self._error(exc) from exc
        self._readers.append(db)
        return row

    def fetch_all(self, sql: str, args: Sequence[object]) -> list[Any]:
        """Return the rows of a query."""
        try:
            db = self._readers.pop()
        except IndexError:
            db = self._connect(_BUSY_SECONDS)
        try:
            rows = db.execute(sql, args).fetchall()
        except sqlite3.Error as exc:
            db.close()
            raise self._error(exc) from exc
        self._readers.append(db)
        return rows

    def write(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in a transaction, together with other threads', and return once it is on the disk."""
        return self._queue.run(work)

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements likewise."""
        return self._queue.apply(statements)

    def settle_events(self) -> None:
        """Do nothing: their places are given as they are written."""

    def make_room(self) -> None:
        """Keep a file of real blocks that can be given up when a write finds the disk full."""
        try:
            if self._reserve.stat().st_size == _RESERVE_BYTES:
                return
        except FileNotFoundError:
            pass
        try:
            handle = os.open(self._reserve, os.O_CREAT | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(_RESERVE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            self._give_up_reserve()
            raise self._unavailable(exc.strerror or str(exc)) from None

    def try_lock(self, name: str) -> bool:
        """Take a lock if no thread of any process has it."""
        self.open()
        try:
            return self._locks.try_lock(name)
        except OSError as exc:
            raise self._unavailable(f"its lock file: {exc.strerror}") from None

    def unlock(self, name: str) -> None:
        """Give a lock back."""
        self._locks.unlock(name)

    def holder(self, name: str) -> str | None:
        """Return the process that has a lock."""
        return self._locks.holder(name)

    def facts(self) -> dict[str, str]:
        """Return where the file is, who may read it, and how much room is left."""
        return sqlite_facts.facts(self._path)

    def close(self) -> None:
        """Close all handles; the last process to close leaves one file."""
        readers, self._readers = self._readers, []
        for db in [*readers, *([self._writer] if self._writer else [])]:
            db.close()
        self._writer, self._is_open = None, False
        self._locks.close()

    def forget_handles(self) -> None:
        """Start anew in a forked child; SQLite's handles must not even be closed there."""
        _LEFT_TO_THE_PARENT.extend((self._readers, self._writer))
        self._start()

    def _make_file(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except PermissionError:
            if not self._path.exists():  # else SQLite may still be able to read it
                raise self._unavailable("permission denied") from None
        except OSError as exc:
            raise self._unavailable(exc.strerror or str(exc)) from None

    def _connect(self, busy: float) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self._path, timeout=busy, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as exc:
            raise self._error(exc) from exc
        return db

    def _prepare(self) -> sqlite3.Connection:
        db = self._connect(_BUSY_SECONDS)
        try:
            self._check_format(db)
            return db
        except sqlite3.Error as exc:
            db.close()
            raise self._error(exc) from exc
        except BaseException:
            db.close()
            raise

    def _check_format(self, db: sqlite3.Connection) -> None:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "ormco_schema" not in tables:
            raise StoreDamagedError(
                f"{self._path} is another program's database", hint="Set ORMCO_STORE to a file of its own."
            )
        version = db.execute("SELECT MAX(version) FROM ormco_schema").fetchone()[0] if tables else 0
        if not is_current(version):
            if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise self._unavailable("its file system has no shared memory, as a network share has none")
            self._begin(db)
            migrate(db.execute, self.dialect)
            db.execute("COMMIT")

    def _commit(self, jobs: Sequence[Job[Any]]) -> None:
        self.open()
        for attempt in (1, 2):
            if self._writer is None:
                self._writer = self._connect(0.0)
            try:
                self._begin(self._writer)
                for job in jobs:
                    job.run(self._writer.execute)
                self._writer.execute("COMMIT")
                return
            except BaseException as exc:
                self._abandon()
                error = self._error(exc) if isinstance(exc, sqlite3.Error) else None
                if error is None or attempt == 2 or _FULL not in error.message or not self._give_up_reserve():
                    raise (error or exc) from exc

    def _begin(self, db: sqlite3.Connection) -> None:
        """Wait for the write lock; SQLite's own waits grow to 100 ms and leave the lock idle meanwhile."""
        deadline, pause = self._clock.deadline(_BUSY_SECONDS), 0.0005
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as exc:
                if _primary(exc) not in _BUSY or deadline.passed:
                    raise
            deadline.pause(pause * (0.5 + random.random()))  # noqa: S311 - no secret
            pause = min(pause * 1.3, 0.01)

    def _abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()  # rolls back
            self._writer = None

    def _give_up_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def _error(self, exc: sqlite3.Error) -> StoreError:
        code = _primary(exc)
        if code in _BUSY:
            return StoreLockedError(
                f"the store {self._path} is kept busy by another process",
                hint="End the program that has it open for writing (a backup? an editor?), then try again.",
            )
        if code in _DAMAGED:
            return StoreDamagedError(
                f"the store {self._path} is damaged ({exc})",
                hint="Nothing was changed. Restore the file from a backup; `ormco doctor` tells more.",
            )
        full = code == sqlite3.SQLITE_IOERR and _is_full(self._path)
        return self._unavailable(_FULL if full else _WORDS.get(code, str(exc)))

    def _unavailable(self, why: str) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the store {self._path} cannot be used: {why}",
            hint="Set ORMCO_STORE to a file on a local disk with room, in a folder this user may write.",
        )


_LEFT_TO_THE_PARENT: list[object] = []


def _primary(exc: sqlite3.Error) -> int:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def _is_full(path: Path) -> bool:
    """Return whether a write fails for want of room: some systems report that as an I/O error."""
    probe = path.with_name(f"{path.name}-probe")
    try:
        probe.write_bytes(b"\0" * 8192)
    except OSError as exc:
        return exc.errno in (errno.ENOSPC, errno.EDQUOT)
    finally:
        probe.unlink(missing_ok=True)
    return False
