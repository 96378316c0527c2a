"""`ormco status`: what is known of the connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, open_connector, settings_options
from connector.cli.output import emit, table

if TYPE_CHECKING:
    from connector.connection import Connection

__all__ = ["status"]


@click.command(
    epilog="Example: ormco status --needs-attention",
)
@click.argument("practice", required=False)
@click.option("--needs-attention", is_flag=True, help="Only those that somebody has to look after.")
@settings_options
def status(practice: str | None, needs_attention: bool, as_json: bool, **settings: Any) -> None:
    """Show each connection: state, since when, why, account, and the command to run next.

    Asks nobody: it prints what is stored.
    """
    from connector.cli import connections

    with open_connector(config_from(settings)) as connector:
        found = [connector.status(practice)] if practice else list(connector.connections())
    if needs_attention:
        found = [connection for connection in found if connections.next_command(connection)]
    payload = {"connections": [connections.as_json(connection) for connection in found]}
    emit(payload, _text(found) if found else "No connections.", as_json=as_json)


def _text(found: list[Connection]) -> str:
    from connector.cli.connections import age, next_command
    from connector.clock import Clock, isoformat

    now = Clock().utc_now()
    rows = [
        (
            connection.practice_id,
            connection.state.value,
            age(connection.since, now),
            str(connection.account or "-"),
            (connection.account and connection.account.region) or "-",
            isoformat(connection.expires_at) or "-",
            (connection.lab and connection.lab.state) or "-",
            (connection.reason or "-").replace("_", " "),
            next_command(connection) or "-",
        )
        for connection in found
    ]
    return table(("PRACTICE", "STATE", "FOR", "ACCOUNT", "REGION", "TOKEN UNTIL", "LAB", "WHY", "NEXT"), rows)
