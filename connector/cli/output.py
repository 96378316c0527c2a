"""What the commands print, and the one place where errors become words and exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from connector import errors
from connector.errors import ConnectorError

__all__ = [
    "EXIT_STATUSES",
    "INTERRUPTED",
    "Style",
    "emit",
    "emit_error",
    "exit_status",
    "report",
    "say",
    "table",
]

# The first class that fits decides.
EXIT_STATUSES: Sequence[tuple[type[ConnectorError], int]] = (
    (errors.AuthorizationResponseError, 3),
    (errors.ConsentDeniedError, 4),
    (errors.ProviderUnavailableError, 5),
    (errors.NotFoundError, 6),
    (errors.GrantError, 7),
    (errors.AccountMismatchError, 8),
    (errors.AccountUnconfirmedError, 8),
    (errors.StoreError, 9),
    (errors.ConfigurationError, 10),
)
UNEXPECTED = 1
INTERRUPTED = 130
_FACTS = ("length", "expected_length", "position")


class Style(NamedTuple):
    """How to speak to whoever called."""

    as_json: bool
    verbose: bool


def exit_status(error: BaseException) -> int:
    """Return the exit status that stands for an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return next((status for kind, status in EXIT_STATUSES if isinstance(error, kind)), UNEXPECTED)


def emit(payload: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a command's result on stdout.

    Args:
        payload: what `--json` prints, without "version".
        text: what a person reads; nothing is printed for an empty one.
        as_json: whether `--json` was given.
    """
    if as_json:
        import json  # most commands print words, and start without it

        click.echo(json.dumps({"version": 1, **payload}))
    elif text:
        click.echo(text)


def say(message: str = "") -> None:
    """Print a message for a person on stderr."""
    click.echo(message, err=True)


def report(error: BaseException, *, as_json: bool) -> int:
    """Print an error and its hint; return the exit status."""
    if isinstance(error, KeyboardInterrupt):
        kind, message, hint = "interrupted", "interrupted", ""
    elif isinstance(error, ConnectorError):
        kind, message, hint = error.kind, error.message, error.hint
    else:
        # The message of an error that nobody foresaw could hold anything.
        kind, message = "unexpected", f"something unexpected happened ({type(error).__name__})"
        hint = "Run it again with --verbose and report what it prints"
    say(f"{click.style('Error:', fg='red', bold=True)} {_sentence(message)}")
    if hint:
        say(f"{click.style('Hint:', bold=True)} {_sentence(hint)}")
    facts = {name: getattr(error, name) for name in _FACTS if hasattr(error, name)}
    emit_error(kind, message, hint=hint, as_json=as_json, **facts)
    return exit_status(error)


def emit_error(kind: str, message: str, *, as_json: bool, hint: str = "", **facts: object) -> None:
    """Print an error's JSON object on stdout."""
    if as_json:
        emit({"error": {"kind": kind, "message": message, "hint": hint, **facts}}, "", as_json=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns for a terminal, tab-separated without one; long cells are not cut."""
    if not sys.stdout.isatty():
        return "\n".join("\t".join(row) for row in rows)
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    ]
    return "\n".join([click.style(lines[0], bold=True), *lines[1:]])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
