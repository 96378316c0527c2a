"""`ormco doctor` as a person or a script runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from connector import Config, Connector
from connector.cli import ormco
from tests.support.connecting import connect, kill_grant, settings
from tests.support.sandbox import RunningSandbox


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def test_a_program_reads_the_checks(classic: RunningSandbox, store_url: str) -> None:
    """One JSON object with name, result, detail and cure of each check; warnings end with status 0."""
    env = settings(classic, store_url)
    with Connector.from_config(Config.from_env(env)) as connector:
        connect(connector, classic)
    result = CliRunner().invoke(ormco, ["doctor", "practice-42", "--json"], env=env)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == ["version", "checks"]
    assert all(list(check) == ["name", "result", "detail", "cure"] for check in found["checks"])
    assert {check["result"] for check in found["checks"]} == {"ok", "warning"}
    assert all(check["cure"] for check in found["checks"] if check["result"] != "ok")


def test_a_person_reads_marks_and_a_summary(classic: RunningSandbox, store_url: str) -> None:
    """A line for each check, its cure below, and a line that sums up."""
    classic.set_scenarios("error-page")
    result = CliRunner().invoke(ormco, ["doctor"], env=settings(classic, store_url))
    assert result.exit_code == 10
    lines = result.stdout.splitlines()
    number = next(index for index, line in enumerate(lines) if line.startswith("✗ client:"))
    assert "ORMCO_CLIENT_ID" in lines[number + 1]
    assert result.stderr.strip().endswith("1 failed.")


def test_the_first_failure_decides_the_status(classic: RunningSandbox, store_url: str) -> None:
    """A wrong key is store trouble, whatever else follows from it."""
    env = settings(classic, store_url)
    with Connector.from_config(Config.from_env(env)) as connector:
        connect(connector, classic)
    classic.set_scenarios("outage")
    result = CliRunner().invoke(ormco, ["doctor", "practice-42"], env=env | {"ORMCO_STORE_KEYS": "A" * 43})
    assert result.exit_code == 9


def test_cure_of_a_dead_grant_ends_with_the_command(classic: RunningSandbox, store_url: str) -> None:
    """A person can paste what helps."""
    env = settings(classic, store_url)
    with Connector.from_config(Config.from_env(env)) as connector:
        connect(connector, classic)
        kill_grant(connector, classic)
    result = CliRunner().invoke(ormco, ["doctor", "practice-42", "--json"], env=env)
    cures = {check["name"]: check["cure"] for check in json.loads(result.stdout)["checks"]}
    assert cures["connection"].endswith(" ormco repair practice-42")
