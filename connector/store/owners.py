"""Name processes, find out whether one is alive, and hold leases on work for one process at a time."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from connector.errors import StoreLockedError
from connector.store.database import Database, Execute
from connector.store.dialects import Dialect

__all__ = [
    "claim_name",
    "end_lease",
    "gone_owners",
    "hold_lease",
    "is_gone",
    "new_mark",
    "take_lease",
    "this_process",
    "this_server",
]


def this_process() -> str:
    """Return this process's name in the store: host, process id and start time."""
    return _named(os.getpid())


def new_mark() -> int:
    """Return a random number that identifies one write."""
    return (int.from_bytes(os.urandom(8)) >> 2) + 1


def claim_name() -> str:
    """Return a unique name for one claim of this process."""
    return f"{this_process()} {os.urandom(8).hex()}"


def this_server() -> str:
    """Return the name of this machine or container."""
    return platform.node() or "localhost"


def is_gone(owner: str) -> bool:
    """Return whether a named process has ended; False if it ran on another machine, or if that is unknown."""
    named = re.fullmatch(r"(.*?) ([0-9]+) ([0-9]+|-)( [0-9a-f]{16})?", owner)
    # On Windows, os.kill(pid, 0) would send Ctrl-C.
    if named is None or named[1] != _host() or os.name != "posix":
        return False
    pid, started = named[2], named[3]
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    present = _started(int(pid))
    return present is not None and (present == "dead" or started not in ("-", present))


def gone_owners(database: Database, select: str, args: Sequence[object] = ()) -> list[str]:
    """Return those of the owners that a query finds whose processes are known to have ended."""
    return [owner for (owner,) in database.all(select, args) if is_gone(owner)]


@contextmanager
def hold_lease(database: Database, name: str, seconds: float) -> Iterator[None]:
    """Hold the lease on work that only one process at a time may do; after `seconds`, others may take it.

    Raises:
        connector.errors.StoreLockedError: if another process has the lease.
    """
    owner = claim_name()
    if not database.transact(lambda run: take_lease(run, database.dialect, name, owner, seconds)):
        raise StoreLockedError(
            f"another process is doing this: {name}", hint="Wait until it is done, then try again."
        )
    try:
        yield
    finally:
        database.transact(lambda run: end_lease(run, name, owner))


def take_lease(execute: Execute, dialect: Dialect, name: str, owner: str, seconds: float) -> bool:
    """Take a lease if it is free; return whether `owner` has it now."""
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
    """End a lease, if `owner` has it."""
    execute("DELETE FROM ormco_leases WHERE name = ? AND owner = ?", (name, owner))


@lru_cache(maxsize=2)
def _named(pid: int) -> str:
    return f"{_host()} {pid} {_started(pid) or '-'}"


@lru_cache(maxsize=1)
def _host() -> str:
    """Return the scope within which a process id is unique: host name, boot, pid namespace."""
    boot = _read("/proc/sys/kernel/random/boot_id")[:8]
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return "/".join(
        filter(None, (platform.node() or "localhost", boot, "".join(filter(str.isdigit, namespace))))
    )


def _started(pid: int) -> str | None:
    """Return the start time of a process in the kernel's ticks; "dead" for a zombie; None if unknown."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    return "dead" if fields[0] in "ZX" else fields[19]


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
