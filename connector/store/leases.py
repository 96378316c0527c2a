"""What one process at a time may do; a lease ends by itself, or with its owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from connector.errors import StoreLockedError
from connector.store.database import Database, Dialect, Execute
from connector.store.process import claim_name, is_gone

__all__ = ["end_lease", "hold_lease", "take_lease"]


@contextmanager
def hold_lease(database: Database, name: str, seconds: float) -> Iterator[None]:
    """Do what one process at a time may do.

    Args:
        database: where the lease is kept.
        name: of what is done.
        seconds: until others may do it, if this process does not say that it is done.

    Raises:
        connector.errors.StoreLockedError: if another process has the lease.
    """
    owner = claim_name()
    if not database.transact(lambda run: take_lease(run, database.dialect, name, owner, seconds)):
        raise StoreLockedError(
            f"another process is at it already: {name}", hint="Wait until it is done, then try again."
        )
    try:
        yield
    finally:
        database.transact(lambda run: end_lease(run, name, owner))


def take_lease(execute: Execute, dialect: Dialect, name: str, owner: str, seconds: float) -> bool:
    """Take a lease if nobody has it; return whether this owner has it now."""
    holder = "SELECT owner FROM ormco_leases WHERE name = ?"
    for (other,) in execute(holder, (name,)).fetchall():
        if is_gone(other):
            end_lease(execute, name, other)
    execute(
        f"INSERT INTO ormco_leases (name, owner, until) VALUES (?, ?, {dialect.now} + ?) "  # noqa: S608
        "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until "
        f"WHERE ormco_leases.until < {dialect.now}",
        (name, owner, seconds),
    )
    return [tuple(row) for row in execute(holder, (name,)).fetchall()] == [(owner,)]


def end_lease(execute: Execute, name: str, owner: str) -> None:
    """End a lease of an owner, if it has it."""
    execute("DELETE FROM ormco_leases WHERE name = ? AND owner = ?", (name, owner))
