"""The store for many app servers: PostgreSQL, over one database connection a process.

A lock is an advisory lock of that connection: it ends with its owner, whatever becomes of it, and costs a
waiter nothing but a query now and then. It therefore needs a connection of its own to the server: directly,
or through a pooler in session mode, not in transaction mode.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from connector.clock import Clock
from connector.errors import ConnectorError
from connector.store.database import Execute, Statement
from connector.store.job_queue import Job, JobQueue
from connector.store.migrations import is_current, migrate
from connector.store.owner import this_process
from connector.store.postgres_driver import Cursors, driver, translated
from connector.store.postgres_errors import address, is_final, is_passing, translate
from connector.store.postgres_locks import SessionLocks, lock_number
from connector.store.postgres_schema import DIALECT, SESSION

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresDatabase"]

_T = TypeVar("_T")
_FIRST_SECONDS = 3.0
_RESTART_SECONDS = 30.0
_LOCK_SQL = "SELECT pg_try_advisory_lock(?)"
_EVENTS_LOCK = lock_number("the order of events")
_SCHEMA_LOCK = lock_number("the schema")


class PostgresDatabase:
    """Rows in a PostgreSQL database.

    Args:
        url: `postgresql://…`, or what libpq takes in its place.
        clock: for waits.
    """

    dialect = DIALECT
    locks_prove_death = False  # a restart of the server ends the locks of the living

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._start()

    def _start(self) -> None:
        self._db: psycopg.Connection[Any] | None = None
        self._cursors: Cursors | None = None
        self._guard = threading.RLock()
        self._queue = JobQueue(self._work_off)
        self._locks = SessionLocks()
        self._was_open = False
        self._down_since: float | None = None

    def exists(self) -> bool:
        """Return True: a server is there or is an error."""
        return True

    def open(self) -> None:
        """Connect, and bring the schema up to date."""
        if not self._was_open:
            self._run(lambda db: None)

    def fetch_one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""
        rows = self.fetch_all(sql, args)
        return rows[0] if rows else None

    def fetch_all(self, sql: str, args: Sequence[object]) -> list[Any]:
        """Return the rows of a query."""
        return self._queue.ask([(sql, args)])[0]

    def write(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in a transaction, together with other threads', and return once it is durable."""
        return self._queue.run(work)

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements likewise, without waiting for the answer to one before the next is sent."""
        return self._queue.apply(statements)

    def settle_events(self) -> None:
        """Give committed events their places, one process at a time."""
        if self.fetch_one("SELECT 1 FROM ormco_events WHERE sequence IS NULL LIMIT 1", ()) is None:
            return

        def settle(db: psycopg.Connection[Any]) -> None:
            with db.transaction():
                db.execute(b"SELECT pg_advisory_xact_lock(%s)", (_EVENTS_LOCK,))
                db.execute(
                    "UPDATE ormco_events SET sequence = placed.sequence FROM (SELECT id, row_number() OVER "
                    "(ORDER BY id) + COALESCE((SELECT MAX(sequence) FROM ormco_events), 0) AS sequence "
                    "FROM ormco_events WHERE sequence IS NULL) AS placed WHERE ormco_events.id = placed.id"
                )

        self._run(settle)

    def make_room(self) -> None:
        """Do nothing: the intent of a refresh has just shown that the server can write."""

    def try_lock(self, name: str) -> bool:
        """Take a lock if no thread of any process has it."""
        return self._lock_and_ask(name, [])[0]

    def lock_and_fetch(self, name: str, sql: str, args: Sequence[object]) -> tuple[bool, Any]:
        """Take a lock if it is free, and return the row that a query finds in either case."""
        is_ours, answers = self._lock_and_ask(name, [(sql, args)])
        rows = answers[-1] if answers else []
        return is_ours, rows[0] if rows else None

    def lock_and_change(
        self, name: str, update: str, args: Sequence[object], *, columns: str
    ) -> tuple[bool, Any]:
        """Take a lock if it is free, and with it change a row, durably."""
        is_ours, answers = self._lock_and_ask(name, [], take=_lock_and_change_sql(update, columns), args=args)
        row = answers[0][0][1:] if is_ours else (None,)
        return is_ours, None if row[0] is None else row

    def _lock_and_ask(
        self, name: str, queries: Sequence[Statement], *, take: str = _LOCK_SQL, args: Sequence[object] = ()
    ) -> tuple[bool, list[list[Any]]]:
        number = lock_number(name)
        if not self._locks.reserve(number):
            return False, [[], *self._queue.ask(queries)] if queries else []
        try:
            answers = self._queue.ask([(take, (number, *args)), *queries], lock=number)
        except BaseException:
            self._let_go(number)
            raise
        is_ours = answers[0][0][0]
        if not is_ours:
            self._locks.release(number)
        return is_ours, answers

    def unlock(self, name: str) -> None:
        """Give a lock back; without a connection it is free already."""
        number = lock_number(name)
        if number in self._locks:
            self._let_go(number)

    def _let_go(self, number: int) -> None:
        if self._locks.release(number):
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        if self._db is not None:
            self._queue.post([("SELECT pg_advisory_unlock(?)", (number,))])

    def holder(self, name: str) -> str | None:
        """Return the process that has a lock, as it calls itself."""
        number = lock_number(name) & (2**64 - 1)
        row = self.fetch_one(
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted "
            "AND locktype = 'advisory' AND classid = ?::bigint::oid AND objid = ?::bigint::oid",
            (number >> 32, number & 0xFFFFFFFF),
        )
        return None if row is None else str(row[0])

    def facts(self) -> dict[str, str]:
        """Return which server it is, without the password."""
        found = {"database": "PostgreSQL", "path": address(self._url)}
        version, pid = self.fetch_one("SELECT current_setting('server_version'), pg_backend_pid()", ())
        with self._guard:
            pooled = self._db is not None and self._db.info.backend_pid != pid
        if pooled:
            found["pooler"] = "yes"
        return found | {"server_version": version}

    def close(self) -> None:
        """Close the connection."""
        with self._guard:
            self._drop()
            self._was_open = False

    def forget_handles(self) -> None:
        """Start anew in a forked child; closing the parent's connection there would end it for both."""
        _LEFT_TO_THE_PARENT.append(self._db)
        self._start()

    def _work_off(self, jobs: Sequence[Job[Any]]) -> None:
        self._send([job for job in jobs if job.statements])
        self._transact([job for job in jobs if not job.statements])

    def _send(self, jobs: Sequence[Job[Any]]) -> None:
        """Run statements in one go, or each job alone where one fails: an error is for its own job."""
        if not jobs:
            return
        try:
            self._run(lambda db: self._run_statements(db, jobs))
        except Exception as exc:
            is_away = self._db is None and isinstance(exc, ConnectorError)
            if is_away or len(jobs) == 1:
                _fail(jobs, exc)
            else:
                for job in jobs:
                    self._send([job])

    def _run_statements(self, db: psycopg.Connection[Any], jobs: Sequence[Job[Any]]) -> None:
        try:
            self._cursors_of(db).run(jobs)
        except driver().Error:
            # What was taken of which nobody has heard; they end with the session, if that has ended.
            for job in jobs:
                if job.lock is not None:
                    with suppress(driver().Error):
                        db.execute(b"SELECT pg_advisory_unlock(%s)", (job.lock,))
            raise
        for job in jobs:
            if job.lock is not None and job.results[0][0][0][0] and not self._locks.take(job.lock, job):
                self._give_back(job.lock)

    def _transact(self, jobs: Sequence[Job[Any]]) -> None:
        if not jobs:
            return
        try:
            self._run(lambda db: self._run_work(db, jobs))
        except Exception as exc:
            _fail(jobs, exc)

    def _run_work(self, db: psycopg.Connection[Any], jobs: Sequence[Job[Any]]) -> None:
        with db.transaction():
            for job in jobs:
                job.run(lambda sql, args: db.execute(translated(sql), args or None))

    def _cursors_of(self, db: psycopg.Connection[Any]) -> Cursors:
        if self._cursors is None or self._cursors.db is not db:
            self._cursors = Cursors(db)
        return self._cursors

    def _run(self, work: Callable[[psycopg.Connection[Any]], _T]) -> _T:
        """Run work that may be run again, through a restart of the server if need be."""
        error = driver().Error
        with self._guard:
            while True:
                try:
                    result = work(self._db or self._connect())
                except error as exc:
                    self._wait_after(exc)
                except ConnectorError:
                    raise
                except BaseException:
                    self._drop()  # an interrupted query would get in the way of the next
                    raise
                else:
                    self._down_since = None
                    return result

    def _wait_after(self, exc: psycopg.Error) -> None:
        """Wait before another try, or raise what the error means."""
        connected = self._db is not None and not self._db.closed
        if not connected:
            self._drop()
        if is_final(exc, connected=connected):
            raise translate(exc, self._url) from None
        now = self._clock.monotonic()
        since = self._down_since = now if self._down_since is None else self._down_since
        if now - since > (_RESTART_SECONDS if self._was_open or is_passing(exc) else _FIRST_SECONDS):
            raise translate(exc, self._url) from None
        self._clock.sleep(min(0.05 + (now - since) * 0.2, 1.0))

    def _connect(self) -> psycopg.Connection[Any]:
        db: psycopg.Connection[Any] = driver().connect(
            self._url,
            autocommit=True,
            connect_timeout=10,
            application_name=f"ormco {this_process()}"[:63],
            keepalives_idle=15,
            keepalives_interval=5,
            keepalives_count=3,
        )
        try:
            db.execute(SESSION)
            self._check_schema(db)
            self._db = db
            # The locks ended with the last connection. Who took one since then sees our work in the row.
            for number in self._locks.held:
                db.execute(b"SELECT pg_try_advisory_lock(%s)", (number,))
        except BaseException:
            self._db = None
            db.close()
            raise
        self._was_open = True
        return db

    def _check_schema(self, db: psycopg.Connection[Any]) -> None:
        version = 0
        if db.execute(b"SELECT to_regclass('ormco_schema') IS NOT NULL").fetchone() == (True,):
            version = db.execute(b"SELECT COALESCE(MAX(version), 0) FROM ormco_schema").fetchall()[0][0]
        if not is_current(version):
            with db.transaction():
                db.execute(b"SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
                migrate(lambda sql, args: db.execute(translated(sql), args or None), self.dialect)

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


@lru_cache
def _lock_and_change_sql(update: str, columns: str) -> str:
    # The snapshot may be older than the lock: what was committed in between, the UPDATE sees by itself.
    return (
        f"WITH taken AS MATERIALIZED ({_LOCK_SQL} AS ours), "  # noqa: S608 - the store's own statements
        f"changed AS ({update.format(ours='(SELECT ours FROM taken)')} RETURNING {columns}) "
        "SELECT taken.ours OR EXISTS (SELECT FROM changed), changed.* FROM taken LEFT JOIN changed ON TRUE"
    )


def _fail(jobs: Sequence[Job[Any]], error: Exception) -> None:
    for job in jobs:
        job.error = error


_LEFT_TO_THE_PARENT: list[object] = []
