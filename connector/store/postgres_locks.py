"""Which advisory locks a session of PostgreSQL has, and which of its threads may have them.

A session can take its own locks again, so the threads of a process are kept apart here.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any

from connector.store.job_queue import Job

__all__ = ["SessionLocks", "lock_number"]


def lock_number(name: str) -> int:
    """Return the number by which PostgreSQL knows a lock."""
    digest = hashlib.sha256(f"ormco lock: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class SessionLocks:
    """The locks of one process, which are those of its one session."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._reserved: set[int] = set()
        self._held: set[int] = set()

    @property
    def held(self) -> tuple[int, ...]:
        """What the session has, and has to take again if it ends."""
        return tuple(self._held)

    def __contains__(self, number: int) -> bool:
        """Return whether the session has a lock for one of the threads."""
        return number in self._held

    def reserve(self, number: int) -> bool:
        """Keep the other threads from a lock; return False if one of them has it, or is about to."""
        with self._guard:
            is_free = number not in self._reserved
            self._reserved.add(number)
            return is_free

    def take(self, number: int, job: Job[Any]) -> bool:
        """Note that a job has taken a lock; return False if its thread has gone and nobody wants it."""
        with self._guard:
            if job.awaited:
                self._held.add(number)
            return job.awaited

    def release(self, number: int) -> bool:
        """Let the other threads have a lock; return whether the session has it, and has to give it back.

        A thread that takes it before that is done holds it a second time, and keeps that hold.
        """
        with self._guard:
            is_held = number in self._held
            self._held.discard(number)
            self._reserved.discard(number)
            return is_held
