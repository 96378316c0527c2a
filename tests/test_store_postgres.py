"""The store for many app servers: through restarts, lost answers and other people's sessions."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote

import psycopg
import pytest

from connector.connection import Event
from connector.errors import ExtraMissingError, SettingError, StoreError, StoreUnavailableError
from connector.store import Store
from connector.store.job_queue import Job
from connector.store.postgres import PostgresDatabase
from tests.support.postgres import PostgresServer, find_binaries, shared_server
from tests.support.processes import workers
from tests.support.socket_proxy import SocketProxy
from tests.support.stores import grant_for, store_at
from tests.support.work import hold_lock

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'ormco %' AND datname = current_database()"
)


@pytest.fixture
def url() -> str:
    return shared_server().create_database()


@pytest.fixture
def admin(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(url, autocommit=True) as db:
        yield db


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    shared_server()  # skips or fails where there is no PostgreSQL
    binaries = find_binaries()
    assert binaries is not None
    with PostgresServer(binaries) as server:
        yield server


def begin(number: int) -> Event:
    return Event(at=NOW, kind="begin", outcome="ok", detail={"number": str(number)})


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_server_restarts(own_server: PostgresServer, mode: str) -> None:
    """Reads, writes and locks go on through a restart or a crash of the server."""
    store = store_at(own_server.create_database())
    grant = store.put(grant_for("p"), expected_generation=None)
    assert store.try_lock("p")
    own_server.stop(mode)
    starting = threading.Timer(0.5, own_server.start)
    starting.start()
    grant = store.put(replace(grant, failures=1), expected_generation=1)
    starting.join()
    assert store.get("p") == grant
    other = store_at(own_server.url(store.facts()["path"].rpartition("/")[2]))
    assert not other.try_lock("p")
    other.close()
    store.close()


def test_writers_go_on_through_a_restart(own_server: PostgresServer) -> None:
    """Of many writes around a restart, each is stored exactly once."""
    store = store_at(own_server.create_database())
    store.check()
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            for step in range(20):
                store.append_event(begin(100 * number + step))
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    own_server.stop("immediate")
    own_server.start()
    for thread in threads:
        thread.join()
    assert errors == []
    numbers = sorted(int(event.detail["number"]) for event in store.events())
    assert numbers == sorted(100 * number + step for number in range(8) for step in range(20))
    store.close()


def test_server_that_stays_away(own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not come back is an error that names it, after a time."""
    monkeypatch.setattr("connector.store.postgres._RESTART_SECONDS", 0.3)
    store = store_at(own_server.create_database())
    store.check()
    own_server.stop()
    with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
        store.get("p")
    own_server.start()
    assert store.get("p") is None
    store.close()


@pytest.mark.parametrize("write", ["put", "take", "spend", "event"])
def test_commit_whose_answer_is_lost(url: str, tmp_path: Path, write: str) -> None:
    """A commit that went through unseen is recognised: neither repeated nor taken for another's."""
    folder = Path(unquote(url.rpartition("host=")[2]))
    with SocketProxy(tmp_path, next(folder.glob(".s.PGSQL.*[0-9]"))) as proxy:
        store = store_at(f"{url.rpartition('host=')[0]}host={quote(str(tmp_path), safe='')}")
        grant = store.put(grant_for("p"), expected_generation=None)
        proxy.cut_after(b"UPDATE ormco_connections" if write == "put" else b"COMMIT")
        if write == "put":
            newer = replace(grant, connection=replace(grant.connection, token_generation=2))
            stored = store.put(newer, expected_generation=1, events=[begin(1)])
            assert store.get("p") == stored
        elif write == "spend":
            assert store.spend_code("KY-s!IAAA") is True
            assert store.spend_code("KY-s!IAAA") is False
        elif write == "event":
            store.append_event(begin(1))
        else:
            assert store.take_request("unknown") is False
        assert proxy.cuts == 1
        assert len(store.events()) == (write in ("put", "event"))
        store.close()


def test_lock_is_taken_again_after_a_lost_session(
    store: Store, url: str, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    """When the server ends a session, its locks are taken again with the next one."""
    assert store.try_lock("p")
    admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS ours".encode())
    assert store.get("p") is None
    other = store_at(url)
    assert not other.try_lock("p")
    store.unlock("p")
    assert other.try_lock("p")
    other.close()


def test_lock_is_free_though_the_query_behind_it_failed(store: Store, url: str) -> None:
    """A lock that was taken in the same round trip as a query that failed does not stay taken."""
    store.check()
    with pytest.raises(StoreError):
        store._db.lock_and_fetch("p", "SELECT 1 / ?::int", (0,))
    other = store_at(url)
    assert other.try_lock("p")
    other.unlock("p")
    other.close()
    assert store.try_lock("p")
    store.unlock("p")


def test_query_that_fails_fails_alone(store: Store) -> None:
    """Of what several threads ask for in one round trip, only what cannot be answered is an error."""
    store.put(grant_for("p"), expected_generation=None)
    database = cast(PostgresDatabase, store._db)
    good, bad, last = (
        Job[list[list[tuple[object, ...]]]](lambda execute: [], statements=[(sql, (1,))])
        for sql in (
            "SELECT ?::int",
            "SELECT 1 / (1 - ?::int)",
            "SELECT practice_id FROM ormco_connections LIMIT ?",
        )
    )
    writing = Job[list[int]](
        lambda execute: [],
        statements=[("UPDATE ormco_connections SET failures = 7 WHERE generation = ?", (1,))],
        read=lambda cursor: cursor.rowcount,
    )
    database._work_off([good, bad, last, writing])
    assert (good.results, last.results) == ([[[(1,)]]], [[[("p",)]]])
    assert isinstance(bad.error, StoreError)
    assert writing.results == [[1]]


def test_owner_that_lost_its_lock_is_waited_for(url: str, store: Store) -> None:
    """A refresh that its owner may still be at is not begun by another until it is known to be gone."""
    store.put(grant_for("p"), expected_generation=None)
    with workers(1, hold_lock, url, "another") as running:
        now = store.clock.utc_now()
        owner = f"{store_owner().rsplit(' ', 2)[0]} {running[0].pid} -"
        grant = replace(grant_for("p"), refresh_sent_at=now, refresh_owner=owner)
        assert store.may_be_under_way(grant)
        assert store.may_be_under_way(replace(grant, refresh_owner="another-host 1 2"))
        assert not store.may_be_under_way(replace(grant, refresh_owner=None))
        assert not store.may_be_under_way(replace(grant, refresh_sent_at=NOW))
        running[0].kill()
        assert not store.may_be_under_way(grant)


def store_owner() -> str:
    from connector.store import this_process

    return this_process()


def test_events_that_commit_late_are_not_missed(
    store: Store, url: str, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    """An event whose transaction began first and ended last comes last, and no reader misses it."""
    store.append_event(begin(1))
    with psycopg.connect(url) as slow:
        slow.execute(
            b"INSERT INTO ormco_events (nonce, at, kind, outcome, actor, detail) "
            b"VALUES (1, 0, 'slow', 'ok', 'somebody', '{}')"
        )
        store.append_event(begin(2))
        first = store.events()
        slow.commit()
    assert [event.kind for event in first] == ["begin", "begin"]
    assert [event.kind for event in store.events(after=first[-1].sequence)] == ["slow"]


def test_readers_of_events_agree(url: str, store: Store) -> None:
    """However many write and read at once, every reader sees every event once and in one order."""
    seen: dict[int, list[str]] = {0: [], 1: []}
    done = threading.Event()
    readers = [threading.Thread(target=_read_all, args=(url, done, seen[number])) for number in seen]
    writers = [threading.Thread(target=_write_some, args=(url, number)) for number in range(3)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert seen[0] == seen[1]
    assert sorted(map(int, seen[0])) == [100 * writer + step for writer in range(3) for step in range(30)]


def _read_all(url: str, done: threading.Event, seen: list[str]) -> None:
    store, last, finished = store_at(url), 0, False
    while not finished:
        finished = done.is_set()
        while events := store.events(after=last, limit=7):
            seen += [event.detail["number"] for event in events]
            last = events[-1].sequence
    store.close()


def _write_some(url: str, writer: int) -> None:
    store = store_at(url)
    for step in range(30):
        store.append_event(begin(100 * writer + step))
    store.close()


def test_one_connection_a_process(store: Store, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """However many threads read, write and wait for locks, the process has one database connection."""
    assert store.try_lock("p")
    deadline = store.clock.deadline(1.0)

    def wait() -> None:
        for _ in range(5):
            store.get("p")
            store.append_event(begin(1))
        if not store.try_lock("p"):
            deadline.pause(0.3)

    threads = [threading.Thread(target=wait) for _ in range(16)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, len(admin.execute(SESSIONS.encode()).fetchall()))
        time.sleep(0.01)
    assert most == 1


def test_server_without_room(own_server: PostgresServer) -> None:
    """When the server has no room for another connection, a process waits its turn."""
    url = own_server.create_database()
    own_server.sql("postgres", "ALTER SYSTEM SET max_connections = 5")
    own_server.stop()
    own_server.start()
    crowd = []
    with contextlib.suppress(psycopg.OperationalError):
        while len(crowd) < 5:
            crowd.append(psycopg.connect(url))
    threading.Timer(0.5, lambda: [db.close() for db in crowd]).start()
    store = store_at(url)
    store.check()
    store.close()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda url: url.replace("/store_", "/nowhere_"), StoreUnavailableError, "does not exist"),
        (lambda url: "postgresql://u:se%3Acret@127.0.0.1:1/db", StoreUnavailableError, "127.0.0.1:1/db"),
        (lambda url: "postgresql://u:secret@[half/db?x=y", SettingError, "cannot be read"),
    ],
)
def test_server_that_cannot_be_used(
    url: str, monkeypatch: pytest.MonkeyPatch, change: object, error: type[Exception], words: str
) -> None:
    """A server that is not there, or an address that is none, is an error without the password."""
    monkeypatch.setattr("connector.store.postgres._FIRST_SECONDS", 0.1)
    store = store_at(change(url))  # type: ignore[operator]
    with pytest.raises(error, match=words) as caught:
        store.check()
    assert "cret" not in f"{caught.value} {caught.value.hint}"  # type: ignore[attr-defined]
    store.close()


def test_tables_that_are_gone(store: Store, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """Tables that somebody dropped are not made anew in silence."""
    admin.execute(b"DROP TABLE ormco_connections")
    with pytest.raises(Exception, match="lacks a table"):
        store.get("p")


def test_driver_is_not_installed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the driver the error says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ExtraMissingError) as caught:
        store_at(url).check()
    assert "ormco-connector[postgres]" in caught.value.hint
