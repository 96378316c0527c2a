"""Tables on a terminal of any width, and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from connector.cli.table import table, table_lines

HEADINGS = ("PRACTICE", "STATE", "ACCOUNT", "LAB", "NEXT")
ROW = ("practice-7", "needs repair", "front.desk@maple-ortho.test", "-", "ormco repair practice-7")


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.mark.usefixtures("_terminal")
def test_a_table_is_aligned_on_a_terminal() -> None:
    """A terminal gets headings and columns, with nothing cut."""
    lines = table(("NAME", "STATE"), [("practice-42", "connected"), ("b", "revoked")]).splitlines()
    assert lines[0].find("STATE") - len("\x1b[1m") == lines[1].find("connected") == lines[2].find("revoked")


def test_a_table_is_tab_separated_in_a_pipe() -> None:
    """A pipe gets the cells alone, for cut and awk."""
    assert table(("NAME", "STATE"), [("practice-42", "connected")]) == "practice-42\tconnected"


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_wide_table_is_folded(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal, no command is broken, and a cell without content is left out."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = table(HEADINGS, [ROW]).replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[-1] == "    next ormco repair practice-7"
    assert not [line for line in lines if "lab" in line]


@pytest.mark.usefixtures("_terminal")
def test_a_table_that_fits_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal's own width decides."""
    monkeypatch.setenv("COLUMNS", "100")
    assert len(table(HEADINGS, [ROW]).splitlines()) == 2


@pytest.mark.usefixtures("_terminal")
def test_columns_are_counted_as_a_terminal_does() -> None:
    """East Asian characters take two columns, combining accents none."""
    _, wide, accented = table(("NAME", "STATE"), [("歯科", "ok"), ("e\u0301", "ok")]).splitlines()
    assert wide == "歯科  ok"
    assert accented == "e\u0301     ok"


def test_rows_are_printed_as_they_are_read() -> None:
    """A table of any length needs the memory of a row."""

    def rows() -> Iterator[tuple[str, ...]]:
        yield ("1",)
        raise AssertionError("read too far")

    assert next(table_lines(("NO",), rows())) == "1"
