"""What the store needs of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

__all__ = ["Cursor", "Database", "Dialect", "Execute", "Statement"]

_T = TypeVar("_T")


class Cursor(Protocol):
    """The part of a DB-API cursor that is used here."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""


# Runs a statement with "?" for each parameter.
Execute = Callable[[str, Sequence[object]], Cursor]
# A statement and its parameters.
Statement = tuple[str, Sequence[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Where the two databases' SQL differs.

    Attributes:
        types: words of the schema that are filled in.
        for_update: what makes a SELECT inside a transaction keep its rows.
        skip_locked: the same, leaving out rows that another transaction keeps.
        now: the database's time in seconds since 1970; the same within one statement.
        changes_two_tables_at_once: whether one statement can write to two tables (a data-modifying WITH).
        last_steps: statements that end the first migration: they keep the audit record from being changed.
    """

    types: Mapping[str, str]
    for_update: str
    skip_locked: str
    now: str
    changes_two_tables_at_once: bool
    last_steps: Sequence[str]


class Database(Protocol):
    """One place where rows are kept, shared by threads, processes and perhaps machines."""

    dialect: Dialect
    locks_prove_death: bool  # whether a lock that is free means that its last owner has done with it

    def exists(self) -> bool:
        """Return whether there is anything to read; never creates anything."""

    def open(self) -> None:
        """Make it ready to be used, creating and migrating it if need be."""

    def fetch_one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""

    def fetch_all(self, sql: str, args: Sequence[object]) -> list[Any]:
        """Return the rows of a query."""

    def write(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in a transaction and return once it is durable.

        The work may be run again after a lost connection, when nobody can tell whether it was committed: it
        has to recognise its own traces. Where it raises, it does so before its first change.
        """

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements in a transaction, and return how many rows each changed once that is durable.

        They too may be run again: the first has to change nothing then, and the others depend on it.
        """

    def settle_events(self) -> None:
        """Give every committed event its place in the record."""

    def make_room(self) -> None:
        """Make sure that what a refresh brings can be written even on a disk that is getting full."""

    def try_lock(self, name: str) -> bool:
        """Take a lock if nobody in any process has it; it ends with its owner."""

    def lock_and_fetch(self, name: str, sql: str, args: Sequence[object]) -> tuple[bool, Any]:
        """Take a lock as `try_lock` does; return whether it is taken, and the row a query finds after."""

    def lock_and_change(
        self, name: str, update: str, args: Sequence[object], *, columns: str
    ) -> tuple[bool, Any]:
        """Take a lock as `try_lock` does, and with it change a row, durably, if one statement can do that.

        Args:
            name: of the lock.
            update: an UPDATE of one row, with `{ours}` in place of "if the lock is taken". It may be run
                again, and has to recognise its own traces then, even if the lock cannot be taken again.
            args: for its marks.
            columns: what to return of the row; the first is never NULL.

        Returns:
            Whether the lock is taken, and the columns as they are now; None where no row was changed.
        """

    def unlock(self, name: str) -> None:
        """Give a lock back."""

    def holder(self, name: str) -> str | None:
        """Return who has a lock, in words, if that can be told."""

    def facts(self) -> dict[str, str]:
        """Return what a person who looks after it wants to know."""

    def close(self) -> None:
        """Close all handles."""

    def forget_handles(self) -> None:
        """Start anew in a forked child, without touching the handles of its parent."""
