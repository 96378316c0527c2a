"""Measure costs that grow with the number of connections, in stores of 1,000 to 100,000.

Each command is run as a process of its own, whose time, processor time and largest memory the kernel reports.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from connector.refresh.rate_limit import Pace
from connector.store.database import TABLE
from connector.store.held_token import LIVE, read_held
from connector.store.sealing import Bound, sealed_data
from connector.store.store import Store
from scripts.benchmarks.row import each
from tests.support.postgres import PostgresServer
from tests.support.stores import KEY, OTHER_KEY, store_at
from tests.support.token_server import TokenServer

__all__ = ["SIZES", "Figure", "build", "measure"]

SIZES = (1_000, 10_000, 100_000)
# The command, which prints its largest memory: the kernel's figure for a child includes its parent's.
_ORMCO = """
import sys
from connector.cli import main
try:
    sys.exit(main())
finally:
    sys.stdout.flush()
    print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""
_LATENCY = 0.5
_TOKEN_BYTES = 1000
_EVENTS_EACH = 3
_RUNS = 2
_STARTS = 3  # their median is the cost of the start of a run
_BARE_CALLS = Path(__file__).with_name("bare_calls.py")
_MORE_THAN_BARE = 1.25  # limit on a refresh's processor time, as a multiple of a bare program's
_AIM = 100_000 / 3600  # refreshes per second that this many one-hour tokens need
_KEYS = f"{KEY},{OTHER_KEY}"  # the second is for the rotation
_BATCH = 1000
_GRANT = (
    f"INSERT INTO {TABLE} (practice_id, slot, version, generation, state, since, expires_at, refreshed_at, "
    "due_at, connected_at, renewable, with_secret, provider, account_id, account_email, account_name, "
    "account_region, scope, access_sealed, refresh_sealed) VALUES (" + ", ".join("?" * 20) + ")"
)
_EVENT = (
    "INSERT INTO ormco_events (sequence, nonce, at, kind, outcome, practice_id, actor, state, detail) "
    "VALUES (?, ?, ?, 'connect', 'ok', ?, 'bench', 'connected', '{}')"
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number about one store.

    Attributes:
        name: the measured cost.
        value: the measured value.
        unit: its unit.
        floor: the value of a bare program that does the same, if there is one.
        limit: the promised limit, if there is one.
        at_least: whether the limit is a minimum, not a maximum.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    limit: float | None = None
    at_least: bool = False

    @property
    def within(self) -> bool:
        """Whether the promise is kept."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True, kw_only=True)
class _Ran:
    """The resources that a process used."""

    seconds: float
    cpu: float
    peak: float
    written: float


def build(store: Store, count: int, *, provider: str, due: int, events: int = 0) -> None:
    """Put connections with sealed tokens and an audit record into an empty store.

    Args:
        store: the empty store.
        count: the number of connections.
        provider: the name of their provider.
        due: the number of connections with an access token that expires soon.
        events: the number of events in the audit record.
    """
    store.check()
    now = store.clock.time()
    for numbers in _batches(range(count)):
        store.database.apply([_grant(store, number, now, provider, number < due) for number in numbers])
    first = store.database.one("SELECT last FROM ormco_event_counter", ())[0] + 1
    for numbers in _batches(range(first, first + events)):
        rows = [(_EVENT, (number, -number, now - 86400, _practice(number % count))) for number in numbers]
        store.database.apply([*rows, ("UPDATE ormco_event_counter SET last = ?", (numbers[-1],))])


def measure(
    database: PostgresServer, folder: Path, *, sizes: Sequence[int]
) -> Iterator[tuple[str, int, Figure]]:
    """Measure both databases at each size; yield the database, the size and a figure.

    Args:
        database: a server that syncs its commits.
        folder: for SQLite files.
        sizes: numbers of connections.
    """
    for kind in ("SQLite", "PostgreSQL"):
        for count in sizes:
            url = database.create_database() if kind == "PostgreSQL" else f"sqlite:///{folder}/{count}/s.db"
            with TokenServer() as server:
                server.set(padding=_TOKEN_BYTES)
                for figure in _Scale(url, count, server, folder).measure():
                    yield kind, count, figure


class _Scale:
    def __init__(self, url: str, count: int, server: TokenServer, folder: Path) -> None:
        self._url = url
        self._count = count
        self._server = server
        self._due = min(count, 2000)
        self._provider = folder / "provider.toml"
        self._provider.write_text(
            f'[provider]\nauthorization_endpoint = "{server.url}/authorize"\n'
            f'token_endpoint = "{server.url}/token"\n'
        )

    def measure(self) -> Iterator[Figure]:
        store = store_at(self._url)
        started = time.perf_counter()
        build(
            store,
            self._count,
            provider=f"{self._server.url}/authorize",
            due=self._due,
            events=_EVENTS_EACH * self._count,
        )
        yield Figure(name="build", value=time.perf_counter() - started, unit="s")
        if self._is_postgres:
            self._sql("VACUUM ANALYZE")
        yield self._token(store)
        yield self._summary(store)
        store.close()
        yield from self._commands()
        yield from self._refreshes()
        yield from self._rotation()

    @property
    def _is_postgres(self) -> bool:
        return self._url.startswith("postgresql")

    def _token(self, store: Store) -> Figure:
        name = _practice(self._count // 2)
        floor = self._bare(f"SELECT access_sealed FROM {TABLE} WHERE practice_id = '{name}'")
        read_held(store.database, store.keys, name)
        seconds = each(lambda: read_held(store.database, store.keys, name), 500)
        return Figure(name="a token from the store", value=seconds * 1e6, unit="µs", floor=floor * 1e6)

    def _summary(self, store: Store) -> Figure:
        floor = self._bare(f"SELECT state, COUNT(*) FROM {TABLE} GROUP BY state")
        store.overview.summary()
        seconds = each(store.overview.summary, 10)
        return Figure(name="summary()", value=seconds * 1e3, unit="ms", floor=floor * 1e3, limit=50.0)

    def _commands(self) -> Iterator[Figure]:
        floor = self._ormco("status", _practice(0))
        for words in (
            "status --summary --json",
            "status",
            "status --json",
            "audit --last 20",
            "audit --last 3000000 --json",
        ):
            ran = self._ormco(*words.split())
            yield Figure(name=f"ormco {words}", value=ran.seconds, unit="s", floor=floor.seconds)
            yield Figure(
                name="  largest memory", value=ran.peak, unit="MiB", floor=floor.peak, limit=floor.peak + 16
            )

    def _refreshes(self) -> Iterator[Figure]:
        wal, hot = self._wal(), self._updates()
        with TokenServer() as other:
            for server in (self._server, other):
                server.set(padding=_TOKEN_BYTES, latency=_LATENCY)
            # At the same time: a processor's speed may change within a minute.
            bare = [self._start_bare(f"{other.url}/token") for _ in range(_RUNS)]
            started = time.perf_counter()
            runs = [self._start("refresh", "--json") for _ in range(_RUNS)]
            ran = [_ended(run, started) for run in runs]
            floor = 1000 * sum(float(each.communicate()[0]) for each in bare) / self._due
        counts = self._server.counts()
        assert (counts["granted"], counts["reuses"]) == (self._due, 0)
        idle = sorted((self._refresh_one() for _ in range(_STARTS)), key=lambda one: one.cpu)[_STARTS // 2]
        seconds, done = max(one.seconds for one in ran), self._due
        yield Figure(
            name=f"refresh, {_RUNS} runs",
            value=done / seconds,
            unit="/s",
            limit=_AIM,
            at_least=True,
            floor=_RUNS * Pace().at_once / _LATENCY,
        )
        cpu = 1000 * sum(one.cpu - idle.cpu for one in ran) / done
        yield Figure(
            name="  processor time of 1,000", value=cpu, unit="s", floor=floor, limit=_MORE_THAN_BARE * floor
        )
        yield Figure(name="  largest memory", value=max(one.peak for one in ran), unit="MiB", floor=idle.peak)
        if not self._is_postgres:
            yield Figure(
                name="  written", value=sum(one.written for one in ran) / done / 1024, unit="KiB each"
            )
            return
        updates, in_place = (now - before for now, before in zip(self._updates(), hot, strict=True))
        yield Figure(name="  log written", value=(self._wal() - wal) / done / 1024, unit="KiB each")
        share = 100 * in_place / updates
        yield Figure(name="  updates in place (HOT)", value=share, unit="%", limit=95, at_least=True)
        yield Figure(name="  updates", value=updates / done, unit="each")

    def _rotation(self) -> Iterator[Figure]:
        ran = self._ormco("keys", "rotate", keys=f"{OTHER_KEY},{KEY}")
        yield Figure(name="ormco keys rotate", value=ran.seconds, unit="s")
        yield Figure(name="  largest memory", value=ran.peak, unit="MiB")

    def _start_bare(self, endpoint: str) -> subprocess.Popen[str]:
        """Start a bare program that makes as many token calls as a run, with as many threads."""
        words = [str(_BARE_CALLS), endpoint, str(Pace().at_once), str(self._due // _RUNS)]
        return subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)

    def _refresh_one(self) -> _Ran:
        """Run a refresh of one connection, which loads all that a refresh needs."""
        store = store_at(self._url)
        sql = f"UPDATE {TABLE} SET refreshed_at = refreshed_at - 3500, due_at = refreshed_at + 100"
        store.database.apply([(f"{sql} WHERE practice_id = ?", (_practice(0),))])
        store.close()
        return self._ormco("refresh", "--json")

    def _ormco(self, *words: str, keys: str = _KEYS) -> _Ran:
        started = time.perf_counter()
        return _ended(self._start(*words, keys=keys), started)

    def _start(self, *words: str, keys: str = _KEYS) -> subprocess.Popen[str]:
        settings = {
            "ORMCO_STORE": self._url,
            "ORMCO_STORE_KEYS": keys,
            "ORMCO_PROVIDER": str(self._provider),
            "ORMCO_CLIENT_ID": "bench",
            "ORMCO_CLIENT_SECRET": "made-up",
        }
        environment = {**os.environ, **settings}
        return subprocess.Popen(
            [sys.executable, "-c", _ORMCO, *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _bare(self, sql: str) -> float:
        """Return the seconds that a bare program's query takes."""
        if self._is_postgres:
            with psycopg.connect(self._url, autocommit=True) as db:
                return each(lambda: db.execute(sql.encode()).fetchall(), 20)
        plain = sqlite3.connect(self._url.removeprefix("sqlite:///"))
        seconds = each(lambda: plain.execute(sql).fetchall(), 20)
        plain.close()
        return seconds

    def _sql(self, sql: str) -> list[tuple[float, ...]]:
        with psycopg.connect(self._url, autocommit=True) as db:
            cursor = db.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def _wal(self) -> float:
        return float(self._sql("SELECT pg_current_wal_lsn() - '0/0'")[0][0]) if self._is_postgres else 0.0

    def _updates(self) -> tuple[float, ...]:
        if not self._is_postgres:
            return (0.0, 0.0)
        time.sleep(1.5)  # the server collects its statistics once a second
        return self._sql(
            f"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{TABLE}'"
        )[0]


def _ended(process: subprocess.Popen[str], started: float) -> _Ran:
    assert process.stderr is not None
    messages = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (process.args, process.returncode, messages)
    return _Ran(
        seconds=seconds,
        cpu=used.ru_utime + used.ru_stime,
        peak=int(messages.split()[-2]) / 1024,
        written=used.ru_oublock * 512.0,
    )


def _batches(numbers: range) -> Iterator[range]:
    return (numbers[first : first + _BATCH] for first in range(0, len(numbers), _BATCH))


def _practice(number: int) -> str:
    return f"practice-{number:06d}"


def _grant(store: Store, number: int, now: float, provider: str, is_due: bool) -> tuple[str, list[object]]:
    name, account = _practice(number), f"account-{number}"
    received = now - (3400 if is_due else number % 1500)
    bound = Bound(name, LIVE, 1, "connected", account, provider)
    ring, store_id = store.keys.ring(), store.database.store_id
    sealed = [
        ring.seal(text, sealed_data(store_id, bound, column))
        for text, column in (
            (f"at-{name}-0".ljust(_TOKEN_BYTES, "x"), "access_sealed"),
            (f"rt-{name}-0", "refresh_sealed"),
        )
    ]
    return _GRANT, [
        name, LIVE, number + 1, 1, "connected", received, received + 3600, received, received + 3600,
        received, 1, 1, provider, account, f"desk@{number}.test", f"Practice {number}", "americas",
        "openid", *sealed,
    ]  # fmt: skip
