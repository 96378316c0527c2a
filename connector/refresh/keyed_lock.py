"""One thread of a process at a time for each practice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["KeyedLock"]


class KeyedLock:
    """Locks by name; each is made on demand and removed when no thread waits for it.

    A lock keeps the threads of one process from claiming the same row at the same time: all but one would
    lose, read the row again, and poll. It protects no data; without it the result is the same, but slower.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, _Lock] = {}

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[bool | None]:
        """Wait for a lock; yield whether it was free at once, or None if it did not become free in time."""
        with self._guard:
            entry = self._locks.setdefault(name, _Lock())
            was_free = not entry.waiters
            entry.waiters += 1
        is_ours = False
        try:
            is_ours = entry.lock.acquire(timeout=timeout)
            yield was_free if is_ours else None
        finally:
            if is_ours:
                entry.lock.release()
            with self._guard:
                entry.waiters -= 1
                if not entry.waiters:
                    del self._locks[name]


@dataclass(slots=True)
class _Lock:
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiters: int = 0  # including the thread that holds it
