"""A database that is opened on first use, by threads and in forked children alike; asking creates nothing."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from connector.clock import Clock
from connector.errors import StoreDamagedError, StoreLockedError
from connector.store.database import Database, Dialect, Execute, Statement
from connector.store.process import is_gone, this_process

__all__ = ["LazyDatabase"]

_T = TypeVar("_T")
_ALL: weakref.WeakSet[LazyDatabase] = weakref.WeakSet()


class LazyDatabase:
    """What all records of a store share.

    Args:
        database: where the rows are.
        clock: the time of this process.

    Attributes:
        dialect: how the database says it.
        store_id: the store's own id, once its keys have vouched for it.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self.db = database
        self.dialect: Dialect = database.dialect
        self.clock = clock
        self.store_id: str | None = None
        self._is_ready = False
        self._after_fork: list[Callable[[], None]] = []
        _ALL.add(self)

    def exists(self) -> bool:
        """Open the database if there is one; return whether there is."""
        if not self._is_ready:
            if not self.db.exists():
                return False
            self.db.open()
            self._is_ready = True
        return True

    def one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""
        rows = self.all(sql, args)
        return rows[0] if rows else None

    def all(self, sql: str, args: Sequence[object], *, timeout: float | None = None) -> list[Any]:
        """Return the rows of a query; none if there is no store yet."""
        if not self._is_ready and not self.exists():
            return []
        rows = self.db.fetch(sql, args, timeout=timeout)
        if not rows and self.store_id is not None:  # as an empty store in its place would answer
            self.verify(self.store_id, timeout)
        return rows

    def verify(self, store_id: str, timeout: float | None = None) -> None:
        """Make sure that this is the store it was before.

        Raises:
            connector.errors.StoreDamagedError: if it is another one.
        """
        if self.db.fetch("SELECT store_id FROM ormco_store", (), timeout=timeout) != [(store_id,)]:
            raise StoreDamagedError(
                f"another store has taken the place of {store_id}",
                hint="In PostgreSQL a schema that comes first on the search path may hide it: look at "
                "search_path, and remove the other tables.",
            )

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements in one durable transaction; return how many rows each changed."""
        self.open()
        return self.db.apply(statements)

    def transact(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in one durable transaction."""
        self.open()
        return self.db.transact(work)

    def scrub(self) -> None:
        """Leave nothing on the disk of what was deleted."""
        if self.exists():
            self.open()
            self.db.scrub()

    def open(self) -> None:
        """Open the database, and make it if there is none."""
        if not self._is_ready:
            self.db.open()
            self._is_ready = True

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        self.db.close()
        self._is_ready = False

    def after_fork(self, call: Callable[[], None]) -> None:
        """Have something made anew in a forked child, such as a lock that a thread of the parent may hold."""
        self._after_fork.append(call)

    @contextmanager
    def lease(self, name: str, seconds: float) -> Iterator[None]:
        """Do what one process at a time may do; a lease ends by itself, or with its owner.

        Args:
            name: of what is done.
            seconds: until others may do it, if this process does not say that it is done.

        Raises:
            connector.errors.StoreLockedError: if another process has the lease.
        """
        owner = self._take_lease(name, seconds)
        try:
            yield
        finally:
            self.apply([("DELETE FROM ormco_leases WHERE name = ? AND owner = ?", (name, owner))])

    def _take_lease(self, name: str, seconds: float) -> str:
        now, owner = self.dialect.now, f"{this_process()} {secrets.token_hex(8)}"
        sql = "SELECT owner FROM ormco_leases WHERE name = ?"
        self.open()
        for (holder,) in self.all(sql, (name,)):
            if is_gone(holder.rpartition(" ")[0]):
                self.apply([("DELETE FROM ormco_leases WHERE name = ? AND owner = ?", (name, holder))])
        self.apply(
            [
                (
                    f"INSERT INTO ormco_leases (name, owner, until) VALUES (?, ?, {now} + ?) "  # noqa: S608
                    "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until "
                    f"WHERE ormco_leases.until < {now} OR ormco_leases.owner = excluded.owner",
                    (name, owner, seconds),
                )
            ]
        )
        if self.one(sql, (name,)) != (owner,):
            raise StoreLockedError(
                f"another process is at it already: {name}", hint="Wait until it is done, then try again."
            )
        return owner

    def forget_handles(self) -> None:
        """Start anew in a forked child."""
        self.db.forget_handles()
        self._is_ready = False
        for call in self._after_fork:
            call()


def _after_fork() -> None:
    for database in list(_ALL):
        database.forget_handles()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
