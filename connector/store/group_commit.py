"""Commit several threads' transactions together, with one sync of the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from connector.errors import ConnectorError
from connector.process import hold_during_fork
from connector.store.database import Execute

__all__ = ["GroupCommit", "Job"]

_T = TypeVar("_T")
_LARGEST_BATCH = 64


class Job(Generic[_T]):
    """One thread's work inside a transaction, and its result.

    Args:
        work: called with a function that runs a statement; may be called again.
        single: whether the work is one statement, which needs no BEGIN and COMMIT.
    """

    def __init__(self, work: Callable[[Execute], _T], *, single: bool = False) -> None:
        self._work = work
        self.single = single
        self.is_done = False
        self.error: Exception | None = None
        self.results: list[_T] = []

    def run(self, execute: Execute) -> None:
        """Do the work; a `ConnectorError` is this job's result, and does not end the transaction."""
        self.results, self.error = [], None
        try:
            self.results.append(self._work(execute))
        except ConnectorError as exc:
            self.error = exc


class GroupCommit:
    """Lets the thread that has the lock commit for all threads that wait for it.

    The lock protects the connection that writes. SQLite permits only one writer at a time, so the jobs that
    wait for it can share one sync. `commit` runs jobs in one transaction; it raises if that fails as a whole.
    """

    def __init__(self, commit: Callable[[Sequence[Job[Any]]], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        hold_during_fork(self._lock)
        self._waiting: deque[Job[Any]] = deque()

    def run(self, job: Job[_T]) -> _T:
        """Return the job's result once it is durable."""
        self._waiting.append(job)
        try:
            with self._lock:
                while not job.is_done:
                    batch: list[Job[Any]] = []
                    while self._waiting and len(batch) < _LARGEST_BATCH:
                        batch.append(self._waiting.popleft())
                    self._execute_batch(batch)
        except BaseException:
            if job in self._waiting:
                self._waiting.remove(job)
            raise
        if job.error is not None:
            raise job.error
        return job.results[0]

    def _execute_batch(self, batch: list[Job[Any]]) -> None:
        try:
            self._commit(batch)
        except Exception as exc:
            if len(batch) > 1:  # only the job that caused an error gets it
                for job in batch:
                    self._execute_batch([job])
                return
            batch[0].error = exc
        except BaseException:
            # After Ctrl-C in this thread, the other threads commit their jobs themselves.
            self._waiting.extendleft(reversed([job for job in batch if not job.is_done]))
            raise
        for job in batch:
            job.is_done = True
