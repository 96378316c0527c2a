"""What the store needs of a database, and the queue that lets many threads share one commit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from connector.errors import ConnectorError

__all__ = ["Cursor", "Database", "Dialect", "Execute", "Job", "Statement", "WriteQueue"]

_T = TypeVar("_T")
_LARGEST_BATCH = 64


class Cursor(Protocol):
    """The part of a DB-API cursor that is used here."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""


# Runs a statement with "?" for each parameter.
Execute = Callable[[str, Sequence[object]], Cursor]
# A statement and its parameters.
Statement = tuple[str, Sequence[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Where the two databases' SQL differs.

    Attributes:
        types: words of the schema that are filled in.
        for_update: what makes a SELECT inside a transaction keep its rows.
        changes_two_tables_at_once: whether one statement can write to two tables (a data-modifying WITH).
        last_steps: statements that end the first migration: they keep the audit record from being changed.
    """

    types: Mapping[str, str]
    for_update: str
    changes_two_tables_at_once: bool
    last_steps: Sequence[str]


class Database(Protocol):
    """One place where rows are kept, shared by threads, processes and perhaps machines."""

    dialect: Dialect
    locks_prove_death: bool  # whether a lock that is free means that its last owner has done with it

    def exists(self) -> bool:
        """Return whether there is anything to read; never creates anything."""

    def open(self) -> None:
        """Make it ready to be used, creating and migrating it if need be."""

    def fetch_one(self, sql: str, args: Sequence[object]) -> Any:
        """Return the first row of a query, or None."""

    def fetch_all(self, sql: str, args: Sequence[object]) -> list[Any]:
        """Return the rows of a query."""

    def write(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in a transaction and return once it is durable.

        The work may be run again after a lost connection, when nobody can tell whether it was committed: it
        has to recognise its own traces. Where it raises, it does so before its first change.
        """

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements in a transaction, and return how many rows each changed once that is durable.

        They too may be run again: the first has to change nothing then, and the others depend on it.
        """

    def settle_events(self) -> None:
        """Give every committed event its place in the record."""

    def make_room(self) -> None:
        """Make sure that what a refresh brings can be written even on a disk that is getting full."""

    def try_lock(self, name: str) -> bool:
        """Take a lock if nobody in any process has it; it ends with its owner."""

    def unlock(self, name: str) -> None:
        """Give a lock back."""

    def holder(self, name: str) -> str | None:
        """Return who has a lock, in words, if that can be told."""

    def facts(self) -> dict[str, str]:
        """Return what a person who looks after it wants to know."""

    def close(self) -> None:
        """Close all handles."""

    def forget_handles(self) -> None:
        """Start anew in a forked child, without touching the handles of its parent."""


class Job(Generic[_T]):
    """One thread's part of a shared transaction.

    Args:
        work: what to do.
        statements: what the work comes to, where that is known beforehand.
    """

    def __init__(self, work: Callable[[Execute], _T], statements: Sequence[Statement] = ()) -> None:
        self._work = work
        self.statements = statements
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


class WriteQueue:
    """Lets whichever thread comes first commit for all that wait: one sync of the disk for many writes.

    Each thread waits for its own job alone: with one lock for all, those whose job is done would still have
    to pass through it one by one before the next could commit.

    Args:
        commit: runs jobs in one durable transaction.
    """

    def __init__(self, commit: Callable[[Sequence[Job[Any]]], None]) -> None:
        self._commit = commit
        self._guard = threading.Lock()
        self._waiting: deque[Job[Any]] = deque()
        self._leader: Job[Any] | None = None

    def run(self, work: Callable[[Execute], _T]) -> _T:
        """Run work in some thread's transaction and return its result once it is durable."""
        return self._finished(Job(work))

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements likewise, and return how many rows each changed."""
        return self._finished(
            Job(lambda execute: [execute(sql, args).rowcount for sql, args in statements], statements)
        )

    def _finished(self, job: Job[_T]) -> _T:
        try:
            with self._guard:
                self._waiting.append(job)
                if self._leader is None:
                    self._leader = job
            if self._leader is not job:
                job.wait()
            if not job.done:
                self._commit_waiting()
        finally:
            self._leave(job)
        if job.error is not None:
            raise job.error
        return job.results[0]

    def _leave(self, job: Job[Any]) -> None:
        """Let the next thread commit, also where this one was interrupted before its job was done."""
        with self._guard:
            if not job.done and job in self._waiting:
                self._waiting.remove(job)
            if self._leader is not job:
                return
            self._leader = self._waiting[0] if self._waiting else None
            if self._leader is not None:
                self._leader.call()

    def _commit_waiting(self) -> None:
        with self._guard:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LARGEST_BATCH))]
        try:
            self._commit(batch)
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
