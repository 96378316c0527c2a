"""Measure the time to store tokens, and to refresh them."""

from __future__ import annotations

import os
import queue
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import requests

from scripts.benchmarks import yardsticks
from scripts.benchmarks.row import Row, each, interleaved
from tests.support.postgres import PostgresServer
from tests.support.processes import Worker, results, workers
from tests.support.stores import put, store_at, token_set, tokens_on
from tests.support.token_server import TokenServer
from tests.support.work import ask

__all__ = ["measure"]

_SEALED_SIZE = 2048


def measure(database: PostgresServer, *, processes: int, refreshes: int, rounds: int) -> Iterator[Row]:
    """Measure durable writes and refreshes beside programs that do less.

    Args:
        database: a server that syncs its commits.
        processes: the number of processes that refresh at once.
        refreshes: the number of refreshes of one process in a row.
        rounds: the number of times that each is measured.
    """
    with tempfile.TemporaryDirectory() as folder, TokenServer() as server:
        bench = _Bench(Path(folder), database, server, processes, rounds)
        yield bench.durable_writes()
        for kind in ("SQLite", "PostgreSQL"):
            yield bench.one_token(kind)
        for kind, limit in (("SQLite", 2.0), ("PostgreSQL", 1.4)):
            yield bench.many_tokens(kind, limit)
        for kind in ("SQLite", "PostgreSQL"):
            yield bench.one_process(kind, refreshes)


class _Bench:
    def __init__(
        self, folder: Path, database: PostgresServer, server: TokenServer, processes: int, rounds: int
    ) -> None:
        self._folder = folder
        self._database = database
        self._server = server
        self._processes = processes
        self._rounds = rounds
        self._stores = 0

    def durable_writes(self) -> Row:
        store = store_at(self._url("SQLite"))
        store.check()
        rows = [put(store, "p")]
        pairs = [replace(token_set("p"), access_token=secrets.token_urlsafe(32)) for _ in range(100)]
        tokens = cycle(pairs)
        handle = os.open(self._folder / "file", os.O_CREAT | os.O_RDWR)
        content = os.urandom(_SEALED_SIZE)

        def bare() -> None:
            os.pwrite(handle, content, 0)
            os.fdatasync(handle)

        def ours(count: int) -> float:
            seconds = 0.0
            for _ in range(count):
                pair = next(tokens)
                started = time.perf_counter()
                stored = store.leases.settle(rows[0], pair)
                seconds += time.perf_counter() - started
                assert stored is not None
                rows[0] = stored
            return seconds / count

        # As in a store that has been in use for a while: its log has its full size, and is overwritten.
        ours(1100)
        seconds, beside = interleaved(lambda: ours(100), lambda: each(bare, 100), rounds=15)
        os.close(handle)
        store.close()
        return Row(
            name="a durable, sealed write (SQLite)",
            yardstick="pwrite + fdatasync",
            seconds=seconds,
            beside=beside,
            limit=2.5,
        )

    def one_token(self, kind: str) -> Row:
        def ours() -> float:
            url = self._filled(kind, ["p"])
            with workers(self._processes, ask, url, self._server.url, "p", 1) as running:
                return self._duration(running)

        def gate() -> float:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                self._server.set(newest={}, latency=0.25)
                with workers(self._processes, yardsticks.file_gate, folder, self._server.url) as running:
                    return self._duration(running)

        seconds, beside = interleaved(ours, gate, rounds=self._rounds)
        return Row(
            name=f"{self._processes} processes on one ended token ({kind}, 250 ms)",
            yardstick="a bare file lock around one refresh",
            seconds=seconds,
            beside=beside,
            limit=2.0,
        )

    def many_tokens(self, kind: str, limit: float) -> Row:
        names = [f"p{number}" for number in range(self._processes)]

        def ours() -> float:
            url = self._filled(kind, names)
            with workers(self._processes, ask, url, self._server.url, "p{}", 1) as running:
                return self._duration(running)

        def row_locks() -> float:
            url = self._database.create_database()
            yardsticks.make_rows(url, self._processes)
            self._server.set(newest={}, latency=0.25)
            with workers(self._processes, yardsticks.row_lock, url, self._server.url) as running:
                return self._duration(running)

        seconds, beside = interleaved(ours, row_locks, rounds=self._rounds)
        return Row(
            name=f"{self._processes} processes on {self._processes} ended tokens ({kind}, 250 ms)",
            yardstick="SELECT … FOR UPDATE for each row",
            seconds=seconds,
            beside=beside,
            limit=limit,
        )

    def one_process(self, kind: str, count: int) -> Row:
        names = [f"p{number}" for number in range(count)]

        def ours() -> float:
            store = store_at(self._filled(kind, names))
            self._server.set(latency=0.05)
            handed_out = tokens_on(store, self._server.url)
            handed_out.access_token(names[0])
            seconds = _in_threads(32, names[1:], lambda: handed_out.access_token)
            store.close()
            return seconds

        def bare() -> float:
            self._server.set(newest={}, latency=0.05)
            return _in_threads(32, names[1:], self._bare_session)

        seconds, beside = interleaved(ours, bare, rounds=self._rounds)
        return Row(
            name=f"{count:,} refreshes, 32 at a time ({kind}, 50 ms)",
            yardstick="32 requests sessions, no store",
            seconds=seconds,
            beside=beside,
            limit=1.4,
        )

    def _bare_session(self) -> Callable[[str], object]:
        session = requests.Session()
        return lambda name: yardsticks.refresh(session, self._server.url, f"rt-{name}-0")

    def _url(self, kind: str) -> str:
        self._stores += 1
        if kind == "PostgreSQL":
            return self._database.create_database()
        return f"sqlite:///{self._folder}/{self._stores}/store.db"

    def _filled(self, kind: str, names: list[str]) -> str:
        url = self._url(kind)
        store = store_at(url)
        store.check()

        _in_threads(32, names, lambda: lambda name: put(store, name, age=3700))
        store.close()
        self._server.set(newest={}, dead=[], latency=0.25)
        return url

    def _duration(self, running: list[Worker]) -> float:
        started = time.monotonic()
        found = results(running)
        errors = [error for one in found for error in one["errors"]]
        assert not errors, errors
        return float(max(one["at"] for one in found) - started)


def _in_threads(count: int, names: list[str], work: Callable[[], Callable[[str], object]]) -> float:
    """Return the seconds that threads take to do something for each name; each creates its own tools once."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        waiting.put(name)

    def run() -> None:
        do = work()
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            do(name)

    threads = [threading.Thread(target=run) for _ in range(count)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started
