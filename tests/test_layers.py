"""The architecture: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "connector"

LAYERS = [
    {"errors", "clock", "ormco", "redact", "answer_deadline"},
    {"authorization_code", "dotnetopenauth", "code_damage", "authorization_error", "pasted"},
    {"provider", "provider_file", "token_set"},
    {"authorization_request", "authorization_response", "connection", "config", "http"},
    {"id_token", "token_answer", "token_endpoint", "discovery", "store", "browser"},
    {"communicate", "resources"},
    {"refresh"},
    {"consent"},
    {"revocation"},
    {"repair"},
    {"doctor"},
    {"upkeep", "lifecycle"},
    {"cli", "testing", "__init__", "__main__"},
]
# The outside world: these never import each other.
DOORS = {"token_endpoint", "discovery", "store", "browser"}


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def parts() -> list[tuple[str, Path]]:
    """Every module with the name of the part it belongs to: a top-level module or a package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        found.append((inside.parts[0] if len(inside.parts) > 1 else inside.stem, path))
    return found


def imported(path: Path) -> set[str]:
    """The parts of this package that a module imports, at its top or inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "connector":
            deeper = node.module.split(".")[1:]
            names |= {deeper[0]} if deeper else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("connector.")}
    return names


@pytest.mark.parametrize(("part", "path"), parts(), ids=lambda value: getattr(value, "stem", value))
def test_a_module_imports_from_its_own_layer_or_below(part: str, path: Path) -> None:
    """A module knows only modules of its own layer and of those below it."""
    if part == "sandbox":
        assert imported(path) <= {"sandbox"}, "the sandbox is a stranger"
        return
    allowed = {"sandbox"} if part in ("cli", "testing") else set()
    for name in imported(path) - {part} - allowed:
        assert layer(name) <= layer(part), f"{path.name} imports {name}"
        assert not {name, part} <= DOORS, f"{path.name} imports {name}: the doors do not know each other"


ONE_DOOR = {
    "requests_oauthlib": {"token_endpoint"},
    "oauthlib": {"token_endpoint"},
    "playwright": {"browser", "testing"},
    "sqlite3": {"store"},
    "psycopg": {"store"},
    "keyring": {"store"},
    "click": {"cli"},
    "flask": {"sandbox"},
    "authlib": {"sandbox"},
}


@pytest.mark.parametrize(("part", "path"), parts(), ids=lambda value: getattr(value, "stem", value))
def test_each_outside_thing_has_one_door(part: str, path: Path) -> None:
    """A library for the outside world is imported in one part of the package only."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        modules = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for module in modules:
            doors = ONE_DOOR.get(module.split(".")[0])
            assert doors is None or part in doors, f"{path.name} imports {module}"
