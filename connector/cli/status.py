"""`ormco status`: show the stored connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, open_connector, optional_practice, settings_options
from connector.cli.output import age, emit, emit_list, shown_time
from connector.cli.table import print_table

if TYPE_CHECKING:
    from connector.connection import Connection
    from connector.store.overview import StoreSummary

__all__ = ["status"]

_HEADINGS = ("PRACTICE", "STATE", "FOR", "ACCOUNT", "REGION", "TOKEN UNTIL", "LAB", "WHY", "NEXT")


@click.command(epilog="Example: ormco status --needs-attention")
@optional_practice
@click.option("--needs-attention", is_flag=True, help="Only those that somebody has to look after.")
@click.option("--summary", is_flag=True, help="Only how many there are in each state, for a monitor.")
@settings_options
def status(
    practice: str | None, needs_attention: bool, summary: bool, as_json: bool, **settings: Any
) -> None:
    """Show each connection: state, since when, why, account, and the command to run next.

    It contacts nobody and prints what is stored.
    """
    with open_connector(config_from(settings), must_exist=practice is None) as connector:
        if summary:
            _print_summary(connector.summary(), as_json=as_json)
            return
        if practice is not None:
            found: Iterable[Connection] = [connector.status(practice)]
        else:
            found = connector.connections(needs_attention=needs_attention)
        if as_json:
            from connector.cli.connection_format import as_json as connection_json

            emit_list("connections", map(connection_json, found))
            return
        from connector.clock import Clock

        nothing = "No connection needs attention." if needs_attention else "No connections."
        print_table(_HEADINGS, _rows(found, Clock().utc_now()), nothing=nothing)


def _print_summary(summary: StoreSummary, *, as_json: bool) -> None:
    from connector.words import counted

    payload = {
        "connections": sum(summary.states.values()),
        "states": summary.states,
        "needs_attention": summary.needs_attention,
        "unconfirmed": summary.unconfirmed,
        "overdue": summary.overdue,
        "lag": round(summary.lag, 1),
    }
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in summary.states.items())
    text = f"{counted(sum(summary.states.values()), 'connection')}: {states or 'none yet'}.\n"
    text += f"{counted(summary.needs_attention, '', 'need attention')}, "
    text += f"{counted(summary.unconfirmed, '', 'wait for their account')}.\n"
    text += f"{counted(summary.overdue, 'refresh', 'are overdue')}"
    text += f", the oldest for {summary.lag:.0f} s." if summary.overdue else "."
    emit(payload, text, as_json=as_json)


def _rows(found: Iterable[Connection], now: datetime) -> Iterator[tuple[str, ...]]:
    from connector.cli.connection_format import next_command
    from connector.words import why

    for connection in found:
        yield (
            connection.practice_id,
            connection.state.value,
            age(connection.since, now),
            str(connection.account or "-"),
            (connection.account and connection.account.region) or "-",
            shown_time(connection.expires_at),
            (connection.lab and connection.lab.state) or "-",
            why(connection) or "-",
            next_command(connection) or "-",
        )
