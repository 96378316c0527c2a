"""Times as options: a date, a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

__all__ = ["Past", "When"]

_SPAN = re.compile(r"(\d{1,6})\s*(min|h|d|w)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FIRST_YEAR = 1900


class When(click.ParamType[datetime]):
    """A date, a time, or how long ago; without a zone it is UTC."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the text."""
        try:
            if span := _SPAN.fullmatch(str(value).strip()):
                time = datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
            else:
                time = datetime.fromisoformat(str(value).strip())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a date such as 2026-01-31 nor a span such as 7d, 12h or 30min.")
        if time.year < _FIRST_YEAR:
            self.fail(f"{value!r} is before {_FIRST_YEAR}.")
        return time if time.tzinfo else time.replace(tzinfo=UTC)


class Past(When):
    """A `When` that has passed: what begins in the future shows nothing for as long."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the text, and compare it with the clock."""
        time = super().convert(value, param, ctx)
        if time > datetime.now(UTC):
            self.fail(f"{value!r} is in the future.")
        return time
