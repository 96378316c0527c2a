"""Sessions that live on the server: the browser holds a random id, and nothing that could be read or kept.

All worker processes share one SQLite file. An application with a database of its own keeps them there.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin

__all__ = ["ServerSession", "ServerSessions"]

_HOURS = 12 * 3600.0
_FREE_TRIES = 3
_LONGEST_PAUSE = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS sessions (digest TEXT PRIMARY KEY, content TEXT NOT NULL, ends_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS wrong_passwords (user TEXT PRIMARY KEY, tries INTEGER, next_at REAL NOT NULL);
"""


class ServerSession(dict[str, Any], SessionMixin):
    """What the server knows of one browser."""

    def __init__(self, number: str = "", content: dict[str, Any] | None = None) -> None:
        super().__init__(content or {})
        self.number = number
        self.before = (number, json.dumps(self))

    def start_anew(self) -> None:
        """Forget all, and get another id: nobody can have planted this one, or kept the old one."""
        self.clear()
        self.number = ""


class ServerSessions(SessionInterface):
    """Keeps sessions, and slows down whoever guesses passwords.

    Args:
        file: the SQLite file, which only this user can read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._open() as db:
            db.executescript(_TABLES)

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        """Return the session that a request belongs to, or a new one."""
        number = request.cookies.get(self.get_cookie_name(app), "")
        with self._open() as db:
            sql = "SELECT content FROM sessions WHERE digest = ? AND ends_at > ?"
            row = db.execute(sql, (_digest(number), time.time())).fetchone()
        return ServerSession(number, json.loads(row[0])) if row else ServerSession()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store a session under its id; an empty one ends."""
        assert isinstance(session, ServerSession)
        if session and not session.number:
            session.number = secrets.token_urlsafe(32)
        # Only what changed: another request of the same browser may be storing something just now.
        if (session.number, json.dumps(session)) == session.before:
            return
        name, now, before = self.get_cookie_name(app), time.time(), session.before[0]
        with self._open() as db:
            if before != session.number or not session:
                db.execute("DELETE FROM sessions WHERE digest = ?", (_digest(before),))
            db.execute("DELETE FROM sessions WHERE ends_at < ?", (now,))
            db.execute("DELETE FROM wrong_passwords WHERE next_at < ?", (now - _HOURS,))
            if session:
                values = (_digest(session.number), json.dumps(session), now + _HOURS)
                db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", values)
        options: dict[str, Any] = {
            "path": "/",
            "httponly": True,
            "samesite": self.get_cookie_samesite(app),
            "secure": self.get_cookie_secure(app),
        }
        if session:
            response.set_cookie(name, session.number, **options)
        elif before:
            response.delete_cookie(name, **options)

    def pause(self, user: str) -> float:
        """Return how many seconds a person has to wait before the next try to sign in."""
        with self._open() as db:
            row = db.execute("SELECT next_at FROM wrong_passwords WHERE user = ?", (user,)).fetchone()
        return max(0.0, row[0] - time.time()) if row else 0.0

    def note(self, user: str, *, right: bool) -> None:
        """Take down how a try to sign in ended; after some wrong ones the pauses double."""
        with self._open() as db:
            if right:
                db.execute("DELETE FROM wrong_passwords WHERE user = ?", (user,))
                return
            row = db.execute("SELECT tries FROM wrong_passwords WHERE user = ?", (user,)).fetchone()
            tries = row[0] + 1 if row else 1
            pause = min(2.0 ** (tries - _FREE_TRIES), _LONGEST_PAUSE) if tries >= _FREE_TRIES else 0.0
            values = (user, tries, time.time() + pause)
            db.execute("INSERT OR REPLACE INTO wrong_passwords VALUES (?, ?, ?)", values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._file, timeout=20)
        try:
            with db:
                yield db
        finally:
            db.close()


def _digest(number: str) -> str:
    # Who reads the file must not be able to use a session of it.
    return hashlib.sha256(number.encode("utf-8", "replace")).hexdigest()
