"""A real PostgreSQL server of our own: started without any manual step, stopped and started at will."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    import psycopg

_USERS = ("postgres", "nobody")
_ROOM = 8 << 30


def find_binaries() -> Path | None:
    """Return the folder with initdb and postgres, or None."""
    candidates = [Path(found).resolve().parent for name in ("initdb",) if (found := shutil.which(name))]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates += sorted(Path("/opt/homebrew/opt").glob("postgresql*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


class PostgresServer:
    """One server on a Unix socket in a folder of its own; its commits are synced only if it is `durable`."""

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="ormco-pg-", dir="/tmp" if durable else _quick_folder()))
        self._data = self._folder / "data"
        self._durable = durable
        self._numbers = itertools.count(1)
        self._session: psycopg.Connection | None = None
        # PostgreSQL refuses to run as root.
        self._user = next(filter(_exists, _USERS)) if os.getuid() == 0 else None

    def __enter__(self) -> Self:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", self._data, "-U", "ormco", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self._folder}'",
            **dict.fromkeys(("autovacuum", "fsync", "full_page_writes"), "on" if self._durable else "off"),
            "max_wal_size": "1GB" if self._durable else "128MB",
            "max_connections": "300",  # the pooler keeps some connections for each of the tests' databases
            "log_min_messages": "fatal",
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        # The default since 15 writes a whole copy to the log, which takes twice as long and warms no cache.
        is_older = int((self._data / "PG_VERSION").read_text()) < 15
        self._copying = "" if is_older else "STRATEGY file_copy"
        self._guard = self._guarded()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()

    def start(self) -> None:
        """Start the server and wait until it responds."""
        log = self._folder / "log"
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "60", "start")

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return (self._data / "postmaster.pid").exists()

    def restore(self) -> None:
        """Start the server if it is stopped, and undo what `ALTER SYSTEM` has changed."""
        changes = self._data / "postgresql.auto.conf"
        if "=" in changes.read_text():
            self.stop()
            changes.write_text("")
        if not self.is_running:
            self.start()

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: "fast" ends all sessions, "immediate" is a crash."""
        if self.is_running:
            self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def freeze(self) -> None:
        """Stop all of the server's processes; requests to them get no response."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them continue."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            with suppress(ProcessLookupError):  # one that ended with its session
                os.kill(pid, number)

    def create_database(self, *, template: str = "template1") -> str:
        """Return the URL of a fresh database: empty, or a copy of one that nobody is connected to."""
        name = f"store_{os.getpid()}_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} {self._copying}")
        return self.url(name)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://ormco@/{database}?host={quote(str(self._folder), safe='')}"

    def sql(self, statement: str) -> None:
        """Run one statement in the session that is kept for this."""
        import psycopg

        for wait in (0.0, 0.2, 1.0, 5.0, None):
            try:
                if self._session is None or self._session.closed:
                    self._session = psycopg.connect(self.url(), autocommit=True)
                self._session.execute(statement.encode())
                return
            except psycopg.OperationalError:  # ended by a restart, or other sessions are still ending
                if wait is None:
                    raise
                time.sleep(wait)

    def _guarded(self) -> subprocess.Popen[bytes]:
        """Start a shell that stops the server and sweeps up once this process has ended."""
        sweep = 'cat >/dev/null; "$0/pg_ctl" -D "$1/data" -m immediate -w stop >/dev/null 2>&1; rm -rf "$1"'
        return subprocess.Popen(
            ["sh", "-c", sweep, self._binaries, self._folder],
            user=self._user,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _run(self, program: str, *args: str | Path) -> None:
        # Not the terminal's streams: the server would keep them open, and the caller would wait.
        with (self._folder / f"{program}.out").open("wb") as output:
            done = subprocess.run(
                [self._binaries / program, *args],
                user=self._user,
                cwd=self._folder,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            text = (self._folder / f"{program}.out").read_text("utf-8", "replace")
            raise RuntimeError(f"{program} failed: {text}")


def _quick_folder() -> str:
    """Return a folder in memory if all databases have room there: their files are made in half the time."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM and os.access(memory, os.W_OK)
    return str(memory) if has_room else "/tmp"


def _exists(user: str) -> bool:
    if sys.platform == "win32":
        return False
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@lru_cache(maxsize=1)
def shared_server() -> PostgresServer:
    """Return this test run's server, started when it is first needed and stopped at the end.

    Without PostgreSQL's programs the test is skipped, loudly; in CI that is a failure.
    """
    binaries = find_binaries()
    if binaries is None:
        why = "PostgreSQL is not installed: apt-get install postgresql (initdb and postgres are needed)"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    server = PostgresServer(binaries)
    atexit.register(server.__exit__)
    return server.__enter__()
