"""The embedded store: one SQLite file, for any number of threads and processes of one machine."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from connector.clock import Clock
from connector.errors import StoreDamagedError
from connector.own_files import check_own_folder, check_owner, create_own_file, make_own_folder
from connector.store.database import Execute, Statement
from connector.store.file_locks import FileLocks
from connector.store.job_queue import Job, JobQueue
from connector.store.migrations import is_current, migrate
from connector.store.reserve import Reserve
from connector.store.sqlite_errors import is_busy, is_full, translate, unavailable
from connector.store.sqlite_schema import DIALECT

__all__ = ["SqliteDatabase"]

_T = TypeVar("_T")
_BUSY_SECONDS = 30.0
_HAS_RETURNING = sqlite3.sqlite_version_info >= (3, 35)
_NO_WAL = "its file system has no shared memory, as a network share has none"


class SqliteDatabase:
    """Rows in a SQLite file in WAL mode, each commit synced.

    Args:
        path: the file, absolute.
        clock: for waits.
    """

    dialect = DIALECT
    locks_prove_death = True

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._start()

    def _start(self) -> None:
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._queue = JobQueue(self._commit)
        self._opening = threading.Lock()
        self._is_open = False
        self._locks = FileLocks(self._path.with_name(f"{self._path.name}-locks"))
        self._reserve = Reserve(self._path.with_name(f"{self._path.name}-reserve"))

    def exists(self) -> bool:
        """Return whether the file is there and not empty."""
        if self._path.parent.exists():
            self._check_place()
        try:
            return self._path.stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise unavailable(self._path, exc.strerror or str(exc)) from None

    def open(self) -> None:
        """Make the file, its folder and the schema, as far as they are missing."""
        if self._is_open:
            return
        with self._opening:
            if not self._is_open:
                self._make_file()
                self._check_place()
                self._readers.append(self._prepare())
                self._check_place()  # what was planted meanwhile
                self._is_open = True

    def fetch_one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""
        db = self._reader()
        try:
            row = db.execute(sql, args).fetchone()
        except sqlite3.Error as exc:
            db.close()
            raise translate(exc, self._path) from exc
        self._readers.append(db)
        return row

    def fetch_all(self, sql: str, args: Sequence[object]) -> list[Any]:
        """Return the rows of a query."""
        db = self._reader()
        try:
            rows = db.execute(sql, args).fetchall()
        except sqlite3.Error as exc:
            db.close()
            raise translate(exc, self._path) from exc
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
        """Keep room that can be given up when a write finds the disk full."""
        try:
            self._reserve.keep()
        except OSError as exc:
            raise unavailable(self._path, exc.strerror or str(exc)) from None

    def try_lock(self, name: str) -> bool:
        """Take a lock if no thread of any process has it."""
        self.open()
        try:
            return self._locks.try_lock(name)
        except OSError as exc:
            raise unavailable(self._path, f"its lock file: {exc.strerror}") from None

    def lock_and_fetch(self, name: str, sql: str, args: Sequence[object]) -> tuple[bool, Any]:
        """Take a lock if it is free, and return the row that a query finds in either case."""
        is_ours = self.try_lock(name)
        try:
            return is_ours, self.fetch_one(sql, args)
        except BaseException:
            if is_ours:
                self.unlock(name)
            raise

    def lock_and_change(
        self, name: str, update: str, args: Sequence[object], *, columns: str
    ) -> tuple[bool, Any]:
        """Take a lock if it is free, and with it change a row; SQLite before 3.35 changes nothing here."""
        is_ours = self.try_lock(name)
        if not is_ours or not _HAS_RETURNING:
            return is_ours, None
        try:
            sql = f"{update.format(ours='TRUE')} RETURNING {columns}"
            rows = self._queue.ask([(sql, args)])[0]
        except BaseException:
            self.unlock(name)
            raise
        return True, rows[0] if rows else None

    def unlock(self, name: str) -> None:
        """Give a lock back."""
        self._locks.unlock(name)

    def holder(self, name: str) -> str | None:
        """Return the process that has a lock."""
        return self._locks.holder(name)

    def facts(self) -> dict[str, str]:
        """Return where the file is, who may read it, and how much room is left."""
        from connector.store.sqlite_facts import facts

        return facts(self._path)

    def close(self) -> None:
        """Close all handles; the last process to close leaves one file."""
        readers, self._readers = self._readers, []
        for db in [*readers, *([self._writer] if self._writer else [])]:
            db.close()
        self._writer, self._is_open = None, False
        self._locks.close()

    def forget_handles(self) -> None:
        """Start anew in a forked child; SQLite's handles must not even be closed there."""
        global _making
        _making = threading.Lock()
        _LEFT_TO_THE_PARENT.extend((self._readers, self._writer))
        self._start()

    def _make_file(self) -> None:
        """Make the file where there is none, readable by its owner alone.

        A file that is there is left alone: closing a handle of it would drop the locks that SQLite holds
        through any other handle of this process.
        """
        try:
            make_own_folder(self._path.parent)
            with _making:
                os.close(create_own_file(self._path))
        except FileExistsError:
            return
        except OSError as exc:
            raise unavailable(self._path, exc.strerror or str(exc)) from None

    def _check_place(self) -> None:
        """Refuse files that another user has planted: SQLite would take over what a journal says."""
        try:
            check_own_folder(self._path.parent)
            for suffix in ("", "-wal", "-shm", "-journal"):
                check_owner(self._path.with_name(f"{self._path.name}{suffix}"))
        except OSError as exc:
            raise unavailable(self._path, exc.strerror or str(exc)) from None

    def _reader(self) -> sqlite3.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            db.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as exc:
            raise translate(exc, self._path) from exc
        return db

    def _prepare(self) -> sqlite3.Connection:
        db = self._connect()
        try:
            self._check_format(db)
            return db
        except sqlite3.Error as exc:
            db.close()
            raise translate(exc, self._path) from exc
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
            # Of several first starts, all but one may find it busy, whatever the time-out.
            if self._patiently(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
                raise unavailable(self._path, _NO_WAL)
            self._begin(db)
            migrate(db.execute, self.dialect)
            db.execute("COMMIT")

    def _connect_writer(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA busy_timeout = 0")  # waiting is for `_patiently`
        return db

    def _commit(self, jobs: Sequence[Job[Any]]) -> None:
        self.open()
        for attempt in (1, 2):
            if self._writer is None:
                self._writer = self._connect_writer()
            try:
                self._transact(self._writer, jobs)
                return
            except sqlite3.Error as exc:
                self._abandon()
                error = translate(exc, self._path)
                if attempt == 2 or not is_full(error) or not self._reserve.give_up():
                    raise error from exc
            except BaseException:
                self._abandon()
                raise

    def _transact(self, db: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> None:
        if len(jobs) == 1 and len(jobs[0].statements) == 1:  # a transaction by itself
            self._patiently(lambda: jobs[0].run(db.execute))
            return
        self._begin(db)
        for job in jobs:
            job.run(db.execute)
        db.execute("COMMIT")

    def _begin(self, db: sqlite3.Connection) -> None:
        self._patiently(lambda: db.execute("BEGIN IMMEDIATE"))

    def _patiently(self, start: Callable[[], _T]) -> _T:
        """Wait for the write lock; SQLite's own waits grow to 100 ms and leave the lock idle meanwhile."""
        deadline, pause = None, 0.0005
        while True:
            try:
                return start()
            except sqlite3.OperationalError as exc:
                deadline = deadline or self._clock.deadline(_BUSY_SECONDS)
                if not is_busy(exc) or deadline.passed:
                    raise
            deadline.pause(pause * (0.5 + random.random()))  # noqa: S311 - no secret
            pause = min(pause * 1.3, 0.01)

    def _abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()  # rolls back
            self._writer = None


_LEFT_TO_THE_PARENT: list[object] = []
_making = threading.Lock()
