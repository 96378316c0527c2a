"""Tables: aligned on a terminal and folded to its width, tab-separated in a pipe."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import click

from connector.cli.output import terminal_columns, write

__all__ = ["print_table", "table", "table_lines"]

# Rows that decide the widths of the columns, so that any number of rows can be printed as they are read.
_SAMPLE = 256
_GAP = "  "
_INDENT = "    "
_NARROWEST = 20


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, nothing: str) -> None:
    """Print a table row by row as it is read, or a sentence if there are no rows."""
    line = None
    for line in table_lines(headings, rows):
        write(line)
    if line is None:
        write(nothing)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as text; see `table_lines`."""
    return "\n".join(table_lines(headings, rows))


def table_lines(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table while its rows are read.

    A terminal gets headings and columns; if they are wider than the terminal, each row becomes a short
    paragraph instead, with its cells named. No cell is cut. A pipe gets tab-separated cells without headings,
    for cut and awk. A cell "-" means that there is no value.
    """
    if not sys.stdout.isatty():
        yield from ("\t".join(row) for row in rows)
        return
    remaining = iter(rows)
    sample = list(islice(remaining, _SAMPLE))
    widths = [max(map(_width, column)) for column in zip(headings, *sample, strict=True)]
    columns = terminal_columns(sys.stdout)
    if sum(widths) + len(_GAP) * (len(widths) - 1) > columns:
        for row in chain(sample, remaining):
            yield _paragraph(headings, row, max(columns, _NARROWEST))
        return
    if sample:
        yield click.style(_aligned(headings, widths), bold=True)
    yield from (_aligned(row, widths) for row in chain(sample, remaining))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
    return _GAP.join(cells).rstrip()


def _paragraph(headings: Sequence[str], row: Sequence[str], columns: int) -> str:
    """Return a row as lines that are no wider than the terminal; a command gets its own line."""
    lines, used = [click.style(row[0], bold=True)], _width(row[0])
    for number, (heading, cell) in enumerate(zip(headings[1:], row[1:], strict=True)):
        if cell == "-":
            continue
        piece = cell if number == 0 else f"{heading.lower()} {cell}"
        if used + len(_GAP) + _width(piece) <= columns and heading != "NEXT":
            lines[-1] += _GAP + piece
            used += len(_GAP) + _width(piece)
        else:
            folded = textwrap.wrap(
                piece, columns - len(_INDENT), break_long_words=False, break_on_hyphens=False
            )
            lines += [_INDENT + part for part in folded]
            used = _width(lines[-1])
    return "\n".join(lines)


def _width(text: str) -> int:
    """Return how many columns a text takes on a terminal: East Asian characters take two, accents none."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width: int = wcswidth(text)
    return width if width >= 0 else len(text)
