"""The architecture: which part may import which, and where each outside library is used."""

from __future__ import annotations

from pathlib import Path

from tests.support.source import imported_modules

PACKAGE = Path(__file__).parent.parent / "connector"

LAYERS = [
    {
        *("async_threads", "calls", "errors", "clock", "hints", "observers", "own_files"),
        *("own_folders", "process", "redact", "temporary_folder"),
    },
    {"redirect"},
    {"oauth", "connection", "config", "words"},
    {"store", "browser"},
    {"refresh"},
    {"authorized_session", "communicate", "httpx_auth", "resources"},
    {"consent"},
    {"revocation"},
    {"repair"},
    {"doctor"},
    {"connector"},
    {"aio", "web"},
    {"cli", "testing", "__init__", "__main__"},
]
# Parts for different external systems never import each other.
SEPARATE = {"store", "browser"}

# The only users of a library: parts of the package, or modules.
LIBRARY_USERS = {
    "requests_oauthlib": {"oauth"},
    "oauthlib": {"oauth"},
    "playwright": {"browser", "testing"},
    "sqlite3": {"store"},
    "psycopg": {"store"},
    "keyring": {"store"},
    "click": {"cli"},
    "flask": {"sandbox", "web"},
    "httpx": {"httpx_auth", "connector", "aio"},  # the last two for a return type
    "waitress": {"web"},
    "authlib": {"sandbox"},
}


def parts() -> list[tuple[str, Path]]:
    """Return every module with the name of its part: a top-level module or a package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        found.append((inside.parts[0] if len(inside.parts) > 1 else inside.stem, path))
    return found


def imported_parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported_modules(path) if name.startswith("connector.")}


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def test_each_part_imports_from_its_own_layer_or_below() -> None:
    """A module knows only modules of its own layer and of the layers below it; the sandbox knows none."""
    wrong = []
    for part, path in parts():
        names = imported_parts(path) - {part}
        if part == "sandbox":
            wrong += [f"{path} imports {name}" for name in names]
            continue
        allowed = {"sandbox"} if part in ("cli", "testing") else set()
        for name in names - allowed:
            if name not in set().union(*LAYERS):  # a public name, such as `from connector import Connector`
                name = "__init__"
            if layer(name) > layer(part) or {name, part} <= SEPARATE:
                wrong.append(f"{path} imports {name}")
    assert wrong == []


def test_each_outside_library_is_used_in_one_part() -> None:
    """A library for the outside world is imported in one part of the package only."""
    wrong = []
    for part, path in parts():
        for module in imported_modules(path):
            users = LIBRARY_USERS.get(module.split(".")[0])
            if users is not None and part not in users:
                wrong.append(f"{path} imports {module}")
    assert wrong == []
