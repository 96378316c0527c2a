"""One row of the table: a measurement, its yardstick, and the limit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Row", "each", "interleaved"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measurement beside its yardstick, taken in one run.

    Attributes:
        name: the measured operation.
        yardstick: the operation it is compared with.
        seconds: our time.
        beside: the yardstick's time in seconds.
        limit: the highest allowed ratio.
    """

    name: str
    yardstick: str
    seconds: float
    beside: float
    limit: float

    @property
    def ratio(self) -> float:
        """Our time divided by the yardstick's."""
        return self.seconds / self.beside


def each(work: Callable[[], object], count: int) -> float:
    """Return the seconds that one call takes, averaged over many."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count


def interleaved(
    ours: Callable[[], float], beside: Callable[[], float], *, rounds: int
) -> tuple[float, float]:
    """Return the medians of two measurements that take turns, so that both meet the same disturbances."""
    pairs = [(ours(), beside()) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)
