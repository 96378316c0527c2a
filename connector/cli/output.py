"""Print results on stdout and messages on stderr."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TextIO

import click

from connector.cli.exit_statuses import exit_status
from connector.errors import ConnectorError

__all__ = [
    "OutputOptions",
    "age",
    "color",
    "emit",
    "emit_list",
    "error_json",
    "fold",
    "mark",
    "printable",
    "report",
    "say",
    "shown_time",
    "terminal_columns",
    "write",
]

_COLUMNS = 80  # if a terminal does not report its width
# Not compiled at import: that takes a tenth of the run time of `ormco token`, which uses no pattern.
# A command extends to the end of its sentence: a name or an address in it may contain a dot.
_COMMAND = r"\bormco [a-z](?:[^.;)]|\.(?=\S))*| *\bexport [A-Z].*"
_NO_BREAK = "\0"
_REPORT_IT = "Run it again with --verbose and report its output"
_FACTS = ("length", "expected_length", "position")
# If the terminal cannot show a sign, the stream replaces it by ASCII characters (see `streams`).
_MARKS = {
    "ok": ("✓", "green"),
    "failed": ("✗", "red"),
    "warning": ("!", "yellow"),
    "waiting": ("…", "yellow"),
    "found": ("→", "cyan"),
}
# Colours; then the C0 and C1 controls except tabs and new lines, and characters that reverse or break a line.
_CONTROLS = (
    r"(\x1b\[(?:0|1|3[0-7]|9[0-7])m)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


class OutputOptions(NamedTuple):
    """Output options that every command takes."""

    as_json: bool = False
    verbose: bool = False
    utc: bool = False


def color() -> bool | None:
    """Return False if colours are not wanted (no-color.org, or a terminal without them), else None.

    Evaluated for each message, not once: threads other than the command's have no click context.
    """
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def mark(kind: str) -> str:
    """Return the sign in front of a line: "ok", "failed", "warning", "waiting" or "found"."""
    sign, colour = _MARKS[kind]
    return click.style(sign, fg=colour)


def printable(text: str) -> str:
    """Return text without control sequences: untrusted text may come from a database.

    Colours stay, also in untrusted text, because they do no harm.
    """
    return re.sub(_CONTROLS, lambda found: found[1] or " ", text)


def write(
    text: str, *, err: bool = False, newline: bool = True, over: bool = False, folded: bool = False
) -> None:
    """Print text on stdout or stderr.

    Args:
        text: the text; its control sequences are removed.
        err: print on stderr.
        newline: end the line.
        over: overwrite the current line.
        folded: fold long lines at a terminal.
    """
    stream = sys.stderr if err else sys.stdout
    if folded and text and stream.isatty():
        text = fold(text, terminal_columns(stream))
    if not text.isprintable():
        text = printable(text)
    # Pass the stream: by default click takes ASCII for a misconfigured locale, and writes UTF-8 anyway.
    click.echo(f"\r{text}" if over else text, file=stream, nl=newline, color=color())


def emit(payload: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a command's result on stdout.

    Args:
        payload: the JSON object for `--json`, without "version".
        text: the text for a person; nothing is printed if it is empty.
        as_json: whether `--json` was given.
    """
    if as_json:
        import json  # most commands print text, and start faster without it

        write(json.dumps({"version": 1, **payload}))
    elif text:
        write(text, folded=True)


def emit_list(name: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Print the JSON object of a result that is a list, item by item: there may be 100,000."""
    import json

    separator = f'{{"version": 1, "{name}": ['
    for item in items:
        write(separator + json.dumps(item), newline=False)
        separator = ", "
    write("]}" if separator == ", " else f"{separator}]}}")


def say(message: str = "") -> None:
    """Print a message for a person on stderr."""
    write(message, err=True, folded=True)


def fold(text: str, width: int) -> str:
    """Return text with its lines folded between words; commands are left whole.

    If a command were broken into two lines, only half of it would run when it is pasted.
    """
    import textwrap

    lines = []
    for line in text.split("\n"):
        kept = re.sub(_COMMAND, lambda command: command[0].replace(" ", _NO_BREAK), line)
        indent = " " * (len(line) - len(line.lstrip()))
        folded = textwrap.wrap(
            kept, width, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
        )
        lines += folded or [""]
    return "\n".join(lines).replace(_NO_BREAK, " ")


def terminal_columns(stream: TextIO) -> int:
    """Return the width of a stream's terminal, in columns."""
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns) or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def report(error: BaseException, *, as_json: bool) -> int:
    """Print an error and its hint; return the exit status."""
    words = error_json(error)
    say(f"{click.style('Error:', fg='red', bold=True)} {_sentence(words['message'])}")
    if words["hint"]:
        say(f"{click.style('Hint:', bold=True)} {_sentence(words['hint'])}")
    facts = {name: getattr(error, name) for name in _FACTS if hasattr(error, name)}
    if as_json:
        emit({"error": {**words, **facts}}, "", as_json=True)
    return exit_status(error)


def error_json(error: BaseException) -> dict[str, str]:
    """Return an error's kind, message and hint."""
    if isinstance(error, KeyboardInterrupt):
        return {"kind": "interrupted", "message": "interrupted", "hint": ""}
    if isinstance(error, ConnectorError):
        return {"kind": error.kind, "message": error.message, "hint": error.hint}
    # The message of an unexpected error could contain anything, even a secret.
    what = f"something unexpected happened ({type(error).__name__})"
    return {"kind": "unexpected", "message": what, "hint": _REPORT_IT}


def shown_time(timestamp: datetime | None, *, err: bool = False) -> str:
    """Return a time for a person: local, with its zone; in a pipe or with --utc in ISO 8601 UTC.

    Args:
        timestamp: an aware datetime; "-" is returned for None.
        err: whether the time is printed on stderr.
    """
    from connector.clock import isoformat

    if timestamp is None:
        return "-"
    context = click.get_current_context(silent=True)
    options = context.find_root().obj if context else None
    stream = sys.stderr if err else sys.stdout
    if (isinstance(options, OutputOptions) and options.utc) or not stream.isatty():
        return isoformat(timestamp) or "-"
    local = timestamp.astimezone()
    # Windows has names such as "W. Europe Standard Time".
    zone = local.strftime("%Z") if len(local.strftime("%Z")) <= 5 else local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} {zone}"


def age(since: datetime | None, now: datetime) -> str:
    """Return the time between two datetimes in its largest unit, such as "3 d"; "-" for an unknown one."""
    if since is None:
        return "-"
    seconds = int((now - since).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"


def _sentence(text: str) -> str:
    # No full stop after a command: it would be pasted with it.
    whole = text.endswith((".", "?", "!")) or re.search(r": ormco [a-z][^.]*(\.\S+)*$", text)
    return text if whole else f"{text}."
