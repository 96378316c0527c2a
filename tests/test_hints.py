"""Command lines in messages can be pasted, and the named extras can be installed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import connector
from connector.hints import install, ormco_command

PACKAGE = Path(str(connector.__file__)).parent


def sources() -> list[tuple[str, str]]:
    found = [(path.relative_to(PACKAGE), path) for path in sorted(PACKAGE.rglob("*.py"))]
    return [(str(name), path.read_text("utf-8")) for name, path in found]


@pytest.mark.parametrize(
    "practice", ["practice-42", "a; rm -rf x", "it's", "$(x)", "-x", "Zahn Ärzte", "lab:europe"]
)
def test_a_practice_id_is_one_word_of_the_shell(practice: str) -> None:
    """Any practice id in a hint is one word of the shell."""
    words = shlex.split(ormco_command("repair", practice, "--paste"))
    assert words[0] == "ormco"
    assert practice in words
    assert ("--" in words) is practice.startswith("-")


def test_no_message_has_a_practice_id_unquoted() -> None:
    """Every command line with something filled in is made by `ormco_command`."""
    unquoted = re.compile(r"ormco (?:[a-z-]+ )+\{")
    assert [name for name, text in sources() if name != "hints.py" and unquoted.search(text)] == []


def test_no_hint_names_an_index_that_does_not_have_the_package() -> None:
    """Extras are installed from the folder or the wheel; the package is on no index."""
    assert [name for name, text in sources() if "pip install 'ormco" in text] == []
    assert "pip install '.[browser]'" in install("browser")
