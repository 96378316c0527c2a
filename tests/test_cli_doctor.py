"""`ormco doctor` as a person or a script runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector import Connector
from tests.support.commands import payload, run
from tests.support.connecting import connect, kill_grant
from tests.support.sandbox import RunningSandbox


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def test_a_program_reads_the_checks(
    connector: Connector, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """One JSON object with name, result, detail and cure of each check; warnings end with status 0."""
    connect(connector, classic)
    result = run(env, "doctor", "practice-42", "--json")
    assert result.exit_code == 0
    found = payload(result)
    assert list(found) == ["version", "checks"]
    assert all(list(check) == ["name", "result", "detail", "cure"] for check in found["checks"])
    assert {check["result"] for check in found["checks"]} == {"ok", "warning"}
    assert all(check["cure"] for check in found["checks"] if check["result"] != "ok")


def test_a_person_reads_marks_and_a_summary(classic: RunningSandbox, env: dict[str, str]) -> None:
    """A line for each check, its cure below, and a line that sums up."""
    classic.set_scenarios("error-page")
    result = run(env, "doctor")
    assert result.exit_code == 10
    lines = result.stdout.splitlines()
    number = next(index for index, line in enumerate(lines) if line.startswith("✗ client:"))
    assert "ORMCO_CLIENT_ID" in lines[number + 1]
    assert result.stderr.strip().endswith("1 failed.")


def test_the_first_failure_decides_the_status(
    connector: Connector, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """A wrong key is store trouble, whatever else follows from it."""
    connect(connector, classic)
    classic.set_scenarios("outage")
    result = run(env | {"ORMCO_STORE_KEYS": "A" * 43}, "doctor", "practice-42")
    assert result.exit_code == 9


def test_cure_of_a_dead_grant_ends_with_the_command(
    connector: Connector, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """The remedy can be pasted as a command."""
    connect(connector, classic)
    kill_grant(connector, classic)
    result = run(env, "doctor", "practice-42", "--json")
    cures = {check["name"]: check["cure"] for check in payload(result)["checks"]}
    assert cures["connection"].endswith(" ormco repair practice-42")
