"""`ormco token`: a valid access token."""

from __future__ import annotations

from typing import Any

import click

from connector.cli.options import config_from, open_connector, practice_argument, settings_options
from connector.cli.output import emit

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

    with open_connector(config_from(settings)) as connector:
        access_token = connector.access_token(practice, min_ttl=min_ttl)
        expires_at = isoformat(connector.status(practice).expires_at) if as_json else None
    emit({"access_token": access_token, "expires_at": expires_at}, access_token, as_json=as_json)
