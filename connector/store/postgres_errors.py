"""What PostgreSQL's errors mean here."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connector.errors import SettingError, StoreDamagedError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    import psycopg

__all__ = ["address", "is_final", "is_passing", "translate"]

# Serialization failure, deadlock; too many connections; shutting down, crashed, starting up.
_AGAIN = {"40001", "40P01", "53300", "57P01", "57P02", "57P03"}
_LOST = "08"
_MISSING = {"42P01", "42703"}  # no such table, no such column
# libpq gives no code for what happens before a session exists, only the server's words.
_PASSING = ("too many clients", "connection slots", "starting up", "shutting down", "recovery mode")
_FINAL = ("authentication failed", "does not exist", "pg_hba.conf", "no password supplied", "invalid")


def is_final(exc: psycopg.Error, *, connected: bool) -> bool:
    """Return whether trying again is of no use.

    Args:
        exc: what the driver raised.
        connected: whether the session it happened in goes on.
    """
    if exc.sqlstate is not None:
        return exc.sqlstate not in _AGAIN and not exc.sqlstate.startswith(_LOST)
    return connected or (any(words in str(exc) for words in _FINAL) and not is_passing(exc))


def is_passing(exc: psycopg.Error) -> bool:
    """Return whether the server is there and will have room in a moment."""
    return any(words in str(exc) for words in _PASSING)


def translate(exc: psycopg.Error, url: str) -> StoreError | SettingError:
    """Return the error of ours; the driver's own text may quote the password of a malformed address."""
    import psycopg

    if isinstance(exc, psycopg.ProgrammingError) and exc.sqlstate is None:
        return SettingError(
            "the store's PostgreSQL address cannot be read",
            hint="It has the form postgresql://user@host:5432/database; percent-encode special characters.",
        )
    where = f"the store in PostgreSQL at {address(url)}"
    if exc.sqlstate in _MISSING:
        return StoreDamagedError(
            f"{where} lacks a table ({exc.diag.message_primary})", hint="Restore the database from a backup."
        )
    words = exc.diag.message_primary or " ".join(str(exc).split())[:300]
    return StoreUnavailableError(
        f"{where} cannot be used: {words}",
        hint="Check that the server runs, that ORMCO_STORE names it, and that its user may write there.",
    )


def address(url: str) -> str:
    """Return which server and database a URL names, without user and password."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2] or "the default host"
    except ValueError:
        return "an address that cannot be read"
    return f"{host}{parts.path}"
