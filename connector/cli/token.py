"""`ormco token`: a valid access token."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, open_connector, practice_argument, settings_options
from connector.cli.output import emit, say

if TYPE_CHECKING:
    from connector.config import Config

__all__ = ["token"]


@click.command(
    epilog='Example: curl -H "Authorization: Bearer $(ormco token practice-42)" …/api/users/me',
)
@practice_argument
@click.option(
    "--min-ttl",
    type=click.FloatRange(0),
    default=60,
    metavar="SECONDS",
    help="How long it has to live on (60), at most half of its life.",
)
@settings_options
def token(practice: str, min_ttl: float, as_json: bool, **settings: Any) -> None:
    """Print an access token that is valid now, refreshed first if need be."""
    from connector.clock import isoformat

    config = config_from(settings)
    access_token, expires_at = None if as_json else _stored(config, practice, min_ttl), None
    if access_token is None:
        with open_connector(config) as connector:
            access_token = connector.access_token(practice, min_ttl=min_ttl)
            connection = connector.status(practice)
        expires_at = isoformat(connection.expires_at)
        if connection.state == "degraded":
            say(f"Warning: {practice} is degraded: {connection.last_error}. This token is still good.")
    emit({"access_token": access_token, "expires_at": expires_at}, access_token, as_json=as_json)


def _stored(config: Config, practice: str, min_ttl: float) -> str | None:
    """Return a token with which nothing has to be done: to load what could be done takes longer than that."""
    from connector.clock import Clock
    from connector.store import open_database
    from connector.store.held_token import read_held
    from connector.store.lazy_database import LazyDatabase
    from connector.store.store_keys import StoreKeys

    clock = Clock()
    database = LazyDatabase(open_database(config.store_url, clock=clock), clock=clock)
    with closing(database):
        held = read_held(database, StoreKeys(database, given=config.store_keys.reveal()), practice)
    return held.value if held is not None and held.lasts(min_ttl) else None
