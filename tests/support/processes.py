"""Other processes that use the same store, started together or killed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 120.0


@dataclass
class Worker:
    """A process and the line to it."""

    process: BaseProcess
    line: Connection

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        """End it as `kill -9` does, and wait until it is gone."""
        self.process.kill()
        self.process.join(_PATIENCE)

    def receive(self) -> Any:
        """Return the next thing it says."""
        assert self.line.poll(_PATIENCE), "the worker sends no message"
        return self.line.recv()


@contextmanager
def workers(count: int, work: Callable[..., None], *args: object) -> Iterator[list[Worker]]:
    """Run `work(line, *args, number)` in processes that have all said "ready"; end them afterwards."""
    context = _context()
    started = []
    for number in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, *args, number), daemon=True)
        process.start()
        theirs.close()
        started.append(Worker(process, ours))
    try:
        for worker in started:
            assert worker.receive() == "ready"
        yield started
    finally:
        for worker in started:
            worker.kill()
            worker.process.close()
            worker.line.close()


def go(running: Sequence[Worker]) -> None:
    """Tell waiting processes to begin."""
    for worker in running:
        worker.line.send("go")


def results(running: Sequence[Worker]) -> list[Any]:
    """Let waiting processes begin, and return the last message of each."""
    go(running)
    return [worker.receive() for worker in running]


def _context() -> Any:
    """Return a way to start processes that share nothing, quick where the platform can."""
    if os.name != "posix":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Modules imported here need not be imported by each of 64 processes; they import the main program too.
    context.set_forkserver_preload(["psycopg", "pytest", "tests.support.work"])
    return context
