"""The threads of a watch: each polls one practice at a time, and keeps its claim meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from connector.calls import Scope, in_scope
from connector.clock import Clock, Deadline
from connector.communicate.watch import PollResult, PracticeWatch
from connector.communicate.watch_plan import ClaimLostError
from connector.errors import SealingKeyError, StoreUnavailableError
from connector.store.watch_claims import WatchClaim, WatchClaims, WatchOutcome

__all__ = ["LEASE_SECONDS", "Turn", "WatchWorkers"]

# After this time, a practice with many events goes to the end of the queue.
_TURN_SECONDS = 5.0
# Longer than any single call of the provider's API, so that a claim can be extended in between.
LEASE_SECONDS = 180.0
_FAREWELL_SECONDS = 3.0


@dataclass(slots=True, kw_only=True)
class Turn:
    """A practice that this process has claimed, and the result of its last poll.

    Attributes:
        error: an error of this practice alone.
        fatal: an error that ends the watch: the store's, or one such as KeyboardInterrupt in a handler.
    """

    claim: WatchClaim
    watch: PracticeWatch
    extend_at: float
    result: PollResult | None = None
    error: Exception | None = None
    fatal: BaseException | None = None

    @property
    def has_more(self) -> bool:
        """Whether the practice has more events than one turn delivers."""
        return self.result is not None and self.result.more

    def given_back(self) -> WatchOutcome:
        """Return the outcome that frees the claim for other processes immediately."""
        claim = self.claim
        return WatchOutcome(
            claim=claim, due_in=0.0, looked=False, failures=claim.failures, problem=claim.problem
        )


class WatchWorkers:
    """Polls practices in a few threads.

    Args:
        count: the number of threads.
        claims: extends the claims.
        clock: the time.
        call: returns the scope of a poll of a practice, for observers.
    """

    def __init__(self, count: int, claims: WatchClaims, clock: Clock, call: Callable[[str], Scope]) -> None:
        self._claims = claims
        self._clock = clock
        self._call = call
        self._ready: queue.SimpleQueue[Turn | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Turn] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"watch-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, claim: WatchClaim, watch: PracticeWatch) -> None:
        """Queue a practice that was just claimed."""
        extend_at = self._clock.monotonic() + LEASE_SECONDS / 3
        self._ready.put(Turn(claim=claim, watch=watch, extend_at=extend_at))

    def resume(self, turn: Turn) -> None:
        """Queue a practice again that has more events."""
        self._ready.put(turn)

    def finished(self, timeout: float = 0.0) -> Turn | None:
        """Return a turn that has ended; None if none ends within `timeout` seconds."""
        with suppress(queue.Empty):
            return self._finished.get(timeout=timeout) if timeout else self._finished.get_nowait()
        return None

    def stop(self) -> list[Turn]:
        """End the threads; return the practices that they did not poll to the end."""
        self._closing.set()
        for _ in self._threads:
            self._ready.put(None)
        farewell = self._clock.deadline(_FAREWELL_SECONDS)
        for thread in self._threads:
            thread.join(farewell.left)
        return [turn for turn in _drained(self._ready) if turn is not None]

    def _work(self) -> None:
        while (turn := self._ready.get()) is not None:
            if self._closing.is_set():
                self._ready.put(turn)  # released without a poll
                return
            is_enough = partial(self._is_enough, self._clock.deadline(_TURN_SECONDS))
            turn.result = turn.error = None
            try:
                with in_scope(self._call(turn.claim.practice_id)):
                    turn.result = turn.watch.poll(is_enough, partial(self._keep_claim, turn))
            except (StoreUnavailableError, SealingKeyError) as error:
                turn.fatal = error
            except Exception as error:
                turn.error = error
            except BaseException as error:
                turn.fatal = error
            self._finished.put(turn)

    def _is_enough(self, deadline: Deadline) -> bool:
        return deadline.passed or self._closing.is_set()

    def _keep_claim(self, turn: Turn) -> None:
        now = self._clock.monotonic()
        if now < turn.extend_at:
            return
        if not self._claims.extend(turn.claim, LEASE_SECONDS):
            raise ClaimLostError
        turn.extend_at = now + LEASE_SECONDS / 3


def _drained(waiting: queue.SimpleQueue[Any]) -> list[Any]:
    found = []
    with suppress(queue.Empty):
        while True:
            found.append(waiting.get_nowait())
    return found
