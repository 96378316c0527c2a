"""The error tree."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import connector.errors
from connector.errors import (
    Action,
    ConnectorError,
    ProviderUnavailableError,
    StoreLockedError,
)


def classes() -> dict[str, type[ConnectorError]]:
    found = inspect.getmembers(connector.errors, inspect.isclass)
    return {name: kind for name, kind in found if issubclass(kind, ConnectorError)}


def test_the_drawn_tree_is_the_real_one() -> None:
    """The tree in the module's docstring names every class under its parent."""
    drawn, path = {}, {}
    for line in (connector.errors.__doc__ or "").splitlines():
        if found := re.match(r"[│├└─ ]*(\w+Error)(?: |$)", line):
            depth = found.start(1)
            path[depth] = found[1]
            parents = [path[d] for d in sorted(path) if d < depth]
            drawn[found[1]] = parents[-1] if parents else None
            path = {d: name for d, name in path.items() if d <= depth}
    real = {
        name: None if kind is ConnectorError else kind.__bases__[0].__name__
        for name, kind in classes().items()
    }
    assert drawn == real


def test_kind_is_the_class_in_snake_case() -> None:
    """JSON and the audit record name an error by its class."""
    assert StoreLockedError("busy").kind == "store_locked"


def test_every_error_says_what_a_program_can_do() -> None:
    """Each class has an action; a time to wait makes a wait of a retry, and one error may know better."""
    assert all(isinstance(kind.action, Action) for kind in classes().values())
    assert StoreLockedError("busy").action == "retry"
    assert StoreLockedError("busy", retry_after=3.0).action == "wait"
    error = ProviderUnavailableError("down", action=Action.FIX_SETTINGS, practice_id="practice-42")
    assert (error.action, error.practice_id, error.retry_after) == ("fix_settings", "practice-42", None)


# The parts whose texts only a person at a terminal or in a browser sees.
FOR_PEOPLE = {"cli", "doctor", "hints", "sandbox", "testing", "web"}


def hints() -> Iterator[tuple[Path, str]]:
    """Every text that is given as a hint outside the commands, with its module."""
    package = Path(connector.errors.__file__).parent
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).parts[0].removesuffix(".py")
        source = path.read_text("utf-8")
        if part in FOR_PEOPLE or "hint=" not in source:  # parsing takes long
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                for text in ast.walk(node.value):
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield path, text.value


def test_hints_are_in_library_words() -> None:
    """Programs read them, too: `connector/cli/status.py` adds the commands."""
    found = list(hints())
    assert len(found) > 20
    assert [each for each in found if re.search(r"\bormco [a-z]|(?<![\w-])--[a-z]", each[1])] == []
