"""The store of connections and their tokens: SQLite on one machine, PostgreSQL for many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import ExtraMissingError, SettingError
from connector.hints import install

if TYPE_CHECKING:
    from pathlib import Path

    from connector.clock import Clock
    from connector.store.database import Database
    from connector.store.store import Store

__all__ = ["open_database", "open_store"]


def open_store(
    url: str,
    *,
    keys: str | None,
    clock: Clock,
    actor: str = "",
    record_refreshes: bool = False,
    patience: float | None = None,
) -> Store:
    """Return the store at a URL; its first call opens or creates the database.

    Args:
        url: `sqlite:///path` (the path may be relative, or begin with `~` or a drive letter) or
            `postgresql://…`, with `?schema=NAME` if its tables are in their own schema.
        keys: the sealing keys in the form of ORMCO_STORE_KEYS, or None if it is not set.
        clock: returns the time.
        actor: the actor of the audit record's events.
        record_refreshes: whether the audit record also contains routine refreshes.
        patience: seconds after which a call gives up: by default 5 for a server, 30 for a file that other
            processes write to.

    Raises:
        connector.errors.SettingError: if the URL has another form.
        connector.errors.ExtraMissingError: if PostgreSQL's driver is not installed.
    """
    from connector.store.store import Store

    database = open_database(url, clock=clock, patience=patience)
    return Store(database, keys=keys, clock=clock, actor=actor, record_refreshes=record_refreshes)


def open_database(url: str, *, clock: Clock, patience: float | None = None) -> Database:
    """Return the database of a store, as `open_store` does."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from connector.store.sqlite import SqliteDatabase

        return SqliteDatabase(_path(rest[1:]), clock=clock, patience=patience)
    # SQLAlchemy's URLs also name the driver, as in postgresql+psycopg://.
    if separator and scheme.partition("+")[0] in ("postgresql", "postgres"):
        try:
            from connector.store.postgres import PostgresDatabase
            from connector.store.postgres_sessions import with_search_path
        except ImportError:
            raise ExtraMissingError(
                "PostgreSQL's driver is not installed", hint=install("postgres")
            ) from None
        return PostgresDatabase(with_search_path(f"postgresql://{rest}"), clock=clock, patience=patience)
    raise SettingError(
        f"the store's address begins with {scheme}://, which is not supported"
        if separator
        else "the store's address has no :// after its scheme",
        hint="Set ORMCO_STORE to sqlite:///path/of/a/file or postgresql://user@host/database.",
    )


def _path(text: str) -> Path:
    from pathlib import Path

    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, OSError) as exc:
        raise SettingError(f"the store's path cannot be found: {exc}", hint="Write the full path.") from None
