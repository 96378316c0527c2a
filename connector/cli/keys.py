"""`ormco keys`: the keys that the stored tokens are sealed with."""

from __future__ import annotations

from typing import Any

import click

from connector.cli.groups import SuggestingGroup
from connector.cli.options import config_from, open_connector, settings_options
from connector.cli.output import emit, say

__all__ = ["keys"]


@click.group(cls=SuggestingGroup)
def keys() -> None:
    """Make and change the keys that the stored tokens are sealed with."""


@keys.command(epilog="Example: ormco keys new > new.key", short_help="Print a fresh key.")
@settings_options
def new(as_json: bool, **_settings: Any) -> None:
    """Print a fresh key, for ORMCO_STORE_KEYS or its file. Nothing is stored."""
    from connector.store import new_key

    key = new_key()
    emit({"key": key}, key, as_json=as_json)


@keys.command(epilog="Example: ormco keys rotate", short_help="Seal everything with a new key.")
@settings_options
def rotate(as_json: bool, **settings: Any) -> None:
    """Seal everything in the store anew, while others go on reading and refreshing.

    With ORMCO_STORE_KEYS, in three deploys: add the new key last on every server; put it first on every
    server, then run this; take the old key out. A key that a server lacks is refused. With the keyring or
    the key file a fresh key is made and kept there. A run that was interrupted is finished by the next.
    """
    with open_connector(config_from(settings), must_exist=True) as connector:
        done = connector.rotate_keys(progress=lambda number: say(f"{number} values …"))
    emit({"resealed": done}, f"{done} values are sealed with the new key.", as_json=as_json)
