"""A real PgBouncer in transaction mode, in front of this test run's PostgreSQL server."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

import pytest


class Pooler:
    """One PgBouncer in a folder of its own; clients share the few sessions that each database has."""

    def __init__(self, program: str, server: str, *, user: str | None, sessions: int = 3) -> None:
        self._program = program
        self._server = server
        self._user = user
        self._sessions = sessions
        self._folder = Path(tempfile.mkdtemp(prefix="ormco-pgb-", dir="/tmp"))

    def __enter__(self) -> Self:
        settings = {
            "unix_socket_dir": self._folder,
            "listen_port": 6432,
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": self._sessions,
            "max_client_conn": 500,
            "server_idle_timeout": 5,
            "ignore_startup_parameters": "extra_float_digits",
            "logfile": self._folder / "log",
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        database = f"[databases]\n* = host={self._server} user=ormco\n[pgbouncer]\n"
        config = self._folder / "pgbouncer.ini"
        config.write_text(database + "\n".join(lines) + "\n")
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._guard = self._guarded(config)
        ends = time.monotonic() + 30
        while not self._accepts():
            assert time.monotonic() < ends, "PgBouncer does not start"
            time.sleep(0.02)
        return self

    def _accepts(self) -> bool:
        # The socket exists before PgBouncer listens on it.
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._folder / ".s.PGSQL.6432")) == 0

    def __exit__(self, *_: object) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()

    def _guarded(self, config: Path) -> subprocess.Popen[bytes]:
        """Start PgBouncer under a shell that ends it and sweeps up once this process has ended."""
        run = '"$0" -q "$1" & cat >/dev/null; kill -9 $!; wait; rm -rf "$2"'
        command = ["sh", "-c", run, self._program, str(config), str(self._folder)]
        return subprocess.Popen(
            command, user=self._user, stdin=subprocess.PIPE, cwd="/", start_new_session=True
        )

    def url(self, server_url: str) -> str:
        """Return the URL of a server's database, through the pooler."""
        return f"{server_url.partition('?')[0]}?host={quote(str(self._folder), safe='')}&port=6432"


@lru_cache(maxsize=1)
def shared_pooler(socket_folder: str) -> Pooler:
    """Return this test run's pooler, started when it is first needed and stopped at the end.

    Without PgBouncer the test is skipped, loudly; in CI that is a failure.
    """
    program = shutil.which("pgbouncer") or next(iter(Path("/usr/sbin").glob("pgbouncer")), None)
    if program is None:
        why = "PgBouncer is not installed: apt-get install pgbouncer"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    user = "postgres" if os.getuid() == 0 else None
    pooler = Pooler(str(program), unquote(socket_folder), user=user)
    atexit.register(pooler.__exit__)
    return pooler.__enter__()
