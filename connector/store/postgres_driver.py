"""psycopg, imported when it is needed, and what is sent through it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from connector.errors import ExtraMissingError
from connector.store.database import Job

if TYPE_CHECKING:
    import psycopg

__all__ = ["driver", "lock_number", "pipelined", "translated"]


def lock_number(name: str) -> int:
    """Return the number by which PostgreSQL knows a lock."""
    digest = hashlib.sha256(f"ormco lock: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def pipelined(jobs: Sequence[Job[Any]]) -> Callable[[psycopg.Connection[Any]], None]:
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
