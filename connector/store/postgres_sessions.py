"""Open PostgreSQL sessions with deadlines, and translate the driver's errors."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from itertools import zip_longest
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from connector.clock import Deadline
from connector.errors import SettingError, StoreDamagedError, StoreError, StoreUnavailableError
from connector.store.database import NotUniqueError

__all__ = [
    "NO_SESSION",
    "address",
    "connect",
    "is_final",
    "open_pool",
    "session",
    "translate",
    "with_search_path",
]

NO_SESSION = (PoolTimeout, PoolClosed)

# Serialization failure, deadlock; too many connections; shutting down, crashed, starting up.
_AGAIN = {"40001", "40P01", "53300", "57P01", "57P02", "57P03", "57014"}
# A prepared statement is missing, exists already, or cannot be used any more: nothing was done, and a new
# session has no prepared statements.
_STALE = {"26000", "42P05", "0A000"}
_LOST_CLASS = "08"
_UNIQUE = "23505"
_MISSING = {"42P01", "42703"}  # no such table, no such column
# libpq has no error code for a failed connection attempt, only the server's text.
_PASSING = ("too many clients", "connection slots", "starting up", "shutting down", "recovery mode")
_FINAL = (
    "authentication failed",
    "does not exist",
    "pg_hba.conf",
    "no password supplied",
    "invalid",
    "does not support SSL",
    "certificate",
)
_TLS = ("SSL", "certificate")


class _Session(psycopg.Connection[Any]):
    """A session that waits for the server until a deadline at most."""

    deadline: Deadline | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server."""
        if self.deadline is not None:
            timeout = max(self.deadline.left, 0.001)
        try:
            return super().wait(gen, interval=interval, timeout=timeout)
        except psycopg.OperationalError as exc:
            if self.deadline is None or not self.deadline.passed or exc.sqlstate is not None:
                raise
            # Cancel the query, so that it does not succeed after this error.
            self._try_cancel(timeout=0.2)
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not respond in time") from None


def connect(url: str, seconds: float) -> psycopg.Connection[Any]:
    """Open a session; wait `seconds` for the server."""
    return _Session.connect(url, **_settings(url, seconds))


def open_pool(
    url: str, *, largest: int, check: Callable[[psycopg.Connection[Any]], None], connect: float
) -> ConnectionPool[Any]:
    """Return a pool of at most `largest` sessions, with its first one.

    `check` is called with each new session, and raises an error if it must not be used; `connect` is the
    number of seconds to wait for the server.
    """
    # The pool's log would quote the server's messages; the call that gets no session raises an error.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    pool = ConnectionPool[Any](
        url,
        connection_class=_Session,
        kwargs=_settings(url, connect),
        min_size=1,
        max_size=largest,
        max_idle=60.0,
        reconnect_timeout=5.0,
        configure=check,
        open=True,
    )
    pool.wait(connect)  # the first call would open a second session beside the one in progress
    return pool


@contextmanager
def session(pool: ConnectionPool[Any], deadline: Deadline) -> Iterator[Any]:
    """Take a session out of a pool; the deadline limits the wait for it and its calls."""
    db = pool.getconn(max(deadline.left, 0.01))
    db.deadline = deadline
    try:
        yield db
    except psycopg.Error as exc:
        if exc.sqlstate in _STALE:
            db.close()
        raise
    finally:
        db.deadline = None
        pool.putconn(db)  # ends an open transaction, and drops a lost session


def is_final(exc: psycopg.Error) -> bool:
    """Return whether another attempt cannot help."""
    if exc.sqlstate is not None:
        return exc.sqlstate not in _AGAIN | _STALE and not exc.sqlstate.startswith(_LOST_CLASS)
    if isinstance(exc, psycopg.ProgrammingError):
        return True
    text = str(exc)
    return any(words in text for words in _FINAL) and not any(words in text for words in _PASSING)


def translate(exc: psycopg.Error, url: str) -> StoreError | SettingError:
    """Return our error for one of the driver, whose text may quote the password of a malformed address."""
    if isinstance(exc, psycopg.ProgrammingError) and exc.sqlstate is None:
        return SettingError(
            "the store's PostgreSQL address cannot be read",
            hint="It has the form postgresql://user@host:5432/database; percent-encode special characters.",
        )
    where = f"the store in PostgreSQL at {address(url)}"
    if exc.sqlstate == _UNIQUE:
        return NotUniqueError(f"{where} has such a row already")
    if exc.sqlstate in _MISSING:
        return StoreDamagedError(
            f"{where} lacks a table ({exc.diag.message_primary})", hint="Restore the database from a backup."
        )
    words = exc.diag.message_primary or " ".join(str(exc).split())[:300]
    if isinstance(exc, NO_SESSION):
        words = "no session can be opened in time"
    hint = "Check that the server runs, that ORMCO_STORE names it, and that its user may write to it."
    if any(word in words for word in _TLS):
        hint = (
            "A remote server must have a verified certificate: add sslrootcert=PATH, the certificate of its "
            "authority, to ORMCO_STORE. To connect without one, add sslmode=require or sslmode=disable."
        )
    return StoreUnavailableError(f"{where} cannot be used: {words}", hint=hint)


def address(url: str) -> str:
    """Return the server and database of a URL, without user and password."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2] or "the default host"
    except ValueError:
        return "an address that cannot be read"
    return f"{host}{parts.path}"


def with_search_path(url: str) -> str:
    """Return a URL with `?schema=NAME` replaced by the libpq option for it."""
    address, _, query = url.partition("?")
    parts = [part.partition("=") for part in query.split("&") if part]
    names = [unquote(value) for key, _, value in parts if key == "schema"]
    if not names:
        return url
    if len(names) > 1 or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", names[0]):
        raise SettingError(
            "the schema in the store's address is not the name of one schema",
            hint="Write ?schema=NAME: letters, digits and underscores.",
        )
    given = [unquote(value) for key, _, value in parts if key == "options"]
    options = quote(" ".join([*given, f"-csearch_path={names[0]}"]), safe="")
    rest = [f"{key}={value}" for key, _, value in parts if key not in ("schema", "options")]
    return f"{address}?{'&'.join([*rest, f'options={options}'])}"


def _settings(url: str, seconds: float) -> dict[str, Any]:
    from connector.store.owners import this_process

    return {
        **_tls(url),
        "autocommit": True,
        "prepare_threshold": None,  # until it is known whether there is a pooler
        "connect_timeout": max(2, int(seconds)),
        "application_name": f"ormco {this_process()}"[:63],
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }


def _tls(url: str) -> dict[str, str]:
    """Return the settings that verify a remote server; none if the URL has an `sslmode`.

    libpq's default, "prefer", accepts any certificate, or none: an attacker in between would get the password
    and read every row.
    """
    said = conninfo_to_dict(url)
    if "sslmode" in said or all(_is_here(host) for host in _hosts(said)):
        return {}
    found = {"sslmode": "verify-full"}
    if (
        "sslrootcert" not in said
        and not os.environ.get("PGSSLROOTCERT")
        and not os.path.exists(os.path.expanduser(_OWN_ROOTS))
    ):
        found["sslrootcert"] = "system"
    return found


# libpq's default path of root certificates.
_OWN_ROOTS = "~/.postgresql/root.crt"


def _hosts(said: Mapping[str, Any]) -> list[str]:
    """Return the hosts that libpq would connect to; "" is the socket of this machine."""
    if said.get("service") or os.environ.get("PGSERVICE"):
        return ["a host that a file names"]
    names = str(said.get("host") or os.environ.get("PGHOST") or "").split(",")
    addresses = str(said.get("hostaddr") or os.environ.get("PGHOSTADDR") or "").split(",")
    # libpq prefers an address to the name at the same place of the list.
    return [address or name for name, address in zip_longest(names, addresses, fillvalue="")]


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost") or host.startswith(("/", "@"))
