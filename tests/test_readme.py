"""The README: every command and example in it does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from connector.cli import ormco
from connector.cli.exit_statuses import EXIT_STATUSES
from connector.oauth.presets import PRESETS
from connector.oauth.provider_file import read_provider_file
from tests.support.browsers import quick_browser
from tests.support.connecting import KEY
from tests.support.readme import CALLBACK
from tests.support.sandbox import RunningSandbox, running_sandbox

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# Commands in the README that other tests, or the test run itself, execute.
ELSEWHERE = {
    *("scripts/demo", "scripts/test", "scripts/install", "scripts/lint"),
    *("scripts/stress", "scripts/bench"),
}


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


@pytest.fixture
def sandbox(port_8042: int) -> Iterator[RunningSandbox]:
    """The sandbox at the address that `--provider sandbox` names."""
    with running_sandbox("classic", port=port_8042, redirect_uris=[CALLBACK]) as running:
        yield running


@pytest.fixture(autouse=True)
def browser() -> str:
    """A browser for the commands that need one."""
    return quick_browser()


def environment(sandbox: RunningSandbox, home: Path) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("ORMCO_")}
    return keep | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "ORMCO_BROWSER": quick_browser(),
        "ORMCO_PROVIDER": "sandbox",
        "ORMCO_STORE": f"sqlite:///{home}/connections.db",
        "ORMCO_STORE_KEYS": KEY,
        "ORMCO_3SHAPE_USERNAME": sandbox.practice.username,
        "ORMCO_3SHAPE_PASSWORD": sandbox.practice.password,
        "ORMCO_DIGITAL_URL": sandbox.ormcodigital_url,
        "ORMCO_DIGITAL_USERNAME": sandbox.practice.username,
        "ORMCO_DIGITAL_PASSWORD": sandbox.practice.password,
    }


def run(command: list[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)


def matches(shown: str, printed: str) -> bool:
    """Return whether the output is what the README shows; "…" there matches anything."""
    pattern = "".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", shown.strip()))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def test_the_console_examples_print_what_is_shown(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Every command of a console block succeeds and prints the lines below it."""
    env = environment(sandbox, tmp_path)
    for block in blocks("console"):
        for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n?)*)", block, re.MULTILINE):
            done = run(["bash", "-c", command], tmp_path, env)
            printed = done.stderr + done.stdout
            assert done.returncode == 0, f"{command}: {printed}"
            assert matches(shown, printed), f"{command} printed:\n{printed}"


@pytest.mark.parametrize("source", blocks("python"))
def test_the_python_examples_run(source: str, sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Every Python example runs unchanged, against the sandbox."""
    program = f"from tests.support.readme import *\n{source}\nuse(globals())"
    env = environment(sandbox, tmp_path) | {"PYTHONPATH": str(ROOT), "SECRET_KEY": "of the tests"}
    if "redirect URI" in source or "urlpatterns" in source:
        env["ORMCO_REDIRECT_URI"] = CALLBACK
    done = run([sys.executable, "-W", "error", "-c", program], tmp_path, env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", blocks("pytest"))
def test_the_test_examples_pass(source: str, tmp_path: Path, browser: str) -> None:
    """All tests shown pass in a project of their own."""
    (tmp_path / "test_it.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", str(tmp_path)]
    done = run(command, tmp_path, {**os.environ, "ORMCO_BROWSER": browser})
    assert done.returncode == 0, done.stdout
    assert f"{source.count('def test_')} passed" in done.stdout


@pytest.mark.parametrize("text", blocks("toml"))
def test_the_provider_files_can_be_read(text: str, tmp_path: Path) -> None:
    """Every provider file shown is one."""
    assert "provider" in tomllib.loads(text)
    (tmp_path / "provider.toml").write_text(text, encoding="utf-8")
    read_provider_file(str(tmp_path / "provider.toml"))


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    """At most 24,000 characters; each link to a heading or a file, and each path of a script, is there."""
    assert len(README) <= 24_000
    headings = {re.sub(r"[^a-z -]", "", line.lower()) for line in re.findall(r"^#+ (.+)$", README, re.M)}
    anchors = {heading.replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)\s]+)\)", README):
        is_there = target[1:] in anchors if target.startswith("#") else (ROOT / target).exists()
        assert is_there or "://" in target, target
    for path in re.findall(r"`((?:scripts|tests|connector)/[\w./-]+)", README):
        assert (ROOT / path).exists(), path


def test_ci_runs_what_the_readme_says() -> None:
    """The checks of a contributor are those of CI."""
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == "exec scripts/test"
    assert "`scripts/test` runs every check" in README


def test_the_shell_lines_are_real() -> None:
    """Each line of a shell block is a script of this repository or a command of ormco."""
    for block in blocks("sh"):
        for line in filter(None, block.splitlines()):
            word, *rest = line.split()
            if word == "ormco":
                assert ormco.get_command(click.Context(ormco), rest[0]) is not None, line
            else:
                assert (ROOT / word).exists(), line


def test_every_command_is_in_the_readme() -> None:
    """Each command of the group has its place in the table of commands."""
    for name in ormco.list_commands(click.Context(ormco)):
        assert f"`ormco {name}" in README, name


def test_every_setting_is_in_the_readme() -> None:
    """Each variable that the settings read is documented."""
    source = (ROOT / "connector" / "config.py").read_text("utf-8")
    for name in set(re.findall(r'(?:text|secret)\("(\w+)"\)', source)):
        assert f"ORMCO_{name}" in README, name


def test_every_exit_status_and_preset_is_in_the_readme() -> None:
    """The numbers and the names that scripts rely on are documented."""
    for _, status in EXIT_STATUSES:
        assert re.search(rf"^\| {status} \|", README, re.MULTILINE), status
    for name in PRESETS:
        assert f"`{name}`" in README, name
