"""`ormco refresh`: refresh what is due, for a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, open_connector, settings_options
from connector.cli.output import emit, mark, say

if TYPE_CHECKING:
    from connector.connector import Connector
    from connector.refresh.bulk import Done, RefreshSummary

__all__ = ["refresh"]

_KEYS = ("total", "refreshed", "skipped", "failed", "gave_up", "overdue")
_FAILED = 5  # as for a provider that is unavailable


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
    "--max-failed",
    type=click.FloatRange(0, 1),
    default=0.1,
    metavar="SHARE",
    help="End with status 5 if a greater share of them failed (0.1).",
)
@click.option(
    "--at-once", type=click.IntRange(1, 64), default=8, metavar="N", help="Token calls at a time (8)."
)
@click.option(
    "--per-second", type=click.FloatRange(0.1), default=50, metavar="N", help="Token calls a second (50)."
)
@settings_options
def refresh(
    due_within: float, max_failed: float, at_once: int, per_second: float, as_json: bool, **settings: Any
) -> None:
    """Refresh every connection whose access token ends soon.

    Several runs share the work and do none of it twice; one that was stopped is continued by the next. What
    could not be refreshed shows in `ormco status --needs-attention`.
    """
    from connector.refresh.bulk import Pace

    with open_connector(config_from(settings), must_exist=True) as connector:
        summary = connector.refresh_due(
            within=due_within, pace=Pace(at_once=at_once, per_second=per_second), progress=_say
        )
        if summary.failed:
            _say_clocks(connector)
    payload = {name: getattr(summary, name) for name in _KEYS}
    emit(payload, _text(summary), as_json=as_json)
    if summary.overdue and summary.refreshed:
        say(
            f"This run cannot keep up: {summary.overdue} access tokens have ended, the first "
            f"{summary.lag:.0f} s ago. Let another run share the work, or raise --at-once and --per-second."
        )
    if summary.gave_up:
        say("The provider failed again and again, so the rest was left for the next run.")
    tried = summary.refreshed + summary.failed
    if summary.gave_up or summary.failed > max_failed * tried:
        click.get_current_context().exit(_FAILED)


def _say_clocks(connector: Connector) -> None:
    """Say if a clock is wrong, which can be why refreshes fail."""
    for check in connector.doctor(only={"hosts", "store"}):
        if check.name in ("clock", "store_clock") and check.cure:
            say(f"{mark(check.result.value)} {check.detail}. {check.cure}")


def _text(summary: RefreshSummary) -> str:
    text = f"{summary.refreshed} refreshed, {summary.failed} failed"
    return f"{text}, {summary.skipped} not due yet or done by another run." if summary.skipped else f"{text}."


def _say(done: Done) -> None:
    if done.error is not None:
        say(f"[{done.number}/{done.total}] {done.practice_id}: {done.error.message}")
    elif done.number % 100 == 0 or done.number == done.total:
        say(f"[{done.number}/{done.total}]")
