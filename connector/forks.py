"""Keep a forked child and its parent apart: fresh locks and handles in the child, no fork during a commit."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["after_fork", "hold_during_fork"]


class Startable(Protocol):
    """An object whose locks and handles a forked child must not share."""

    def start_in_child(self) -> None:
        """Start again in a forked child, with locks and handles of its own."""


_AFTER_FORK: weakref.WeakSet[Startable] = weakref.WeakSet()
_HOLD_DURING_FORK: set[weakref.ref[threading.Lock]] = set()
_HELD: dict[int, list[threading.Lock]] = {}  # by the thread that forks
# A lock that is not let go for so long is one that the forking thread itself holds.
_HOLD_WITHIN = 5.0


def after_fork(one: Startable) -> None:
    """Call `start_in_child` of an object in each forked child, for as long as the object exists."""
    _AFTER_FORK.add(one)


def hold_during_fork(lock: threading.Lock) -> None:
    """Have a fork wait for a lock, for as long as the lock is there.

    What another thread has locked in a file at the moment of the fork, SQLite takes for locked in the child,
    for as long as that lives. The child's copy of the lock is never let go: it needs one of its own.
    """
    _HOLD_DURING_FORK.add(weakref.ref(lock, _HOLD_DURING_FORK.discard))


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
