"""The store for many app servers: through restarts, lost responses and other people's sessions."""

from __future__ import annotations

import contextlib
import pwd
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import psycopg
import pytest

from connector.connection import Event
from connector.errors import (
    ExtraMissingError,
    SettingError,
    StoreDamagedError,
    StoreError,
    StoreUnavailableError,
)
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.postgres import PostgresServer, find_binaries, shared_server
from tests.support.socket_proxy import SocketProxy
from tests.support.stores import (
    fresh_url,
    put,
    put_unverified,
    row_of,
    store_at,
    token_set,
    tokens_on,
    value_of,
)

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
def own_server(_stopped_at_will: PostgresServer) -> PostgresServer:
    """A server for one test at a time, which may stop it and change its settings."""
    _stopped_at_will.restore()
    return _stopped_at_will


@pytest.fixture(scope="module")
def _stopped_at_will() -> Iterator[PostgresServer]:
    shared_server()  # skips or fails if there is no PostgreSQL
    binaries = find_binaries()
    assert binaries is not None
    with PostgresServer(binaries) as server:
        yield server


def begin(number: int) -> Event:
    return Event(at=NOW, kind="begin", outcome="ok", detail={"number": str(number)})


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_server_restarts(own_server: PostgresServer, mode: str) -> None:
    """Reads, writes and leases continue through a restart or a crash of the server."""
    store = store_at(own_server.create_database())
    claimed = store.leases.claim(put(store, "p"), 60)
    assert claimed is not None
    own_server.stop(mode)
    starting = threading.Timer(0.5, own_server.start)
    starting.start()
    assert store.grants.change(claimed, {"failures": 1})
    starting.join()
    assert row_of(store, "p").failures == 1
    assert row_of(store, "p").is_leased
    store.close()


def test_writers_go_on_through_a_restart(own_server: PostgresServer) -> None:
    """Of many writes around a restart, each is stored exactly once."""
    store = store_at(own_server.create_database())
    store.check()

    def work(number: int) -> None:
        for step in range(20):
            store.audit.append(begin(100 * number + step))

    with ThreadPoolExecutor(8) as pool:
        writing = pool.map(work, range(8))
        own_server.stop("immediate")
        own_server.start()
        list(writing)  # an error would be raised here
    numbers = sorted(int(event.detail["number"]) for event in store.audit.events())
    assert numbers == sorted(100 * number + step for number in range(8) for step in range(20))
    store.close()


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_server_that_stays_unavailable(own_server: PostgresServer, how: str) -> None:
    """A server that does not respond is an error that names it, within five seconds."""
    url = own_server.create_database()
    store, hasty = store_at(url), store_at(url, patience=1)
    put(store, "p")
    assert hasty.connection("p") is not None
    own_server.stop() if how == "stopped" else own_server.freeze()
    for attempt, seconds in ((lambda: store.connection("p"), 6), (lambda: put(hasty, "q"), 3)):
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
            attempt()
        assert time.monotonic() - began < seconds
    own_server.start() if how == "stopped" else own_server.thaw()
    assert store.connection("p") is not None
    store.close()
    hasty.close()


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_token_in_memory_while_the_server_is_unavailable(
    own_server: PostgresServer, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that this process holds is handed out at once, with a warning; a rejected one is not."""
    clock = ManualClock()
    store = store_at(own_server.create_database(), clock=clock, patience=3.5)
    put(store, "p")
    tokens = tokens_on(store, "http://127.0.0.1:9")
    assert tokens.access_token("p") == "at-p-0"
    own_server.stop() if how == "stopped" else own_server.freeze()
    for _ in range(5):
        clock.advance(1.5)
        began = time.monotonic()
        assert tokens.access_token("p") == "at-p-0"
        assert time.monotonic() - began < 3
    assert "the token in memory is used" in caplog.text
    with pytest.raises(StoreUnavailableError):
        tokens.access_token("p", rejected="at-p-0")
    clock.advance(3600)
    with pytest.raises(StoreUnavailableError):
        tokens.access_token("p")
    if how == "frozen":
        own_server.thaw()
    store.close()


def test_one_slow_query_delays_no_other_practice(url: str) -> None:
    """While a practice's row is locked, calls for others continue, and its own ends in time."""
    store = store_at(url, patience=1.5)
    for name in ("p", "q"):
        put(store, name)
    with psycopg.connect(url) as slow:
        slow.execute(b"SELECT * FROM ormco_connections WHERE practice_id = 'p' FOR UPDATE")
        row, errors = row_of(store, "p"), []

        def change() -> None:
            try:
                store.grants.change(row, {"failures": 1})
            except StoreError as exc:
                errors.append(exc)

        waiting = threading.Thread(target=change)
        waiting.start()
        time.sleep(0.2)
        began = time.monotonic()
        assert store.grants.change(row_of(store, "q"), {"failures": 1})
        assert value_of(store, "p")[0] == "at-p-0"
        assert time.monotonic() - began < 1
        waiting.join(30)
    assert len(errors) == 1


@pytest.mark.parametrize("write", ["claim", "settle", "promote", "take", "spend", "event"])
def test_commit_whose_response_is_lost(url: str, short_folder: Path, write: str) -> None:
    """A commit that went through unseen is recognised: neither repeated nor taken for another's."""
    folder = Path(unquote(url.rpartition("host=")[2]))
    with SocketProxy(short_folder, next(folder.glob(".s.PGSQL.*[0-9]"))) as proxy:
        store = store_at(f"{url.rpartition('host=')[0]}host={quote(str(short_folder), safe='')}")
        row, new = put(store, "p", state="degraded"), put_unverified(store, "p")
        alone = {"claim": b"UPDATE ormco_connections", "take": b"UPDATE ormco_requests"}
        proxy.cut_after(alone.get(write, b"COMMIT"))
        if write == "claim":
            assert store.leases.claim(row, 60)
        elif write == "settle":
            store.leases.settle(row, token_set("p", number=1))
            assert value_of(store, "p") == ("at-p-1", "rt-p-1")
        elif write == "promote":
            assert store.grants.promote(new, row, {"account_shared": 0}, [begin(1)])
        elif write == "spend":
            assert store.requests.spend_code("KY-s!IAAA") is True
            assert store.requests.spend_code("KY-s!IAAA") is False
        elif write == "event":
            store.audit.append(begin(1))
        else:
            assert store.requests.take("unknown") is False
        assert proxy.cuts == 1
        assert len(store.audit.events()) == (write in ("settle", "promote", "event"))
        store.close()


def test_events_that_commit_late_are_not_missed(
    store: Store, url: str, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Events are numbered in the order in which they are committed: a writer waits for one that is at it."""
    store.audit.append(begin(1))
    heard: list[int] = []
    with psycopg.connect(url) as slow:
        slow.execute(b"UPDATE ormco_event_counter SET last = last + 1")
        writing = threading.Thread(target=lambda: store.audit.append(begin(2)))
        writing.start()
        time.sleep(0.3)
        heard += [event.sequence for event in store.audit.events()]
        slow.commit()
    writing.join(30)
    heard += [event.sequence for event in store.audit.events(after=heard[-1])]
    assert heard == [1, 3]


def test_readers_of_events_agree(url: str, store: Store) -> None:
    """With any number of writers and readers, each reader sees every event once and in one order."""
    done = threading.Event()
    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(_read_all, url, done) for _ in range(2)]
        wait([pool.submit(_write_some, url, number) for number in range(3)])
        done.set()
    one, other = (reader.result() for reader in readers)
    assert one == other
    assert sorted(map(int, one)) == [100 * writer + step for writer in range(3) for step in range(30)]


def _read_all(url: str, done: threading.Event) -> list[str]:
    store, seen, last, finished = store_at(url), list[str](), 0, False
    while not finished:
        finished = done.is_set()
        while events := store.audit.events(after=last, limit=7):
            seen += [event.detail["number"] for event in events]
            last = events[-1].sequence
    return seen


def _write_some(url: str, writer: int) -> None:
    store = store_at(url)
    for step in range(30):
        store.audit.append(begin(100 * writer + step))


@pytest.mark.parametrize(
    "change",
    [
        "DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$",
        "ALTER TABLE ormco_connections ALTER COLUMN last_error TYPE VARCHAR(4000)",
    ],
)
def test_prepared_statements_that_the_server_has_lost(store: Store, change: str) -> None:
    """A prepared statement that cannot be used any more is prepared again, without an error."""
    put(store, "p")
    for _ in range(5):
        assert store.connection("p") is not None
    store.database.apply([(change, ())])
    for _ in range(5):
        assert store.connection("p") is not None
    assert store.grants.change(row_of(store, "p"), {"failures": 1})


@pytest.mark.parametrize(("kind", "is_prepared"), [("postgresql", True), ("pgbouncer", False)])
def test_prepared_statements_are_the_servers_own(kind: str, is_prepared: bool, tmp_path: Path) -> None:
    """Statements are prepared if sessions are the server's own, and never through a pooler."""
    store = store_at(fresh_url(kind, tmp_path))
    put(store, "p")
    for _ in range(5):
        assert store.connection("p") is not None
    found = store.database.all("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql", ())
    assert (found[0][0] > 0) is is_prepared


def test_few_sessions_a_process(store: Store, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """However many threads read and write, the process has few sessions, and holds none while it waits."""
    put(store, "p")

    def work() -> None:
        for _ in range(5):
            row_of(store, "p")
            store.audit.append(begin(1))

    threads = [threading.Thread(target=work) for _ in range(24)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, len(admin.execute(SESSIONS.encode()).fetchall()))
        time.sleep(0.01)
    assert 1 <= most <= 8
    busy = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({SESSIONS}) AND state <> 'idle'"
    assert admin.execute(busy.encode()).fetchall() == [(0,)]


def test_one_session_for_one_call_at_a_time(
    store: Store, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    """A process that calls from one thread has one session, from its first call on."""
    for number in range(3):
        store.audit.append(begin(number))
    assert len(admin.execute(SESSIONS.encode()).fetchall()) == 1


def test_durable_whatever_the_servers_default(own_server: PostgresServer) -> None:
    """A commit is synced even if the server's default is to respond before that."""
    own_server.sql("ALTER SYSTEM SET synchronous_commit = off")
    own_server.stop()
    own_server.start()
    store = store_at(own_server.create_database())
    put(store, "p")
    for number in range(20):
        assert store.grants.change(row_of(store, "p"), {"failures": number})
    own_server.stop("immediate")
    own_server.start()
    assert row_of(store, "p").failures == 19
    store.close()


@pytest.mark.parametrize("is_open", [True, False])
def test_another_store_in_its_place(
    store: Store, url: str, admin: psycopg.Connection[tuple[object, ...]], is_open: bool
) -> None:
    """A schema that begins to hide the store is an error of the next query, not a second, empty store."""
    put(store, "p")
    if not is_open:
        store.close()
    admin.execute(b"CREATE SCHEMA ormco")  # named like the user, so it comes first on the search path
    other = store_at(f"{url}&schema=ormco")
    other.check()
    other.close()
    for attempt in (lambda: store.connection("p"), store.check, lambda: store.leases.find_due(600)):
        with pytest.raises(StoreDamagedError, match="another store"):
            attempt()


def test_a_table_that_hides_one_of_the_stores(
    store: Store, url: str, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    """One empty table in a schema that comes first is an error, for a store in use and for a new process."""
    put(store, "p")
    admin.execute(b"CREATE SCHEMA ormco")
    admin.execute(b"CREATE TABLE ormco.ormco_connections (LIKE public.ormco_connections)")
    for one in (store, store_at(url)):
        with pytest.raises(StoreDamagedError, match="another store"):
            one.connection("p")
        one.close()


@pytest.mark.parametrize(
    "query", ["schema=practices", "options=-csearch_path%3Dpractices", "options=-c%20search_path%3Dpractices"]
)
def test_a_schema_of_its_own(url: str, admin: psycopg.Connection[tuple[object, ...]], query: str) -> None:
    """The address may name the schema that the store is in."""
    admin.execute(b"CREATE SCHEMA practices")
    store = store_at(f"{url.replace('postgresql:', 'postgresql+psycopg:')}&{query}")
    put(store, "p")
    assert store.connection("p") is not None
    store.close()
    found = admin.execute(b"SELECT schemaname FROM pg_tables WHERE tablename LIKE 'ormco_%'").fetchall()
    assert set(found) == {("practices",)}


@pytest.mark.parametrize("schema", ["", "a%2Cb", "a%20b", "x%27", "%2Dc"])
def test_a_schema_that_is_not_a_name(url: str, schema: str) -> None:
    """A schema that could be more than one name is refused before anything is opened."""
    with pytest.raises(SettingError, match="schema"):
        store_at(f"{url}&schema={schema}")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql+asyncpg", "postgres"])
def test_other_spellings_of_the_address(store: Store, url: str, scheme: str) -> None:
    """SQLAlchemy's addresses name the driver too."""
    put(store, "p")
    other = store_at(f"{scheme}://{url.partition('://')[2]}")
    assert other.connection("p") is not None


def test_server_without_free_sessions(own_server: PostgresServer) -> None:
    """When the server has no room for another connection, a process waits its turn."""
    url = own_server.create_database()
    own_server.sql("ALTER SYSTEM SET max_connections = 5")
    own_server.stop()
    own_server.start()
    crowd: list[psycopg.Connection] = []
    with contextlib.suppress(psycopg.OperationalError):
        while len(crowd) < 5:
            crowd.append(psycopg.connect(url))
    leaving = contextlib.ExitStack()
    for db in crowd:
        leaving.callback(db.close)
    threading.Timer(0.5, leaving.close).start()
    store = store_at(url)
    store.check()


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
    """A missing server or a malformed address is an error without the password."""
    monkeypatch.setattr("connector.store.postgres._CALL_SECONDS", 0.1)
    store = store_at(change(url))  # type: ignore[operator]
    with pytest.raises(error, match=words) as caught:
        store.check()
    assert "cret" not in f"{caught.value} {caught.value.hint}"  # type: ignore[attr-defined]


def test_missing_tables(store: Store, admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """Dropped tables are not created again silently."""
    admin.execute(b"DROP TABLE ormco_connections")
    with pytest.raises(Exception, match="lacks a table"):
        store.connection("p")


def test_driver_is_not_installed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the driver the error says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for module in ("postgres", "postgres_sessions"):
        monkeypatch.delitem(sys.modules, f"connector.store.{module}", raising=False)
        monkeypatch.delattr(f"connector.store.{module}", raising=False)
    with pytest.raises(ExtraMissingError) as caught:
        store_at(url).check()
    assert "ormco-connector[postgres]" in caught.value.hint


class FakeServer(threading.Thread):
    """A server without TLS, or an attacker in its place; records whether anything was sent unencrypted."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.in_the_clear = b""

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client:
                    asked = client.recv(1024)
                    if asked[4:8] == _SSL_REQUEST:
                        client.sendall(b"N")
                        asked = client.recv(1024)
                    self.in_the_clear += asked


_SSL_REQUEST = (80877103).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("place", "environment", "is_trusted"),
    [
        ("127.1:{port}/x", {}, False),  # an address of this machine that is not recognised as one
        ("127.1:{port}/x?sslrootcert=/nowhere/root.crt", {}, False),
        ("127.1:{port}/x?sslmode=prefer", {}, True),
        ("127.1:{port}/x?sslmode=disable", {}, True),
        ("127.0.0.1:{port}/x", {}, True),
        ("localhost:{port}/x", {}, True),
        ("localhost:{port}/x", {"PGHOSTADDR": "127.1"}, False),
        (":{port}/x", {"PGHOST": "127.1"}, False),
        ("/x", {"PGSERVICE": "elsewhere"}, False),
        ("localhost:1,127.1:{port}/x?hostaddr=127.0.0.1,", {}, False),
        ("127.1:{port}/x", {"PGSSLMODE": "disable"}, False),
    ],
)
def test_a_server_elsewhere_has_to_prove_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, environment: dict[str, str], is_trusted: bool
) -> None:
    """Off this machine nothing is sent to a server without TLS, unless the address says so.

    The environment, a service file and lists of addresses are read as the driver reads them.
    """
    server = FakeServer()
    server.start()
    port = server.listener.getsockname()[1]
    (tmp_path / "services").write_text(f"[elsewhere]\nhost=127.0.0.1\nport={port}\n")
    for name, value in {"PGSERVICEFILE": str(tmp_path / "services"), **environment}.items():
        monkeypatch.setenv(name, value)
    store = store_at(f"postgresql://me:made-up@{place.format(port=port)}", patience=0.5)
    with pytest.raises(StoreUnavailableError) as caught:
        store.check()
    server.listener.close()
    assert (b"me" in server.in_the_clear) is is_trusted
    assert is_trusted or server.in_the_clear == b""
    assert is_trusted is not ("sslrootcert=PATH" in caught.value.hint)


def test_a_user_without_a_home_reaches_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's user has neither HOME nor an entry in the list of users; their roots are the system's."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", dict[int, str]().__getitem__)
    store = store_at("postgresql://me:made-up@127.1:9/x", patience=0.5)
    with pytest.raises(StoreUnavailableError):
        store.check()
