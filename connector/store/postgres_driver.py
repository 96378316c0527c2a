"""psycopg, imported when it is needed, and what is sent through it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from connector.errors import ExtraMissingError
from connector.store.database import Statement
from connector.store.job_queue import Job

if TYPE_CHECKING:
    import psycopg

__all__ = ["Cursors", "driver", "lock_number", "translated"]


def lock_number(name: str) -> int:
    """Return the number by which PostgreSQL knows a lock."""
    digest = hashlib.sha256(f"ormco lock: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Cursors:
    """The cursors of one session, kept: to make one takes a third of the time of a query.

    Args:
        db: the session.
    """

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db
        self._kept: list[psycopg.Cursor[Any]] = []

    def ask(self, jobs: Sequence[Job[Any]]) -> None:
        """Run the queries of all jobs in one round trip."""
        queries = _statements(jobs)
        if len(queries) == 1:
            cursors = self._executed(queries)
        else:
            with self.db.pipeline():
                cursors = self._executed(queries)
        _share_out(jobs, [cursor.fetchall() for cursor in cursors])

    def change(self, jobs: Sequence[Job[Any]]) -> None:
        """Run the statements of all jobs in one transaction and one round trip."""
        statements = _statements(jobs)
        if len(statements) == 1:
            cursors = self._executed(statements)
        else:
            with self.db.pipeline(), self.db.transaction():
                cursors = self._executed(statements)
        _share_out(jobs, [cursor.rowcount for cursor in cursors])

    def _executed(self, statements: Sequence[Statement]) -> list[psycopg.Cursor[Any]]:
        while len(self._kept) < len(statements):
            self._kept.append(self.db.cursor(binary=True))
        return [
            cursor.execute(translated(sql), args)
            for cursor, (sql, args) in zip(self._kept, statements, strict=False)
        ]


def _statements(jobs: Sequence[Job[Any]]) -> list[Statement]:
    return [statement for job in jobs for statement in job.statements]


def _share_out(jobs: Sequence[Job[Any]], results: Sequence[Any]) -> None:
    left = iter(results)
    for job in jobs:
        job.results = [[next(left) for _ in job.statements]]


@lru_cache(maxsize=256)
def translated(sql: str) -> bytes:
    """Return a statement with the driver's own marks for parameters."""
    return sql.replace("?", "%s").encode()


def driver() -> ModuleType:
    """Return the driver.

    Raises:
        connector.errors.ExtraMissingError: if it is not installed.
    """
    try:
        import psycopg
    except ImportError:
        raise ExtraMissingError(
            "PostgreSQL's driver is not installed", hint="Install it: pip install 'ormco-connector[postgres]'"
        ) from None
    return psycopg
