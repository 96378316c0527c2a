"""The embedded store: one SQLite file, for any number of threads and processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from connector.clock import Clock
from connector.errors import StoreDamagedError, StoreError, StoreUnavailableError
from connector.own_files import check_owner, create_own_file
from connector.own_folders import check_own_folder, make_own_folder
from connector.store.database import Dialect, Execute, Statement, another_store
from connector.store.group_commit import GroupCommit, Job
from connector.store.process import after_fork
from connector.store.reserve import Reserve
from connector.store.schema import is_current, migrate
from connector.store.sqlite_errors import is_busy, is_full, translate, unavailable

__all__ = ["SqliteDatabase"]

_T = TypeVar("_T")
_BUSY_SECONDS = 30.0
_REAL = Clock()  # other processes take their time, whatever the time of day is said to be
_SCRUB_MS = 5000
_NO_WAL = "its file system has no shared memory, as a network share has none"

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END"
_DIALECT = Dialect(
    types={
        "key": "TEXT",
        "blob": "BLOB",
        "real": "REAL",
        "unique_nonce": "",
        "event_position": "sequence INTEGER PRIMARY KEY AUTOINCREMENT",
        "row_space": "",
    },
    now="ormco_now()",
    for_update="",
    skip_locked="",
    in_index_order=(),
    first_steps=(
        f"CREATE TRIGGER ormco_events_stay BEFORE DELETE ON ormco_events {_REFUSE}",
        "CREATE TRIGGER ormco_events_unchanged BEFORE UPDATE OF sequence, nonce, at, kind, outcome, "
        f"practice_id, actor, state ON ormco_events {_REFUSE}",
    ),
    grant_steps=(
        "DROP TRIGGER ormco_events_stay",
        "CREATE TRIGGER ormco_events_stay BEFORE DELETE ON ormco_events "  # noqa: S608
        f"WHEN OLD.at >= COALESCE((SELECT pruned_before FROM ormco_event_counter), 0) {_REFUSE}",
        "CREATE UNIQUE INDEX ormco_events_nonce ON ormco_events (nonce)",
        # A process of an earlier version may still add events, which SQLite numbers by itself.
        "CREATE TRIGGER ormco_events_numbered AFTER INSERT ON ormco_events "
        "WHEN NEW.sequence > (SELECT last FROM ormco_event_counter) "
        "BEGIN UPDATE ormco_event_counter SET last = NEW.sequence; END",
    ),
    # One file has no parts that can be dropped by themselves.
    month_steps=(),
    drop_month="SELECT NULL",
    state_steps=(),
    states="ormco_connections",  # it is counted by its indexes
    concurrent_indexes=False,
)


class SqliteDatabase:
    """Rows in a SQLite file in WAL mode, each commit synced.

    Args:
        path: the file, absolute.
        clock: the database's time, which is this machine's.
        patience: seconds to wait for others that write; by default 30.
    """

    dialect = _DIALECT

    def __init__(self, path: Path, *, clock: Clock, patience: float | None = None) -> None:
        self._path = path
        self.clock: Clock = clock
        self._patience = _BUSY_SECONDS if patience is None else patience
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        self.store_id: str | None = None
        self._start()
        after_fork(self._start_in_child)

    def _start(self) -> None:
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._commits = GroupCommit(self._commit)
        self._opening = threading.Lock()  # one thread makes and migrates the file; the others use the result
        self._is_open = False

    def exists(self) -> bool:
        """Return whether the file is there and not empty."""
        if self._is_open:
            return True
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
            if self._is_open:
                return
            self._make_file()
            self._check_place()
            try:
                self._readers.append(self._connect(prepare=True))
            except StoreError as exc:
                if not is_full(exc):
                    raise
                self._prepare_on_a_full_disk()
            self._check_place()  # what was planted meanwhile
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
            if not is_full(exc):
                raise
            # Without the index of the log that processes share, if it is that which has no room.
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
        rows = self.all(sql, args)
        return rows[0] if rows else None

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements in a transaction, together with other threads'; return once it is on the disk."""

        def work(execute: Execute) -> list[int]:
            return [execute(sql, args).rowcount for sql, args in statements]

        return self._commits.run(Job(work, single=len(statements) == 1))

    def transact(self, work: Callable[[Execute], _T]) -> _T:
        """Run work likewise."""
        return self._commits.run(Job(work))

    def make_room(self) -> None:
        """Keep room that can be given up when a write finds the disk full."""
        self.open()
        try:
            self._reserve.keep()
        except OSError as exc:
            raise unavailable(self._path, exc.strerror or str(exc)) from None

    def scrub(self) -> None:
        """Empty the log, which still holds what was deleted; a reader that is in the way is no failure."""
        if not self.exists():
            return
        with suppress(sqlite3.Error, StoreError), closing(self._connect()) as db:
            db.execute(f"PRAGMA busy_timeout = {_SCRUB_MS}")  # writers wait meanwhile
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def facts(self) -> dict[str, str]:
        """Return where the file is, who may read it, and how much room is left."""
        from connector.store.sqlite_facts import facts

        return facts(self._path)

    def close(self) -> None:
        """Close all handles; the last process to close leaves one file."""
        readers, self._readers = self._readers, []
        _close_all(readers)
        if self._writer is not None:
            self._writer.close()
        self._writer, self._is_open = None, False

    def _start_in_child(self) -> None:
        """Start anew; SQLite's handles must not even be closed in a forked child."""
        global _making
        _making = threading.Lock()
        _LEFT_TO_THE_PARENT.extend((self._readers, self._writer))
        self._start()

    def _make_file(self) -> None:
        """Make the file if there is none, readable by its owner alone.

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
            check_owner(self._path)
            real = Path(os.path.realpath(self._path))  # SQLite puts its journals beside what a link leads to
            check_own_folder(real.parent)
            for suffix in ("-wal", "-shm", "-journal"):
                check_owner(real.with_name(f"{real.name}{suffix}"))
        except OSError as exc:
            raise StoreUnavailableError(
                f"the store {self._path} is not used, because of {exc.filename}: {exc.strerror}",
                hint="Run it as the user whose store it is, or set ORMCO_STORE to a file in a folder of "
                "your own.",
            ) from None

    def _connect(self, *, prepare: bool = False, alone: bool = False) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(
                self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as exc:
            raise translate(exc, self._path) from exc
        try:
            db.create_function("ormco_now", 0, self.clock.time)
            if alone:  # the index of the log is in memory, and others wait until this handle is closed
                db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten, not only given free
            if prepare:
                self._check_format(db)
            self._check_id(db)
        except BaseException as exc:
            self._give_up(db, exc)
        return db

    def _check_id(self, db: sqlite3.Connection) -> None:
        """Make sure that the file holds the same store as before."""
        for (store_id,) in db.execute("SELECT store_id FROM ormco_store").fetchall():
            self.store_id = self.store_id or store_id
            if store_id != self.store_id:
                raise another_store(self.store_id, str(self._path))

    def _give_up(self, db: sqlite3.Connection, exc: BaseException) -> NoReturn:
        """Close a handle after any failure, or it keeps its lock; raise SQLite's errors as ours."""
        db.close()  # rolls back
        if isinstance(exc, sqlite3.Error):
            raise translate(exc, self._path) from exc
        raise exc

    def _prepare_on_a_full_disk(self) -> None:
        """Make ready at least to read; the room that is kept for new tokens is not given up for that."""
        try:
            self._connect(prepare=True, alone=True).close()
        except StoreError as exc:
            if not is_full(exc) or not self._reserve.give_up():
                raise
            self._readers.append(self._connect(prepare=True))

    def _check_format(self, db: sqlite3.Connection) -> None:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "ormco_schema" not in tables:
            raise StoreDamagedError(
                f"{self._path} is another program's database", hint="Set ORMCO_STORE to a file of its own."
            )
        if tables and is_current(db.execute):
            return
        # Of several first starts, all but one may find it busy, whatever the time-out.
        if self._patiently(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
            raise unavailable(self._path, _NO_WAL)

        def transact(work: Callable[[Execute], None]) -> None:
            self._patiently(lambda: db.execute("BEGIN IMMEDIATE"))
            try:
                work(db.execute)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

        migrate(transact, db.execute, self.dialect, self.clock)

    def _commit(self, jobs: Sequence[Job[Any]]) -> None:
        self.open()
        try:
            self._attempt(jobs)
        except StoreError as exc:
            if not is_full(exc) or not self._reserve.give_up():
                raise
            self._attempt(jobs)

    def _attempt(self, jobs: Sequence[Job[Any]]) -> None:
        if self._writer is None:
            self._writer = self._connect()
            self._writer.execute("PRAGMA busy_timeout = 0")  # waiting is for `_patiently`
        db = self._writer
        try:
            if len(jobs) == 1 and jobs[0].single:
                self._patiently(lambda: jobs[0].run(db.execute))
            else:
                self._patiently(lambda: db.execute("BEGIN IMMEDIATE"))
                for job in jobs:
                    job.run(db.execute)
                db.execute("COMMIT")
        except BaseException as exc:
            self._writer = None
            self._give_up(db, exc)

    def _patiently(self, start: Callable[[], _T]) -> _T:
        """Wait for the write lock; SQLite's own waits grow to 100 ms and leave the lock idle meanwhile."""
        deadline, pause = None, 0.0005
        while True:
            try:
                return start()
            except sqlite3.OperationalError as exc:
                deadline = deadline or _REAL.deadline(self._patience)
                if not is_busy(exc) or deadline.passed:
                    raise
            deadline.pause(pause * (0.5 + os.urandom(1)[0] / 255))
            pause = min(pause * 1.3, 0.01)


_LEFT_TO_THE_PARENT: list[object] = []
# No two threads of a process make the file, each with a handle that the other's close would cost its locks.
_making = threading.Lock()


def _close_all(handles: list[sqlite3.Connection]) -> None:
    """Close handles that other threads may close, too."""
    with suppress(IndexError):
        while True:
            handles.pop().close()
