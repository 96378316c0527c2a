"""`ormco audit`: what was done, when, by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, open_connector, optional_practice, settings_options
from connector.cli.output import emit, shown_time
from connector.cli.table import table
from connector.clock import isoformat

if TYPE_CHECKING:
    from connector.connection import Event

__all__ = ["audit"]


@click.command(
    epilog="Example: ormco audit practice-42 --json",
)
@optional_practice
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="N", help="Only entries after this number."
)
@click.option(
    "--limit", type=click.IntRange(1), default=1000, metavar="N", help="How many at the most (1000)."
)
@settings_options
def audit(practice: str | None, after: int, limit: int, as_json: bool, **settings: Any) -> None:
    """Print the audit record, oldest first: consent, refresh, repair, revocation, keys; never a secret."""
    with open_connector(config_from(settings), must_exist=True) as connector:
        events = connector.events(after=after, practice_id=practice, limit=limit)
    payload = {"events": [_json(event) for event in events]}
    emit(payload, _text(events) if events else "Nothing yet.", as_json=as_json)


def _json(event: Event) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "at": isoformat(event.at),
        "kind": event.kind,
        "outcome": event.outcome,
        "practice": event.practice_id,
        "actor": event.actor,
        "state": event.state and event.state.value,
        "detail": dict(event.detail),
    }


def _text(events: list[Event]) -> str:
    rows = [
        (
            str(event.sequence),
            shown_time(event.at),
            event.practice_id or "-",
            event.kind,
            event.outcome,
            (event.state and event.state.value) or "-",
            event.actor,
            ", ".join(f"{name}={value}" for name, value in event.detail.items()) or "-",
        )
        for event in events
    ]
    return table(("NO", "WHEN", "PRACTICE", "WHAT", "OUTCOME", "STATE AFTER", "WHO", "DETAIL"), rows)
