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
    def one(self, name: str, timeout: float) -> Iterator[bool]:
        """Wait for a lock; yield whether it was to be had in time."""
        with self._guard:
            flight = self._flights.setdefault(name, _Flight())
            flight.passengers += 1
        is_ours = False
        try:
            is_ours = flight.lock.acquire(timeout=timeout)
            yield is_ours
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
