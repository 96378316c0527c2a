"""What is installed: imports are declared, versions pinned and looked up, and the wheel works alone."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from contextlib import AbstractContextManager, redirect_stdout
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from hatchling.build import build_wheel
from packaging.requirements import Requirement
from twine.commands.check import check

from tests.support.source import imported_modules
from tests.support.web_server import PageHandler, serving

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"
# Tests have a home folder of their own; the packages that were installed are cached in the user's.
CACHED = dict(os.environ)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# The parts of the package that need an extra.
EXTRAS = {
    "browser": {"browser"},
    "sandbox": {"sandbox"},
    "testing": {"browser", "sandbox", "testing"},
    "store": {"keyring", "postgres"},
    "httpx_auth.py": {"httpx"},
    # For a return type, which only type checkers import.
    "connector.py": {"httpx"},
    "aio.py": {"httpx"},
    "web": {"web"},
    "temporary_folder.py": {"browser"},  # and "web", whose desk uses it too
}


def name_of(requirement: str) -> str:
    """The distribution that a requirement is for, in one spelling."""
    return re.split(r"[\[<>=;! ]", requirement)[0].lower().replace("_", "-")


def declared(part: str) -> set[str]:
    """The distributions that a part of the package may import: the dependencies and those of its extras."""
    texts = list(PROJECT["dependencies"])
    for extra in EXTRAS.get(part, ()):
        texts += PROJECT["optional-dependencies"][extra]
    return {name_of(text) for text in texts}


def test_every_import_is_declared() -> None:
    """No module relies on a library that only comes along with another one."""
    distributions = packages_distributions()
    missing = []
    for path in sorted((ROOT / "connector").rglob("*.py")):
        part = path.relative_to(ROOT / "connector").parts[0]
        imported = {module.partition(".")[0] for module in imported_modules(path)}
        for name in imported - sys.stdlib_module_names - {"connector"}:
            known = {found.lower().replace("_", "-") for found in distributions.get(name, [name])}
            if not known & declared(part):
                missing.append(f"{path.relative_to(ROOT)} imports {name}")
    assert missing == []


def pins(file: str) -> dict[str, str]:
    text = (SCRIPTS / file).read_text("utf-8")
    return dict(re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)", text))


def test_everything_that_is_installed_is_pinned_by_its_hash() -> None:
    """Every file that the installation fetches is known beforehand, uv and pip included."""
    lines = (SCRIPTS / "requirements.txt").read_text("utf-8").replace("\\\n", " ").splitlines()
    assert [line for line in lines if "--hash=sha256:" not in line] == []
    extras = PROJECT["optional-dependencies"].values()
    wanted = {name_of(text) for texts in (PROJECT["dependencies"], *extras) for text in texts}
    assert wanted - {"ormco-connector"} <= pins("requirements.txt").keys()


def test_servers_get_the_tested_versions() -> None:
    """The constraints for servers are the versions that were tested, and the bill of materials names them."""
    servers = pins("constraints.txt")
    assert servers.items() <= pins("requirements.txt").items()
    bill = json.loads(subprocess.run([SCRIPTS / "sbom"], capture_output=True, check=True).stdout)
    named = {found["name"]: found["version"] for found in bill["components"]}
    assert (bill["bomFormat"], named) == ("CycloneDX", servers)


class FakeAdvisories(PageHandler):
    """Knows an advisory of one version of one library."""

    known = ("requests", "2.33")
    pages = 1  # the advisory is on the last page

    def do_POST(self) -> None:  # noqa: N802 - of http.server
        asked = json.loads(self.form())["queries"]
        self._response({"results": [self._found(query) for query in asked]})

    def _found(self, query: dict[str, Any]) -> dict[str, Any]:
        if (query["package"]["name"], query["version"]) != self.known:
            return {}
        page = int(query.get("page_token", 1))
        if page == self.pages:
            return {"vulns": [{"id": "GHSA-made-up"}]}
        return {"next_page_token": f"{page + 1}"}

    def do_GET(self) -> None:  # noqa: N802 - of http.server
        self._response({"id": "GHSA-made-up", "aliases": ["CVE-1999-0001"]})

    def _response(self, body: object) -> None:
        self.respond(200, json.dumps(body))


def advisories(known: tuple[str, str], *, pages: int = 1) -> AbstractContextManager[str]:
    return serving(type("Known", (FakeAdvisories,), {"known": known, "pages": pages}))


def audit(url: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OSV_URL": url}
    return subprocess.run([SCRIPTS / "audit"], capture_output=True, text=True, env=env, check=False)


def test_an_advisory_of_an_allowed_version_is_found() -> None:
    """A lower bound or a pin with an advisory is named with it; without any the audit succeeds."""
    floor = next(text.partition(">=")[2] for text in PROJECT["dependencies"] if text.startswith("requests>="))
    for version in (floor, pins("requirements.txt")["requests"]):
        with advisories(("requests", version)) as url:
            found = audit(url)
        assert found.returncode == 1
        assert found.stderr == f"requests {version}: CVE-1999-0001 GHSA-made-up\n"
    with advisories(("requests", "1")) as url:
        assert audit(url).returncode == 0


def test_an_advisory_on_a_later_page_is_found() -> None:
    """The service answers in pages, of each version its own."""
    with advisories(("requests", pins("requirements.txt")["requests"]), pages=3) as url:
        assert audit(url).returncode == 1


@pytest.mark.parametrize("response", [b"{}", b"[]", b'{"results": [7]}', b'{"results": []}', b"null", None])
def test_an_audit_without_a_response_is_no_success(response: bytes | None) -> None:
    """An unexpected response of the service, or no network, causes no traceback, and is no success either."""
    handler = type(
        "Odd", (FakeAdvisories,), {"do_POST": lambda self: self._response(json.loads(response or b""))}
    )
    with serving(handler) as url:
        found = audit(url if response else "http://127.0.0.1:1")
    assert (found.returncode, "not looked up" in found.stderr) == (0, True)
    assert "Traceback" not in found.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution beside it, as a release is."""
    folder = tmp_path_factory.mktemp("dist")
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "-o", folder, ROOT]
    subprocess.run(command, capture_output=True, check=True)
    return next(folder.glob("*.whl"))


def test_the_distributions_are_well_formed(wheel: Path) -> None:
    """An index would take them: their metadata and the README render."""
    shown = io.StringIO()
    with redirect_stdout(shown):
        failed = check([str(path) for path in wheel.parent.iterdir()], strict=True)
    assert not failed, shown.getvalue()


def test_the_source_distribution_builds_the_same_wheel(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkout or from what is published, the wheel has the same files and the same metadata."""
    monkeypatch.chdir(ROOT)
    direct, published = zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path))), zipfile.ZipFile(wheel)
    assert sorted(direct.namelist()) == sorted(published.namelist())
    for name in direct.namelist():
        assert direct.read(name) == published.read(name), name


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    """Pages, styles and the marker for type checkers come along, and nothing beside the package."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "connector"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a checkout")
    present = {name for name in tracked.stdout.split() if (ROOT / name).exists()}
    assert present <= inside
    assert "connector/py.typed" in inside


def needed_by(requirements: list[str]) -> set[str]:
    """The distributions that requirements bring here, by what is installed of each."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and (name := name_of(requirement.name)) not in found:
            found.add(name)
            waiting += [Requirement(text) for text in requires(name) or ()]
    return found


def test_the_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment, with its dependencies and no extra, the command runs."""
    lines = (SCRIPTS / "requirements.txt").read_text("utf-8").replace("\\\n", " ").splitlines()
    wanted = needed_by(PROJECT["dependencies"])
    (tmp_path / "pins.txt").write_text("\n".join(line for line in lines if name_of(line) in wanted))
    venv.create(tmp_path / "env", with_pip=False)
    install: list[str | Path] = [
        Path(sys.executable).with_name("uv"),
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "-qp",
    ]
    steps: tuple[list[str | Path], ...] = (["--require-hashes", "-r", tmp_path / "pins.txt"], [wheel])
    for what in steps:
        done = subprocess.run([*install, tmp_path / "env", *what], capture_output=True, text=True, env=CACHED)
        if "from the cache" in done.stderr:
            pytest.skip("uv has not installed the dependencies here, so there is nothing to take them from")
        assert done.returncode == 0, done.stderr
    ormco = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "ormco"
    run = subprocess.run(
        [ormco, "code", "--json"], input="ormco.com/?code=9F2C41", capture_output=True, text=True
    )
    assert json.loads(run.stdout)["code"] == "9F2C41"
    said = subprocess.run([ormco, "--version"], capture_output=True, text=True).stdout
    assert said.strip() == f"ormco, version {PROJECT['version']}"


@pytest.mark.skipif(os.name == "nt", reason="a script for bash")
def test_an_installation_without_uv_reports_it_in_a_line(tmp_path: Path) -> None:
    """If uv cannot reach the index, pip installs the same packages, and nothing in red is shown."""
    for name in ("scripts/install", "scripts/requirements.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name, lines in (("uv", "echo error: invalid peer certificate >&2; exit 2"), ("python", 'echo "$@"')):
        (tmp_path / ".venv/bin" / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / ".venv/bin" / name).chmod(0o700)
    done = subprocess.run([tmp_path / "scripts/install"], capture_output=True, text=True, check=True)
    assert "installing with pip instead" in done.stderr
    assert "error" not in done.stderr
    assert "--require-hashes --only-binary :all: -r scripts/requirements.txt" in done.stdout
    assert "invalid peer certificate" in (tmp_path / ".venv/uv.log").read_text()
