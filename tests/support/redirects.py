"""The golden table of pastes, data/redirects.toml, as parameters of a test."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.codes import CODE, filled

_TABLE = tomllib.loads((Path(__file__).parent.parent / "data" / "redirects.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Row:
    """One paste and its expected result."""

    what: str
    text: str
    code: str = CODE
    layers: int | None = None
    state: str | None = None
    error: str = ""
    says: str = ""


def _rows(kind: str) -> list[Any]:
    values: list[dict[str, Any]] = [
        {key: filled(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in _TABLE[kind]
    ]
    rows = [Row(**row) for row in values]
    return [pytest.param(row, id=row.what) for row in rows]


ACCEPTED = _rows("accepted")
REFUSED = _rows("refused")
