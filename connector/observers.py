"""Call a caller's functions with each HTTP request, or with each event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Call", "Observers"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request to the provider or another outside host.

    Attributes:
        operation: the library call it was made for, such as "complete", "token" or "cases.list".
        practice_id: the practice it was for, or None.
        host: the host that was called.
        status: the HTTP status of the response, or None if there was none.
        outcome: "answered", or the name of the error, such as "KeyboardInterrupt" if it was interrupted;
            "unanswered" for a request of `httpx_auth`, whose error httpx reports only to its caller.
        seconds: seconds until the response had arrived, its body included unless it is streamed.
        clock_skew: seconds by which this machine's clock is ahead of the server's, to about a second; None if
            there was no response, or it has no valid Date header.
    """

    operation: str
    practice_id: str | None
    host: str
    status: int | None
    outcome: str
    seconds: float
    clock_skew: float | None = None


class Observers(Generic[_T]):
    """Functions that are called with each value of a kind, such as a `Call`; thread-safe.

    Args:
        name: the name of such a function in the log.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.callbacks: tuple[Callable[[_T], object], ...] = ()

    def add(self, callback: Callable[[_T], object]) -> Callable[[], None]:
        """Call a function with every value from now on; return a function that removes it."""
        self.callbacks = (*self.callbacks, callback)

        def end() -> None:
            self.callbacks = tuple(one for one in self.callbacks if one is not callback)

        return end

    def tell(self, value: _T) -> None:
        """Call every function with a value; an error that one raises is logged, not passed on."""
        for callback in self.callbacks:
            try:
                callback(value)
            except Exception:
                logging.getLogger("connector").exception("%s failed", self._name)
