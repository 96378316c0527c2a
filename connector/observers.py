"""The observers of a connector's HTTP requests, and the record of each request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Call", "CallObservers", "Observer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request to the provider or another outside host.

    Attributes:
        operation: the library call it was made for, such as "complete", "token" or "cases.list".
        practice_id: the practice it was for, or None.
        host: the host that was called.
        status: the HTTP status of the response, or None if there was none.
        outcome: "answered", or the name of the error, such as "KeyboardInterrupt" if it was interrupted;
            "unanswered" for a request of `httpx_auth`, whose error httpx tells its caller alone.
        seconds: until the response had arrived, its body included unless it is streamed.
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


Observer = Callable[[Call], object]


class CallObservers:
    """The observers of one connector's HTTP requests, its `callbacks`; thread-safe."""

    def __init__(self) -> None:
        self.callbacks: tuple[Observer, ...] = ()

    def add(self, observer: Observer) -> Callable[[], None]:
        """Call an observer with every request from now on; return a function that ends it."""
        self.callbacks = (*self.callbacks, observer)

        def end() -> None:
            self.callbacks = tuple(one for one in self.callbacks if one is not observer)

        return end

    def tell(self, call: Call) -> None:
        """Call every observer with a request; an error that an observer raises is logged, not passed on."""
        for observer in self.callbacks:
            try:
                observer(call)
            except Exception:
                logging.getLogger("connector").exception("an observer of calls failed")
