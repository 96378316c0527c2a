"""Many threads that do the same at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def at_once(count: int, work: Callable[[int], _T]) -> list[_T]:
    """Call a function from many threads at once, each with its number; return the results in that order.

    If calls fail, all are waited for, and the first error is raised.
    """
    start = threading.Barrier(count)

    def run(number: int) -> _T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
