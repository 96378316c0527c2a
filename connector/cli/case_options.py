"""Options that the commands on cases share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

__all__ = ["moment_option", "patient_option", "reading_options"]

Command = TypeVar("Command", bound=Callable[..., Any])

_SPAN = re.compile(r"(\d{1,6})\s*(min|h|d|w)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def reading_options(command: Command) -> Command:
    """Add what every command that reads cases takes: --all-cases and --region."""
    command = click.option(
        "--region", metavar="NAME", help="Where the cases are, if that cannot be found out."
    )(command)
    return click.option(
        "--all-cases", is_flag=True, help="Also cases without Ormco's lab among their actors."
    )(command)


def patient_option(command: Command) -> Command:
    """Add --show-patient."""
    return click.option(
        "--show-patient",
        is_flag=True,
        help="Show health data: names, order numbers, comments, attachment names.",
    )(command)


def moment_option(name: str, text: str) -> Callable[[Command], Command]:
    """Return an option for a date, a time, or how long ago; without a zone it is UTC."""
    return click.option(name, callback=_moment, metavar="WHEN", help=text)


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        if span := _SPAN.fullmatch(value.strip()):
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(value.strip())
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is neither a date such as 2026-01-31 nor a span such as 7d, 12h or 30min."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
