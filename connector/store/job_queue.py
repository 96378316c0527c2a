"""One connection for many threads: whichever comes first does the jobs of all that wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from connector.errors import ConnectorError
from connector.store.database import Cursor, Execute, Statement

__all__ = ["Job", "JobQueue"]

_T = TypeVar("_T")
_LARGEST_BATCH = 64


def _count(cursor: Cursor) -> int:
    return cursor.rowcount


def _rows(cursor: Cursor) -> list[Any]:
    return cursor.fetchall()


class Job(Generic[_T]):
    """What one thread wants of the database.

    Args:
        work: what to do.
        statements: what the work comes to, where that is known beforehand.
        read: what is made of the answer to each statement.
        lock: what the first statement may take; it answers whether it has.
        awaited: whether its thread waits for it.
    """

    def __init__(
        self,
        work: Callable[[Execute], _T],
        *,
        statements: Sequence[Statement] = (),
        read: Callable[[Cursor], Any] = _rows,
        lock: int | None = None,
        awaited: bool = True,
    ) -> None:
        self._work = work
        self.statements = statements
        self.read = read
        self.lock = lock
        self.awaited = awaited
        self.results: list[_T] = []
        self.error: Exception | None = None
        self.done = False
        self._called = threading.Lock()
        self._called.acquire()

    def run(self, execute: Execute) -> None:
        """Do the work; keep its refusal for its own thread."""
        self.results, self.error = [], None
        try:
            self.results.append(self._work(execute))
        except ConnectorError as exc:
            self.error = exc

    def wait(self) -> None:
        """Wait until the job is done, or its thread is to commit."""
        self._called.acquire()

    def call(self) -> None:
        """Wake the job's thread."""
        self._called.release()


class JobQueue:
    """Lets whichever thread comes first work for all that wait: one sync of the disk, one way to the server.

    Each thread waits for its own job alone: with one lock for all, those whose job is done would still have
    to pass through it one by one before the next could commit.

    Args:
        work_off: does jobs, durably; keeps the error of one from the others where it can.
    """

    def __init__(self, work_off: Callable[[Sequence[Job[Any]]], None]) -> None:
        self._work_off = work_off
        self._guard = threading.Lock()
        self._waiting: deque[Job[Any]] = deque()
        self._leader: Job[Any] | None = None

    def run(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in some thread's transaction and return its result once it is durable."""
        return self._finished(Job(work))

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements likewise, and return how many rows each changed."""
        return self._finished(_job(statements, _count))

    def ask(self, statements: Sequence[Statement], *, lock: int | None = None) -> list[list[Any]]:
        """Run statements likewise, and return the rows that each returns."""
        return self._finished(_job(statements, _rows, lock=lock))

    def post(self, statements: Sequence[Statement]) -> None:
        """Have queries run whose rows nobody needs: at once, or by the thread that is at work already."""
        self._see_to(_job(statements, _rows, awaited=False))

    def _finished(self, job: Job[_T]) -> _T:
        self._see_to(job)
        if job.error is not None:
            raise job.error
        return job.results[0]

    def _see_to(self, job: Job[Any]) -> None:
        """Lead, or wait for a job that has to be waited for."""
        try:
            if self._leads(job):
                self._lead(job)
            elif job.awaited:
                job.wait()
                self._lead(job)
        except BaseException:
            self._withdraw(job)
            raise

    def _leads(self, job: Job[Any]) -> bool:
        with self._guard:
            self._waiting.append(job)
            if self._leader is None:
                self._leader = job
            return self._leader is job

    def _lead(self, job: Job[Any]) -> None:
        """Do what waits, if another has not done it, until a job is done; then let the next thread."""
        while not job.done:
            self._work_off_waiting()
        while self._leader is job and not self._hand_over():
            self._work_off_waiting()

    def _hand_over(self) -> bool:
        """Let the next thread lead; return False if there are jobs left for which no thread waits."""
        with self._guard:
            if not self._waiting:
                self._leader = None
                return True
            following = next((job for job in self._waiting if job.awaited), None)
            if following is not None:
                self._leader = following
                following.call()
            return following is not None

    def _withdraw(self, job: Job[Any]) -> None:
        """Leave without the job being done; what nobody waits for is left to whoever comes next."""
        with self._guard:
            job.awaited = False
            if not job.done and job in self._waiting:
                self._waiting.remove(job)
            if self._leader is not job:
                return
            self._leader = next((other for other in self._waiting if other.awaited), None)
            if self._leader is not None:
                self._leader.call()

    def _work_off_waiting(self) -> None:
        with self._guard:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LARGEST_BATCH))]
        try:
            self._work_off(batch)
        except Exception as exc:
            for job in batch:
                job.error = exc
        except BaseException:
            # Ctrl-C in this thread is no answer for the others: they commit for themselves.
            with self._guard:
                self._waiting.extendleft(reversed(batch))
            raise
        for job in batch:
            job.done = True
            if job is not self._leader:
                job.call()


def _job(statements: Sequence[Statement], read: Callable[[Cursor], _T], **details: Any) -> Job[list[_T]]:
    def work(execute: Execute) -> list[_T]:
        return [read(execute(sql, args)) for sql, args in statements]

    return Job(work, statements=statements, read=read, **details)
