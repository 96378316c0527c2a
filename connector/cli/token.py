"""`ormco token` and `ormco refresh`: print a valid access token; refresh all tokens that expire soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import (
    FiniteRange,
    config_from,
    open_connector,
    practice_argument,
    settings_options,
)
from connector.cli.output import emit, mark, say

if TYPE_CHECKING:
    from connector.config import Config
    from connector.connector import Connector
    from connector.refresh.tally import Done, RefreshSummary

__all__ = ["refresh", "token"]


@click.command(epilog='Example: curl -H "Authorization: Bearer $(ormco token practice-42)" …/api/users/me')
@practice_argument
@click.option(
    "--min-ttl",
    type=FiniteRange(0),
    default=60,
    metavar="SECONDS",
    help="Remaining lifetime that it must have (60), at most half of the whole.",
)
@settings_options
def token(practice: str, min_ttl: float, as_json: bool, **settings: Any) -> None:
    """Print an access token that is valid now, refreshed first if necessary."""
    from connector.clock import isoformat

    config = config_from(settings)
    access_token, expires_at = None if as_json else _stored(config, practice, min_ttl), None
    if access_token is None:
        with open_connector(config) as connector:
            access_token = connector.access_token(practice, min_ttl=min_ttl)
            connection = connector.status(practice)
        expires_at = isoformat(connection.expires_at)
        if connection.state == "degraded":
            say(f"Warning: {practice} is degraded: {connection.last_error}. This token is still valid.")
    emit({"access_token": access_token, "expires_at": expires_at}, access_token, as_json=as_json)


def _stored(config: Config, practice: str, min_ttl: float) -> str | None:
    """Return a stored token that needs no refresh, without loading the modules that a refresh needs."""
    from connector.clock import Clock
    from connector.store import open_database
    from connector.store.held_token import read_held
    from connector.store.store_keys import StoreKeys

    with closing(open_database(config.store_url, clock=Clock())) as database:
        held = read_held(database, StoreKeys(database, given=config.store_keys.reveal()), practice)
    return held.value if held is not None and held.lasts(min_ttl) else None


_KEYS = ("total", "refreshed", "skipped", "failed", "gave_up", "overdue", "at_once")
_FAILED = 5  # the exit status for an unavailable provider


@click.command(
    epilog="Example: ormco refresh --due-within 1800   (every ten minutes, on as many machines as you like)"
)
@click.option(
    "--due-within",
    type=FiniteRange(0),
    default=900,
    metavar="SECONDS",
    help="Refresh access tokens that expire within this time (900), in the second half of their life.",
)
@click.option(
    "--max-failed",
    type=FiniteRange(0, 1),
    default=0.1,
    metavar="SHARE",
    help="End with status 5 if a greater share of them failed (0.1).",
)
@click.option(
    "--at-once", type=click.IntRange(1, 64), default=16, metavar="N", help="Token calls at a time (16)."
)
@click.option(
    "--per-second", type=FiniteRange(0.1), default=50, metavar="N", help="Token calls a second (50)."
)
@settings_options
def refresh(
    due_within: float, max_failed: float, at_once: int, per_second: float, as_json: bool, **settings: Any
) -> None:
    """Refresh every connection whose access token expires soon.

    Several runs share the work without repeating any; the next run continues a stopped one.
    Connections that could not be refreshed are listed by `ormco status --needs-attention`.
    """
    from connector.refresh.rate_limit import Pace

    with open_connector(config_from(settings), must_exist=True) as connector:
        skews: list[float] = []
        connector.on_call(lambda call: skews.extend([call.clock_skew] if call.clock_skew is not None else []))
        summary = connector.refresh_due(
            within=due_within, pace=Pace(at_once=at_once, per_second=per_second), progress=_progress()
        )
        if summary.total:
            _say_clocks(connector, skews)
    payload = {name: getattr(summary, name) for name in _KEYS} | {"lag": round(summary.lag, 1)}
    emit(payload, _text(summary), as_json=as_json)
    _explain(summary, at_once)
    tried = summary.refreshed + summary.failed
    if summary.gave_up or summary.failed > max_failed * tried:
        click.get_current_context().exit(_FAILED)


def _explain(summary: RefreshSummary, at_once: int) -> None:
    """Print the problems of a run."""
    from connector.words import counted

    if summary.at_once < at_once:
        say(
            f"Only {counted(summary.at_once, 'token call')} at a time: this process may open no more files "
            "(`ulimit -n`)."
        )
    if summary.gave_up:
        say("Too many refreshes failed: the rest was left for the next run.")
    elif summary.overdue:
        say(
            f"The refreshes do not keep up: {counted(summary.overdue, 'access token')} had expired before "
            f"this run, the oldest for {summary.lag:.0f} s. Let another run share the work, start it more "
            "often, or raise --at-once and --per-second."
        )


def _say_clocks(connector: Connector, skews: Sequence[float]) -> None:
    """Report a wrong clock: with it, tokens may be refreshed too late, or be taken for expired."""
    from connector.doctor.check import clock_check

    checks = [check for check in connector.doctor(only={"store"}) if check.name == "store_clock"]
    if skews:
        checks.append(clock_check("clock", sorted(skews)[len(skews) // 2], "the provider's"))
    for check in checks:
        if check.cure:
            say(f"{mark(check.result.value)} {check.detail}. {check.cure}")


def _text(summary: RefreshSummary) -> str:
    if not summary.total:
        return "0 refreshed: nothing is due yet."
    text = f"{summary.refreshed} refreshed, {summary.failed} failed"
    return f"{text}, {summary.skipped} left to another run." if summary.skipped else f"{text}."


def _progress() -> Callable[[Done], None]:
    """Return a function that prints each failure, and every hundredth connection once, despite retries."""
    printed = 0

    def show(done: Done) -> None:
        nonlocal printed
        if done.error is not None:
            say(f"[{done.number}/{done.total}] {done.practice_id}: {done.error.message}")
        elif done.number > printed and (done.number % 100 == 0 or done.number == done.total):
            printed = done.number
            say(f"[{done.number}/{done.total}]")

    return show
