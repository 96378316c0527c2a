"""psycopg, imported when it is needed, and what is sent through it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from connector.errors import ExtraMissingError
from connector.store.database import Statement
from connector.store.job_queue import Job

if TYPE_CHECKING:
    import psycopg

__all__ = ["Cursors", "driver", "translated"]


class Cursors:
    """The cursors of one session, kept: to make one takes a third of the time of a query.

    Args:
        db: the session.
    """

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db
        self._kept: list[psycopg.Cursor[Any]] = []

    def run(self, jobs: Sequence[Job[Any]]) -> None:
        """Run the statements of all jobs in one round trip; the server makes them one transaction."""
        statements = [statement for job in jobs for statement in job.statements]
        if len(statements) == 1:
            cursors = iter(self._executed(statements))
        else:
            with self.db.pipeline():
                cursors = iter(self._executed(statements))
        for job in jobs:
            job.results = [[job.read(next(cursors)) for _ in job.statements]]

    def _executed(self, statements: Sequence[Statement]) -> list[psycopg.Cursor[Any]]:
        while len(self._kept) < len(statements):
            self._kept.append(self.db.cursor(binary=True))
        return [
            cursor.execute(translated(sql), args)
            for cursor, (sql, args) in zip(self._kept, statements, strict=False)
        ]


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
