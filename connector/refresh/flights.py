"""One thread of a process at a time for each practice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Flights"]


class Flights:
    """Locks by name, made when they are needed and gone when nobody uses them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._flights: dict[str, _Flight] = {}

    @contextmanager
    def one(self, name: str, timeout: float) -> Iterator[bool | None]:
        """Wait for a lock; yield whether it was free at once, or None if it was not to be had in time."""
        with self._guard:
            flight = self._flights.setdefault(name, _Flight())
            was_free = not flight.passengers
            flight.passengers += 1
        is_ours = False
        try:
            is_ours = flight.lock.acquire(timeout=timeout)
            yield was_free if is_ours else None
        finally:
            if is_ours:
                flight.lock.release()
            with self._guard:
                flight.passengers -= 1
                if not flight.passengers:
                    del self._flights[name]


class _Flight:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.passengers = 0
