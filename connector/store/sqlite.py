"""The embedded store: one SQLite file for any number of threads and processes on one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from connector.clock import Clock
from connector.errors import StoreDamagedError, StoreError
from connector.process import after_fork
from connector.store import sqlite_files as files
from connector.store.database import Execute, Statement, another_store
from connector.store.dialects import SQLITE
from connector.store.group_commit import GroupCommit, Job
from connector.store.schema import is_current, migrate

__all__ = ["SqliteDatabase"]

_A = TypeVar("_A")
_T = TypeVar("_T")
_BUSY_SECONDS = 30.0
_REAL = Clock()  # waits for other processes take real time, even if a test sets the clock
_SCRUB_MS = 5000
_LEFT_TO_THE_PARENT: list[object] = []


class SqliteDatabase:
    """Rows in a SQLite file in WAL mode; each commit is synced, and the time is this machine's."""

    dialect = SQLITE

    def __init__(self, path: Path, *, clock: Clock, patience: float | None = None) -> None:
        self._path = path
        self.clock: Clock = clock
        self._patience = _BUSY_SECONDS if patience is None else patience
        self.store_id = ""
        self._start()
        after_fork(self)

    def _start(self) -> None:
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._commits = GroupCommit(self._commit)
        self._opening = threading.Lock()  # one thread makes and migrates the file; the others use the result
        self._is_open = False

    def exists(self) -> bool:
        """Return whether the file exists and is not empty."""
        return self._is_open or files.is_there(self._path)

    def open(self) -> None:
        """Create the file, its folder and the schema if they are missing."""
        if self._is_open:
            return
        with self._opening:
            if self._is_open:
                return
            files.make_file(self._path)
            files.check_place(self._path)
            try:
                self._readers.append(self._connect(prepare=True))
            except StoreError as exc:
                if not files.is_full(exc):
                    raise
                self._prepare_on_a_full_disk()
            files.check_place(self._path)  # again, for files that were planted meanwhile
            self._is_open = True

    def all(self, sql: str, args: Sequence[object], *, timeout: float | None = None) -> list[Any]:
        """Return the rows of a query; none if there is no file yet."""
        if not self._is_open:
            if not self.exists():
                return []
            self.open()
        readers = self._readers
        try:
            try:
                db = readers.pop()
            except IndexError:
                db = self._connect()
            rows = self._rows(db, sql, args)
        except StoreError as exc:
            if not files.is_full(exc):
                raise
            # The disk may be too full for the shared index of the log (-shm): read without it.
            with closing(self._connect(alone=True)) as db:
                return self._rows(db, sql, args)
        readers.append(db)
        if readers is not self._readers:  # the store was closed meanwhile
            _close_all(readers)
        return rows

    def _rows(self, db: sqlite3.Connection, sql: str, args: Sequence[object]) -> list[Any]:
        try:
            return db.execute(sql, args).fetchall()
        except BaseException as exc:
            self._give_up(db, exc)

    def one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""
        return next(iter(self.all(sql, args)), None)

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements in a transaction, perhaps together with other threads'; it is durable on return."""
        is_single = len(statements) == 1
        job = Job(lambda run: [run(sql, args).rowcount for sql, args in statements], single=is_single)
        return self._commits.run(job)

    def transact(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in a transaction, as `apply` does."""
        return self._commits.run(Job(work))

    def keep_disk_reserve(self) -> None:
        """Reserve space on the disk, which is released when a write finds the disk full."""
        self.open()
        files.keep_reserve(self._path)

    def scrub(self) -> None:
        """Truncate the log, which still contains deleted data, unless a reader prevents it."""
        if not self.exists():
            return
        with suppress(sqlite3.Error, StoreError), closing(self._connect()) as db:
            db.execute(f"PRAGMA busy_timeout = {_SCRUB_MS}")  # writers wait meanwhile
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def facts(self) -> dict[str, str]:
        """Return the file's path and permissions, and the free space."""
        return files.facts(self._path)

    def close(self) -> None:
        """Close all handles; when the last process has closed, one file is left."""
        readers, self._readers = self._readers, []
        _close_all(readers)
        if self._writer is not None:
            self._writer.close()
        self._writer, self._is_open = None, False

    def start_in_child(self) -> None:
        """Start again without handles; SQLite's handles must not even be closed in a forked child."""
        _LEFT_TO_THE_PARENT.extend((self._readers, self._writer))
        self._start()

    def _connect(self, *, prepare: bool = False, alone: bool = False) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(
                self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as exc:
            raise files.translate(exc, self._path) from exc
        try:
            db.create_function("ormco_now", 0, self.clock.time)
            if alone:  # the log's index is in memory; other processes wait until this handle is closed
                db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")  # deleted data is overwritten
            if prepare:
                self._check_format(db)
            for (store_id,) in db.execute("SELECT store_id FROM ormco_store").fetchall():
                self.store_id = self.store_id or store_id
                if store_id != self.store_id:
                    raise another_store(self.store_id, str(self._path))
        except BaseException as exc:
            self._give_up(db, exc)
        return db

    def _give_up(self, db: sqlite3.Connection, exc: BaseException) -> NoReturn:
        """Close a handle after a failure, to release its lock; raise it, or our error for one of SQLite."""
        db.close()  # rolls back
        if isinstance(exc, sqlite3.Error):
            raise files.translate(exc, self._path) from exc
        raise exc

    def _prepare_on_a_full_disk(self) -> None:
        """Prepare for reads without releasing the reserve, which is for new tokens, if that is possible."""
        try:
            self._connect(prepare=True, alone=True).close()
        except StoreError as exc:
            if not files.is_full(exc) or not files.release_reserve(self._path):
                raise
            self._readers.append(self._connect(prepare=True))

    def _check_format(self, db: sqlite3.Connection) -> None:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "ormco_schema" not in tables:
            raise StoreDamagedError(
                f"{self._path} is another program's database", hint="Set ORMCO_STORE to another file."
            )
        if tables and is_current(db.execute):
            return
        # If several processes start together, SQLite reports a busy file to some without waiting.
        if self._patiently(db.execute, "PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise files.unavailable(
                self._path, "its file system has no shared memory (is it a network share?)"
            )
        migrate(lambda work: self._transact(db, [work]), db.execute, self.dialect, self.clock)

    def _commit(self, jobs: Sequence[Job[Any]]) -> None:
        self.open()
        try:
            self._attempt(jobs)
        except StoreError as exc:
            if not files.is_full(exc) or not files.release_reserve(self._path):
                raise
            self._attempt(jobs)

    def _attempt(self, jobs: Sequence[Job[Any]]) -> None:
        if self._writer is None:
            self._writer = self._connect()
            self._writer.execute("PRAGMA busy_timeout = 0")  # `_patiently` waits
        db = self._writer
        try:
            if len(jobs) == 1 and jobs[0].single:
                self._patiently(jobs[0].run, db.execute)
            else:
                self._transact(db, [job.run for job in jobs])
        except BaseException as exc:
            self._writer = None
            self._give_up(db, exc)

    def _transact(self, db: sqlite3.Connection, works: Sequence[Callable[[Execute], None]]) -> None:
        """Run work in one transaction; after an error, the caller rolls back by closing the handle."""
        self._patiently(db.execute, "BEGIN IMMEDIATE")
        for work in works:
            work(db.execute)
        db.execute("COMMIT")

    def _patiently(self, start: Callable[[_A], _T], arg: _A) -> _T:
        """Wait for the write lock with short pauses: SQLite's own grow to 100 ms, and leave the lock idle."""
        deadline, pause = None, 0.0005
        while True:
            try:
                return start(arg)
            except sqlite3.OperationalError as exc:
                deadline = deadline or _REAL.deadline(self._patience)
                if not files.is_busy(exc) or deadline.passed:
                    raise
            deadline.pause(pause * (0.5 + os.urandom(1)[0] / 255))
            pause = min(pause * 1.3, 0.01)


def _close_all(handles: list[sqlite3.Connection]) -> None:
    """Close handles; other threads may be closing them too."""
    while handles:
        with suppress(IndexError):
            handles.pop().close()
