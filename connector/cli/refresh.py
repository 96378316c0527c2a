"""`ormco refresh`: refresh what is due, for a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, open_connector, settings_options
from connector.cli.output import emit, say

if TYPE_CHECKING:
    from connector.refresh.due import Done

__all__ = ["refresh"]


@click.command(
    epilog="Example: ormco refresh --due-within 1800   (every ten minutes, on as many machines as you like)",
)
@click.option(
    "--due-within",
    type=click.FloatRange(0),
    default=900,
    metavar="SECONDS",
    help="Refresh access tokens that end within this time (900).",
)
@click.option(
    "--at-once", type=click.IntRange(1, 64), default=8, metavar="N", help="Token calls at a time (8)."
)
@click.option(
    "--per-second", type=click.FloatRange(0.1), default=50, metavar="N", help="Token calls a second (50)."
)
@settings_options
def refresh(due_within: float, at_once: int, per_second: float, as_json: bool, **settings: Any) -> None:
    """Refresh every connection whose access token ends soon.

    Several runs share the work and do none of it twice; one that was stopped is continued by the next. What
    could not be refreshed shows in `ormco status --needs-attention`.
    """
    from connector.refresh.due import Pace

    with open_connector(config_from(settings)) as connector:
        summary = connector.refresh_due(
            within=due_within, pace=Pace(at_once=at_once, per_second=per_second), progress=_say
        )
    payload = {
        name: getattr(summary, name) for name in ("total", "refreshed", "skipped", "failed", "gave_up")
    }
    text = f"{summary.refreshed} refreshed, {summary.skipped} left to others, {summary.failed} failed."
    emit(payload, text, as_json=as_json)
    if summary.gave_up:
        say("The provider failed again and again, so the rest was left for the next run.")


def _say(done: Done) -> None:
    if done.error is not None:
        say(f"[{done.number}/{done.total}] {done.practice_id}: {done.error.message}")
    elif done.number % 100 == 0 or done.number == done.total:
        say(f"[{done.number}/{done.total}]")
