"""Yardsticks for our refreshes: minimal programs that do the same, or less."""

from __future__ import annotations

import fcntl
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import requests

__all__ = ["file_gate", "make_rows", "refresh", "row_lock"]


def refresh(session: requests.Session, url: str, refresh_token: str) -> str:
    """Refresh a token by a plain request, and return the new access token."""
    response = session.post(
        f"{url}/token",
        data={"grant_type": "refresh_token", "refresh_token": refresh_token},
        auth=("test", "made-up"),
        timeout=30,
    )
    return str(response.json()["access_token"])


def file_gate(line: Connection, folder: str, url: str, number: int) -> None:
    """Refresh one token behind one file lock; later processes read the first one's result."""
    session, result = requests.Session(), Path(folder, "token")
    with Path(folder, "lock").open("w") as lock:
        line.send("ready")
        line.recv()
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            result.write_text(refresh(session, url, "rt-p-0"))
        result.read_text()
        fcntl.flock(lock, fcntl.LOCK_UN)
    line.send({"errors": [], "at": time.monotonic()})


def make_rows(url: str, count: int) -> None:
    """Make a row for each process."""
    with psycopg.connect(url) as db:
        db.execute(b"CREATE TABLE tokens (id INTEGER PRIMARY KEY, token TEXT NOT NULL)")
        with db.cursor() as cursor:
            cursor.executemany(
                b"INSERT INTO tokens VALUES (%s, %s)",
                [(number, f"rt-p{number}-0") for number in range(count)],
            )


def row_lock(line: Connection, database: str, url: str, number: int) -> None:
    """Refresh the process's own token while its row is locked."""
    session = requests.Session()
    with psycopg.connect(database) as db:
        line.send("ready")
        line.recv()
        row = db.execute(b"SELECT token FROM tokens WHERE id = %s FOR UPDATE", (number,)).fetchone()
        assert row is not None
        token = refresh(session, url, row[0])
        db.execute(b"UPDATE tokens SET token = %s WHERE id = %s", (token, number))
        db.commit()
        line.send({"errors": [], "at": time.monotonic()})
