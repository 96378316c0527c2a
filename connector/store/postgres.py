"""The store for many app servers: PostgreSQL, over a small pool of sessions.

No call depends on the session of an earlier one, so a pooler in transaction mode (PgBouncer) can be used.
There are no session settings and no session locks; behind a pooler there are no prepared statements.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from connector.clock import Clock, Deadline
from connector.errors import StoreError
from connector.process import after_fork
from connector.store import postgres_sessions as sessions
from connector.store.database import Execute, Statement, another_store
from connector.store.dialects import POSTGRES
from connector.store.schema import is_current, migrate

__all__ = ["PostgresDatabase"]

_T = TypeVar("_T")
# Seconds after which a call gives up.
_CALL_SECONDS = 5.0
_CONNECT_SECONDS = 3.0
_LARGEST_POOL = 8
_PREPARE_AFTER = 2
_REAL = Clock()  # waits for the server take real time, even if a test sets the clock
# The store's tables must all be in one schema: an empty table of the same name in another may hide one.
_FACTS = b"""SELECT store_id, (SELECT COUNT(DISTINCT relnamespace) = 1 FROM pg_class WHERE oid IN
    ('ormco_store'::regclass, 'ormco_connections'::regclass, 'ormco_requests'::regclass,
    'ormco_events'::regclass)), current_setting('synchronous_commit'), pg_backend_pid() FROM ormco_store"""
_MIGRATION_LOCK = 0x6F726D636F  # an advisory lock of a transaction, not of a session


class PostgresDatabase:
    """Rows in a PostgreSQL database; `url` is `postgresql://…`, or another connection string of libpq."""

    dialect = POSTGRES

    def __init__(self, url: str, *, clock: Clock, patience: float | None = None) -> None:
        self._url = url
        self.clock: Clock = clock
        self._patience = _CALL_SECONDS if patience is None else patience
        self.store_id = ""
        self._refusal: StoreError | None = None
        self._must_ask_for_sync = False
        self._start()
        after_fork(self)

    def _start(self) -> None:
        self._pool: ConnectionPool[Any] | None = None
        self._opening = threading.Lock()  # one thread migrates and makes the pool; the others use it

    def exists(self) -> bool:
        """Return True: an unreachable server is an error."""
        return True

    def open(self) -> None:
        """Connect, and bring the schema up to date."""
        self._opened()

    def _opened(self) -> ConnectionPool[Any]:
        pool = self._pool
        if pool is not None:
            return pool
        with self._opening:
            if self._pool is None:
                self._pool = self._retried(self._prepared, _REAL.deadline(self._patience), 0.05)
            return self._pool

    def all(self, sql: str, args: Sequence[object], *, timeout: float | None = None) -> list[Any]:
        """Return the rows of a query."""

        def read(db: psycopg.Connection[Any]) -> list[Any]:
            rows: list[Any] = db.execute(_marked(sql), args or None, binary=True).fetchall()
            if not rows:  # another, empty store may have taken its place
                self._check_session(db)
            return rows

        return self._run(read, timeout)

    def one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""
        rows = self.all(sql, args)
        return rows[0] if rows else None

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements in one transaction and one round trip."""
        if len(statements) == 1 and not self._must_ask_for_sync:
            sql, args = statements[0]
            return self._run(lambda db: [db.execute(_marked(sql), args or None).rowcount])

        def work(db: psycopg.Connection[Any]) -> list[int]:
            with db.pipeline(), db.transaction():
                self._ask_for_sync(db)
                cursors = [db.execute(_marked(sql), args or None) for sql, args in statements]
            return [cursor.rowcount for cursor in cursors]

        return self._run(work)

    def transact(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in one transaction."""

        def run(db: psycopg.Connection[Any]) -> _T:
            with db.transaction():
                self._ask_for_sync(db)
                return work(lambda sql, args: db.execute(_marked(sql), args or None))

        return self._run(run)

    def _ask_for_sync(self, db: psycopg.Connection[Any]) -> None:
        """Make a commit durable even if the server's default is not; per transaction, because of poolers."""
        if self._must_ask_for_sync:
            db.execute(b"SET LOCAL synchronous_commit TO on")

    def keep_disk_reserve(self) -> None:
        """Do nothing: only the server's administrator can reserve space."""

    def scrub(self) -> None:
        """Do nothing: VACUUM removes deleted rows; the administrator is responsible for log and backups."""

    def facts(self) -> dict[str, str]:
        """Return the server's address and version, and whether a pooler is in between."""

        def ask(db: psycopg.Connection[Any]) -> dict[str, str]:
            rows = db.execute(b"SELECT current_setting('server_version'), pg_backend_pid()").fetchall()
            pooled = {} if rows[0][1] == db.info.backend_pid else {"pooler": "yes"}
            return {"server_version": rows[0][0], **pooled}

        return {"database": "PostgreSQL", "path": sessions.address(self._url), **self._run(ask)}

    def close(self) -> None:
        """Close the pool; the next call opens it again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(timeout=1.0)

    def start_in_child(self) -> None:
        """Start again without sessions; closing the parent's in a forked child would end them for both."""
        _LEFT_TO_THE_PARENT.append(self._pool)
        self._start()

    def _run(self, work: Callable[[psycopg.Connection[Any]], _T], timeout: float | None = None) -> _T:
        """Run work on any session; repeat it after a lost connection until the deadline."""
        deadline = _REAL.deadline(self._patience if timeout is None else timeout)

        def attempt() -> _T:
            with sessions.session(self._opened(), deadline) as db:
                return work(db)

        return self._retried(attempt, deadline, 0.0)

    def _retried(self, attempt: Callable[[], _T], deadline: Deadline, pause: float) -> _T:
        while True:
            try:
                return attempt()
            except psycopg.Error as exc:
                if self._refusal is not None and isinstance(exc, sessions.NO_SESSION):
                    raise self._refusal from None
                error, is_over = sessions.translate(exc, self._url), sessions.is_final(exc)
            # Raised outside `except`, so that the error keeps no frame of the driver, which has the password.
            if is_over or not deadline.pause(pause):
                raise error
            pause = min(0.05 + pause * 1.5, 1.0)

    def _prepared(self) -> ConnectionPool[Any]:
        """Bring the schema up to date, and return the pool."""
        # Not with a session of the pool, which hides the errors of its sessions.
        with closing(sessions.connect(self._url, _CONNECT_SECONDS)) as db:
            self._migrate(db)
            self._check_session(db)
        return sessions.open_pool(
            self._url, largest=_LARGEST_POOL, check=self._check_session, connect=_CONNECT_SECONDS
        )

    def _migrate(self, db: psycopg.Connection[Any]) -> None:
        def execute(sql: str, args: Sequence[object]) -> Any:
            return db.execute(_marked(sql), args or None)

        def transact(work: Callable[[Execute], None]) -> None:
            with db.transaction():
                # A change of the schema may take a long time.
                db.execute(b"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
                db.execute(b"SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
                work(execute)

        exists = db.execute(b"SELECT to_regclass('ormco_schema') IS NOT NULL").fetchone() == (True,)
        if not exists or not is_current(execute):
            migrate(transact, execute, self.dialect, self.clock)

    def _check_session(self, db: psycopg.Connection[Any]) -> None:
        """Make sure that a session finds the same store as earlier sessions.

        A schema that comes first on the search path may hide it behind another store of the same tables.
        """
        store_id, is_whole, sync, pid = db.execute(_FACTS).fetchone() or ("", True, "on", 0)
        # A prepared statement belongs to one session of the server. A pooler shares sessions, and reports
        # other process ids to its clients.
        db.prepare_threshold = _PREPARE_AFTER if pid == db.info.backend_pid else None
        self._refusal = None
        self._must_ask_for_sync = sync == "off"
        self.store_id = self.store_id or store_id
        if store_id != self.store_id or not is_whole:
            self._refusal = another_store(self.store_id, sessions.address(self._url))
            raise self._refusal


def _marked(sql: str) -> bytes:
    """Return a statement with the driver's parameter marks, `%s`."""
    marked = _MARKED.get(sql)
    if marked is None:
        if len(_MARKED) > 500:
            _MARKED.clear()
        marked = _MARKED[sql] = sql.replace("?", "%s").encode()
    return marked


_MARKED: dict[str, bytes] = {}
_LEFT_TO_THE_PARENT: list[object] = []
