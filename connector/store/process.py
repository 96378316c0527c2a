"""Identify the process that holds a lease, find out if it is alive, and let one process at a time do work."""

from __future__ import annotations

import os
import platform
import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from connector.errors import StoreLockedError
from connector.store.database import Database, Execute
from connector.store.dialects import Dialect

__all__ = [
    "after_fork",
    "claim_name",
    "end_lease",
    "hold_during_fork",
    "hold_lease",
    "is_gone",
    "new_mark",
    "take_lease",
    "this_process",
    "this_server",
]


class Startable(Protocol):
    """Something whose locks and handles a forked child must not share."""

    def start_in_child(self) -> None:
        """Start anew in a forked child."""


_AFTER_FORK: weakref.WeakSet[Startable] = weakref.WeakSet()
_HOLD_DURING_FORK: set[weakref.ref[threading.Lock]] = set()
_HELD: dict[int, list[threading.Lock]] = {}  # by the thread that forks
# A lock that is not let go for so long is one that the forking thread itself holds.
_HOLD_WITHIN = 5.0


def this_process() -> str:
    """Return this process's name in the store: host, process id, and what tells it from its successors."""
    return _named(os.getpid())


def new_mark() -> int:
    """Return a number by which a write recognises itself."""
    return (int.from_bytes(os.urandom(8)) >> 2) + 1


def claim_name() -> str:
    """Return a name for one of the things that this process holds."""
    return f"{this_process()} {os.urandom(8).hex()}"


def this_server() -> str:
    """Return the name of this machine or container."""
    return platform.node() or "localhost"


def is_gone(owner: str) -> bool:
    """Return whether the process of a name is known to have ended; False if this machine cannot know."""
    named = re.fullmatch(r"(.*?) ([0-9]+) ([0-9]+|-)( [0-9a-f]{16})?", owner)
    # Windows has no harmless way to ask: os.kill(pid, 0) would be Ctrl-C.
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


def after_fork(one: Startable) -> None:
    """Have something start anew in each forked child, for as long as it is there."""
    _AFTER_FORK.add(one)


def hold_during_fork(lock: threading.Lock) -> None:
    """Have a fork wait for a lock, for as long as the lock is there.

    What another thread has locked in a file at the moment of the fork, SQLite takes for locked in the child,
    for as long as that lives. The child's copy of the lock is never let go: it needs one of its own.
    """
    _HOLD_DURING_FORK.add(weakref.ref(lock, _HOLD_DURING_FORK.discard))


@lru_cache(maxsize=2)
def _named(pid: int) -> str:
    return f"{_host()} {pid} {_started(pid) or '-'}"


@lru_cache(maxsize=1)
def _host() -> str:
    """Return the machine, as far as process ids mean the same on it: host name, boot, pid namespace."""
    boot = _read("/proc/sys/kernel/random/boot_id")[:8]
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return "/".join(
        filter(None, (platform.node() or "localhost", boot, "".join(filter(str.isdigit, namespace))))
    )


def _started(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; "dead" for one nobody has waited for yet."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    return "dead" if fields[0] in "ZX" else fields[19]


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _hold_before_fork() -> None:
    locks = [lock for reference in list(_HOLD_DURING_FORK) if (lock := reference()) is not None]
    _HELD[threading.get_ident()] = [lock for lock in locks if lock.acquire(timeout=_HOLD_WITHIN)]


def _let_go_in_parent() -> None:
    for lock in _HELD.pop(threading.get_ident(), ()):
        lock.release()


def _start_in_child() -> None:
    _HELD.clear()
    _HOLD_DURING_FORK.clear()  # a thread of the parent may hold one; nobody lets it go here
    for one in list(_AFTER_FORK):
        one.start_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_hold_before_fork, after_in_parent=_let_go_in_parent, after_in_child=_start_in_child
    )
