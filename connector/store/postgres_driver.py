"""psycopg, imported when it is needed, and what is sent through it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from connector.errors import ExtraMissingError
from connector.store.database import Statement
from connector.store.job_queue import Job

if TYPE_CHECKING:
    import psycopg

__all__ = ["answer", "driver", "lock_number", "translated", "written"]


def lock_number(name: str) -> int:
    """Return the number by which PostgreSQL knows a lock."""
    digest = hashlib.sha256(f"ormco lock: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def answer(reader: psycopg.Cursor[Any], jobs: Sequence[Job[Any]]) -> None:
    """Run the queries of all jobs in one round trip.

    Args:
        reader: a cursor that is kept for single queries: to make one takes a third of the time of a query.
        jobs: what to run.
    """
    queries = [query for job in jobs for query in job.statements]
    rows = iter(_fetched(reader, queries))
    for job in jobs:
        job.results = [[next(rows) for _ in job.statements]]


def _fetched(reader: psycopg.Cursor[Any], queries: Sequence[Statement]) -> list[list[Any]]:
    if len(queries) == 1:
        return [reader.execute(translated(sql), args).fetchall() for sql, args in queries]
    db = reader.connection
    with db.pipeline():
        cursors = [db.execute(translated(sql), args, binary=True) for sql, args in queries]
    return [cursor.fetchall() for cursor in cursors]


def written(jobs: Sequence[Job[Any]]) -> Callable[[psycopg.Connection[Any]], None]:
    """Return what runs the statements of all jobs in one transaction and one round trip."""
    statements = [statement for job in jobs for statement in job.statements]

    def run(db: psycopg.Connection[Any]) -> None:
        if len(statements) == 1:
            cursors = [db.execute(translated(sql), args) for sql, args in statements]
        else:
            with db.pipeline(), db.transaction():
                cursors = [db.execute(translated(sql), args) for sql, args in statements]
        counts = iter([cursor.rowcount for cursor in cursors])
        for job in jobs:
            job.results = [[next(counts) for _ in job.statements]]

    return run


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
