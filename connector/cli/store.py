"""`ormco store` and `ormco keys`: move a store, bring its schema up to date, and change its keys."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from connector.cli import SuggestingGroup
from connector.cli.options import StoreUrl, config_from, open_connector, require_store, settings_options
from connector.cli.output import emit, say

__all__ = ["keys", "store"]

_EVERY = 5_000  # rows between two messages


@click.group(cls=SuggestingGroup)
def store() -> None:
    """Move a store to another database, and bring its schema up to date."""


@store.command(
    epilog="Example: ormco store copy sqlite:///connections.db postgresql://db.example/ormco",
    short_help="Copy everything to another database.",
)
@click.argument("source", metavar="FROM", type=StoreUrl())
@click.argument("target", metavar="TO", type=StoreUrl())
@settings_options
def copy(source: str, target: str, as_json: bool, **settings: Any) -> None:
    """Copy everything from one store to another: connections, requests, cursors, the audit record.

    Each row is compared afterwards. The same command finishes an interrupted copy. The source is not
    changed; use only one of the two from then on. A password is taken from the environment (PGPASSWORD) or
    from ~/.pgpass.
    """
    from connector.clock import Clock
    from connector.store import open_database, open_store
    from connector.store.copy import copy_store
    from connector.words import counted

    require_store(source)
    clock = Clock()
    keys = config_from(settings).store_keys.reveal()
    with (
        closing(open_database(source, clock=clock)) as old,
        closing(open_database(target, clock=clock)) as new,
        closing(open_store(target, keys=keys, clock=clock)) as copied,
    ):
        report = copy_store(old, new, progress=_print_progress)
        copied.check()
    rows = counted(sum(report.rows.values()), "row", "are copied")
    payload = {"rows": dict(report.rows), "written": report.written, "deleted": report.deleted}
    emit(payload, f"{rows}, and each is the same in both stores.", as_json=as_json)
    say("Now set ORMCO_STORE to the copy everywhere: a token that is refreshed from both stores is lost.")


@store.command(
    epilog="Example: ormco store upgrade --store postgresql://db.example/ormco",
    short_help="Bring the schema up to date.",
)
@settings_options
def upgrade(as_json: bool, **settings: Any) -> None:
    """Bring the store's schema up to date, ahead of a deploy, instead of at the first call after it."""
    with open_connector(config_from(settings), must_exist=True) as connector:
        version = connector.upgrade_store()
    emit({"schema_version": version}, f"The schema is up to date: version {version}.", as_json=as_json)


def _print_progress(table: str, done: int) -> None:
    if done % _EVERY == 0:
        say(f"{table.removeprefix('ormco_')}: {done} rows …")


@click.group(cls=SuggestingGroup)
def keys() -> None:
    """Create and rotate the keys that seal the stored tokens."""


@keys.command(epilog="Example: ormco keys new > new.key", short_help="Print a new key.")
@settings_options
def new(as_json: bool, **_settings: Any) -> None:
    """Print a new key, for ORMCO_STORE_KEYS or its file. Nothing is stored."""
    from connector.store.keys import new_key

    key = new_key()
    emit({"key": key}, key, as_json=as_json)


@keys.command(epilog="Example: ormco keys rotate", short_help="Seal everything with a new key.")
@settings_options
def rotate(as_json: bool, **settings: Any) -> None:
    """Seal everything in the store again, while other processes continue to read and refresh.

    With ORMCO_STORE_KEYS, in three deploys: add the new key last on every server; put it first on every
    server, then run this; remove the old key. A key that a server lacks is refused. With the keyring or
    the key file, a new key is created and kept there. The next run finishes an interrupted one.
    """
    from connector.words import counted

    with open_connector(config_from(settings), must_exist=True) as connector:
        done = connector.rotate_keys(progress=lambda number: say(f"{number} values …"))
    emit({"resealed": done}, f"{counted(done, 'value', 'are sealed')} with the new key.", as_json=as_json)
