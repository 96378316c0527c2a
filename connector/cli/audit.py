"""`ormco audit`: show the audit record, and delete its old entries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from connector.cli import SuggestingGroup
from connector.cli.options import PAST, config_from, open_connector, optional_practice, settings_options
from connector.cli.output import emit, emit_list, shown_time
from connector.cli.revoke import ask, yes_option
from connector.cli.table import print_table
from connector.clock import isoformat

if TYPE_CHECKING:
    from connector.connection import Event
    from connector.connector import Connector

__all__ = ["audit"]

_HEADINGS = ("NO", "WHEN", "PRACTICE", "WHAT", "OUTCOME", "STATE AFTER", "WHO", "DETAIL")
_PAGE = 1000


class _AuditGroup(SuggestingGroup):
    """`audit PRACTICE` is `audit show PRACTICE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Treat an argument that is not a command as a practice."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_AuditGroup, epilog="Example: ormco audit practice-42 --last 20   (options: ormco audit show --help)"
)
def audit() -> None:
    """Show each action with its time and actor: consent, repair, revocation, keys; never a secret."""


@audit.command(
    epilog="Example: ormco audit practice-42 --last 20   (in full: ormco audit show practice-42 --last 20)",
    short_help="Print the audit record, the newest last.",
)
@optional_practice
@click.option("--last", type=click.IntRange(1), metavar="N", help="The last N entries (1000).")
@click.option(
    "--since",
    type=PAST,
    metavar="WHEN",
    help="Only entries from this time on: 2026-01-31, 7d, 12h, 30min.",
)
@click.option("--after", type=click.IntRange(0), metavar="NO", help="Only entries after this number.")
@settings_options
def show(
    practice: str | None,
    last: int | None,
    since: datetime | None,
    after: int | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Print the audit record, the newest last. Routine refreshes are counted, but not recorded."""
    with open_connector(config_from(settings), must_exist=True) as connector:
        if since is None and after is None:
            events = _last(connector, practice, last or _PAGE)
        else:
            events = _all(connector, practice, since, after or 0)
            events = iter(deque(events, maxlen=last)) if last else events
        if as_json:
            emit_list("events", map(_json, events))
        else:
            print_table(_HEADINGS, map(_row, events), nothing="Nothing yet.")


@audit.command(
    epilog="Example: ormco audit prune --before 730d --yes",
    short_help="Delete old entries; the deletion is recorded.",
)
@click.option(
    "--before",
    type=PAST,
    required=True,
    metavar="WHEN",
    help="Delete the entries before this time: 2024-01-31, 730d.",
)
@yes_option
@settings_options
def prune(before: datetime, yes: bool, as_json: bool, **settings: Any) -> None:
    """Delete the entries before a time from the audit record; a new entry records the actor."""
    with open_connector(config_from(settings), must_exist=True) as connector:
        ask(f"Delete all entries before {shown_time(before, err=True)}?", yes=yes)
        deleted = connector.prune_events(before)
    payload = {"before": isoformat(before), "deleted": deleted}
    emit(payload, f"{deleted} entries were deleted.", as_json=as_json)


def _last(connector: Connector, practice: str | None, count: int) -> Iterator[Event]:
    """Yield the last events, page by page if the whole record has to be read."""
    if practice is None and count > _PAGE:
        newest = connector.events(last=True, limit=1)
        start = newest[0].sequence - count if newest else 0
        yield from _all(connector, None, None, max(0, start))
    else:
        yield from connector.events(practice_id=practice, last=True, limit=count)


def _all(connector: Connector, practice: str | None, since: datetime | None, after: int) -> Iterator[Event]:
    """Yield events page by page: there may be millions."""
    while page := connector.events(after=after, practice_id=practice, since=since, limit=_PAGE):
        yield from page
        after = page[-1].sequence


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


def _row(event: Event) -> tuple[str, ...]:
    return (
        str(event.sequence),
        shown_time(event.at),
        event.practice_id or "-",
        event.kind,
        event.outcome,
        (event.state and event.state.value) or "-",
        event.actor,
        ", ".join(f"{name}={value}" for name, value in event.detail.items()) or "-",
    )
