"""A forked child, as a worker of a server that loads its application first."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable

import pytest

_LIMIT = 300  # seconds; pytest's own limit for a test


def fork(work: Callable[[], object]) -> Callable[[], int]:
    """Run something in a forked child; return a function that waits for its end and returns its status.

    The status is 0 if nothing was raised. If this platform has no fork, the test is skipped.
    """
    if not hasattr(os, "fork"):
        pytest.skip("this platform has no fork")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        child = os.fork()
    if child == 0:
        signal.alarm(_LIMIT)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
