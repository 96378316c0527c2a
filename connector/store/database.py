"""The interface that the store needs of a database; `sqlite` and `postgres` implement it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from connector.clock import Clock
from connector.errors import StoreDamagedError, StoreError
from connector.store.dialects import Dialect

__all__ = [
    "TABLE",
    "Database",
    "Execute",
    "NotUniqueError",
    "Statement",
    "Transact",
    "another_store",
    "marks",
]

_T = TypeVar("_T")
TABLE = "ormco_connections"  # a row for each grant


class NotUniqueError(StoreError):
    """Another row has a value that must be unique; nothing was changed."""


# Runs a statement with "?" for each parameter; returns a cursor of the DB-API.
Execute = Callable[[str, Sequence[object]], Any]
# Runs work in a transaction.
Transact = Callable[[Callable[[Execute], None]], None]
# A statement and its parameters.
Statement = tuple[str, Sequence[object]]


class Database(Protocol):
    """A database, shared by threads, processes and possibly machines.

    It opens itself on first use, and again after `close` and in a forked child. No call keeps a session, a
    lock or a transaction after it has returned.

    Attributes:
        dialect: the database's SQL.
        clock: the time of this process.
        store_id: the store's id, once it was opened; after that, another store in its place is an error.
    """

    dialect: Dialect
    clock: Clock
    store_id: str

    def exists(self) -> bool:
        """Return whether there is a store, without creating one."""

    def open(self) -> None:
        """Open the database; create or migrate it if necessary."""

    def all(self, sql: str, args: Sequence[object], *, timeout: float | None = None) -> list[Any]:
        """Return the rows of a query; none if there is no store yet.

        `timeout` is the number of seconds to wait for a database that is unavailable, if less than usual.

        Raises:
            connector.errors.StoreDamagedError: another store has replaced this one.
        """

    def one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements in one durable transaction; return the number of rows that each has changed.

        After a lost connection they may run a second time: the first must change nothing then, and the others
        must depend on a mark that the first has left.
        """

    def transact(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in one durable transaction.

        The work too may run a second time. It must not raise a `ConnectorError` after its first change.
        """

    def keep_disk_reserve(self) -> None:
        """Reserve space on the disk, so that new tokens can be stored even if it is full."""

    def scrub(self) -> None:
        """Remove deleted data from the disk, if this process can."""

    def facts(self) -> dict[str, str]:
        """Return facts about the database, for its administrator."""

    def close(self) -> None:
        """Close all handles; the next call opens it again."""


def another_store(store_id: str | None, where: str) -> StoreDamagedError:
    """Return the error for a store that was found in place of the previous one."""
    return StoreDamagedError(
        f"another store has replaced {store_id} in {where}",
        hint="In PostgreSQL a schema that comes first on the search path may hide it: check search_path, "
        "and remove the other tables.",
    )


def marks(values: Sequence[object]) -> str:
    """Return a parameter mark for each value of an IN list."""
    return ", ".join("?" * len(values))
