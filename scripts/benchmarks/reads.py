"""Measure the time to get a token that is still valid."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg_pool import ConnectionPool

from connector.store.held_token import read_held
from connector.store.store import Store
from scripts.benchmarks.row import Row, each, interleaved
from tests.support.postgres import PostgresServer
from tests.support.stores import put, store_at, tokens_on

__all__ = ["fill", "measure"]

_COLUMNS = "access_sealed, expires_at FROM ormco_connections WHERE practice_id"
_ROUNDS = 7
_PAGE = 60


def measure(database: PostgresServer, *, connections: int) -> Iterator[Row]:
    """Measure tokens from memory, from SQLite and from PostgreSQL.

    Args:
        database: a server that syncs its commits.
        connections: the number of connections in a large store.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield _from_memory(Path(folder))
        for count in (10, connections):
            url = f"sqlite:///{folder}/{count}/store.db"
            yield _from_sqlite(url, count)
    for count in (10, connections):
        yield _from_postgres(database.create_database(), count)


def fill(store: Store, count: int) -> None:
    """Put connections into a store, many in each commit."""
    from concurrent.futures import ThreadPoolExecutor

    store.check()
    with ThreadPoolExecutor(_PAGE) as pool:
        names = (f"practice-{number:06d}" for number in range(count))
        for _ in pool.map(lambda name: put(store, name), names):
            pass


def _from_memory(folder: Path) -> Row:
    store = store_at(f"sqlite:///{folder}/memory.db")
    fill(store, 10)
    handed_out = tokens_on(store, "http://127.0.0.1:9")
    name, tokens = "practice-000003", {"practice-000003": "token"}

    def bare() -> tuple[str, float]:
        return tokens[name], time.time()

    ours, beside = interleaved(
        lambda: each(lambda: handed_out.access_token(name), 50_000),
        lambda: each(bare, 50_000),
        rounds=_ROUNDS,
    )
    empty = each(lambda: None, 200_000)  # the measurement's own call
    store.close()
    return Row(
        name="a valid token in the process",
        yardstick="dict lookup + clock read",
        seconds=ours - empty,
        beside=beside - empty,
        limit=3.0,
    )


def _cipher() -> Callable[[], bytes]:
    """Return a function that opens a sealed token of the usual size."""
    cipher, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    sealed = cipher.encrypt(nonce, b"at-practice-000000-0", b"place of the value in the store")
    return lambda: cipher.decrypt(nonce, sealed, b"place of the value in the store")


def _row(what: str, count: int, yardstick: str, ours: float, beside: float, limit: float) -> Row:
    return Row(
        name=f"a token from {what}, {count:,} connections",
        yardstick=yardstick,
        seconds=ours,
        beside=beside,
        limit=limit,
    )


def _token(store: Store, name: str) -> str | None:
    held = read_held(store.database, store.keys, name)
    assert held is not None
    return held.value if held.lasts(60.0) else None


def _names(count: int) -> Callable[[], str]:
    names = [f"practice-{random.randrange(count):06d}" for _ in range(5000)]
    return itertools.cycle(names).__next__


def _from_sqlite(url: str, count: int) -> Row:
    store = store_at(url)
    fill(store, count)
    name, open_sealed = _names(count), _cipher()
    db = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)

    def bare() -> None:
        db.execute(f"SELECT {_COLUMNS} = ?", (name(),)).fetchone()
        open_sealed()

    ours, beside = interleaved(
        lambda: each(lambda: _token(store, name()), 5000), lambda: each(bare, 5000), rounds=_ROUNDS
    )
    db.close()
    store.close()
    return _row("SQLite", count, "bare SELECT + AES-GCM open", ours, beside, 2.0)


def _from_postgres(url: str, count: int) -> Row:
    store = store_at(url)
    fill(store, count)
    name, open_sealed = _names(count), _cipher()
    store.close()  # one thread reads, with one session instead of all those that filled the store
    with ConnectionPool(url, kwargs={"autocommit": True}, min_size=1, open=True) as pool:
        # From a pool, because a session without one serves a single thread, and none after a restart.
        def bare() -> None:
            with pool.connection() as db:
                db.execute(f"SELECT {_COLUMNS} = %s".encode(), (name(),)).fetchone()
            open_sealed()

        ours, beside = interleaved(
            lambda: each(lambda: _token(store, name()), 1500), lambda: each(bare, 1500), rounds=_ROUNDS
        )
    store.close()
    return _row("PostgreSQL", count, "pooled SELECT + AES-GCM open", ours, beside, 1.5)
