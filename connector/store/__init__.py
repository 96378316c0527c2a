"""Where connections and their tokens are kept: SQLite on one machine, PostgreSQL for many."""

from __future__ import annotations

from pathlib import Path

from connector.clock import Clock
from connector.errors import SettingError
from connector.store.access import Access
from connector.store.fence import FencedError
from connector.store.keys import new_key
from connector.store.locking import next_look
from connector.store.owner import this_process
from connector.store.store import Store

__all__ = ["Access", "FencedError", "Store", "new_key", "next_look", "open_store", "this_process"]


def open_store(url: str, *, keys: str | None, clock: Clock, actor: str = "") -> Store:
    """Return the store at a URL; nothing is opened or made before its first call.

    Args:
        url: `sqlite:///path`, where the path may be relative, begin with `~` or with a drive letter, or
            `postgresql://…`.
        keys: the sealing keys as ORMCO_STORE_KEYS has them, or None where it is not set.
        clock: the time.
        actor: who acts, for the audit record.

    Raises:
        connector.errors.SettingError: if it is no such URL.
        connector.errors.ExtraMissingError: if PostgreSQL's driver is not installed.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from connector.store.sqlite import SqliteDatabase

        return Store(SqliteDatabase(_path(rest[1:]), clock=clock), keys=keys, clock=clock, actor=actor)
    if separator and scheme in ("postgresql", "postgres"):
        from connector.store.postgres import PostgresDatabase

        return Store(PostgresDatabase(url, clock=clock), keys=keys, clock=clock, actor=actor)
    raise SettingError(
        f"the store's address begins with {scheme + '://' if separator else 'no scheme'}, which is not known",
        hint="Set ORMCO_STORE to sqlite:///path/of/a/file or postgresql://user@host/database.",
    )


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, OSError) as exc:
        raise SettingError(f"the store's path cannot be found: {exc}", hint="Write the path out.") from None
