"""`ormco connect` in a real browser, from nothing to a token."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connector import Config, Connector
from connector.cli import ormco
from tests.support.connecting import KEY, settings
from tests.support.sandbox import RunningSandbox


@pytest.fixture(autouse=True)
def _a_browser(browser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder of the tests is empty, and some browsers live in the real one."""
    monkeypatch.setenv("ORMCO_BROWSER", browser)


def env_of(sandbox: RunningSandbox, store_url: str) -> dict[str, str]:
    credentials = {
        "ORMCO_3SHAPE_USERNAME": sandbox.practice.username,
        "ORMCO_3SHAPE_PASSWORD": sandbox.practice.password,
    }
    return settings(sandbox, store_url, **credentials)


def ormco_run(arguments: list[str], env: dict[str, str]) -> tuple[int, dict[str, Any], str]:
    """Run a command in this process; return its status, its JSON and its messages."""
    result = CliRunner().invoke(ormco, [*arguments, "--json"], env=env)
    return result.exit_code, json.loads(result.stdout), result.stderr


@pytest.mark.parametrize("sandbox", ["identity"], indirect=True)
def test_connect_makes_a_working_connection(sandbox: RunningSandbox, store_url: str) -> None:
    """One command signs in, allows access and stores a connection, whose token the provider takes."""
    env = env_of(sandbox, store_url)
    status, connection, messages = ormco_run(["connect", "practice-42", "--headless", "--no-lab"], env)
    assert (status, connection["state"]) == (0, "connected"), messages
    assert messages.count("✓") == 7
    status, shown, _ = ormco_run(["status", "practice-42"], env)
    assert [item["practice"] for item in shown["connections"]] == ["practice-42"]
    status, token, _ = ormco_run(["token", "practice-42"], env)
    assert status == 0
    assert token["expires_at"] == connection["expires_at"]
    assert sandbox.counters()["api:users/me"] == 1


@pytest.mark.usefixtures("one_browser")
def test_connect_again_is_repair(classic: RunningSandbox, store_url: str) -> None:
    """On a connected practice nothing is asked again."""
    env = env_of(classic, store_url)
    assert ormco_run(["connect", "practice-42", "--headless", "--no-lab"], env)[0] == 0
    status, _, messages = ormco_run(["connect", "practice-42", "--headless", "--no-lab"], env)
    assert status == 0
    assert "connected already: nothing is wrong" in messages
    assert classic.counters()["consent_pages"] == 1


@pytest.mark.usefixtures("one_browser")
def test_no_is_not_called_a_yes_on_the_way(classic: RunningSandbox, store_url: str) -> None:
    """After *Cancel*, no line of the checklist says that access was allowed."""
    classic.set_scenarios("deny")
    status, _, messages = ormco_run(
        ["connect", "practice-42", "--headless", "--no-lab"], env_of(classic, store_url)
    )
    assert status == 4
    assert messages.count("✓") == 3
    assert "was allowed" not in messages


@pytest.mark.usefixtures("one_browser")
@pytest.mark.parametrize(
    ("scenario", "status", "kind"),
    [
        ("deny", 4, "consent_denied"),
        ("captive-portal", 5, "provider_unavailable"),
        ("empty-401", 3, "code_refused"),
        ("page-changed", 10, "page_changed"),
    ],
)
def test_connect_ends_in_words(
    classic: RunningSandbox, store_url: str, scenario: str, status: int, kind: str
) -> None:
    """Each way to fail has its own exit status, kind and hint, and leaves no connection."""
    classic.set_scenarios(scenario)
    env = env_of(classic, store_url)
    code, answer, messages = ormco_run(["connect", "practice-42", "--headless", "--timeout", "60"], env)
    error = answer["error"]
    assert isinstance(error, dict)
    assert (code, error["kind"]) == (status, kind), messages
    assert error["hint"]
    assert ormco_run(["status"], env)[1]["connections"] == []


@pytest.mark.usefixtures("one_browser")
@pytest.mark.parametrize("scenario", ["popup", "redirect-chain", "landing-down", "no-cancel", "slow"])
def test_connect_manages(classic: RunningSandbox, store_url: str, scenario: str) -> None:
    """Popups, chains of redirects and slowness do not keep it from connecting."""
    classic.control(slow_seconds=0.5)
    classic.set_scenarios(scenario)
    assert ormco_run(["connect", "practice-42", "--headless"], env_of(classic, store_url))[0] == 0


def test_headless_names_everything_that_is_missing(classic: RunningSandbox, store_url: str) -> None:
    """Client registration and credentials that are not set are listed in one error."""
    env = {"ORMCO_PROVIDER": classic.provider_file, "ORMCO_STORE": store_url}
    status, answer, _ = ormco_run(["connect", "practice-42", "--headless"], env)
    assert status == 10
    for name in ("CLIENT_ID", "CLIENT_SECRET", "3SHAPE_USERNAME", "3SHAPE_PASSWORD"):
        assert f"ORMCO_{name}" in str(answer["error"])


@pytest.mark.usefixtures("one_browser")
def test_no_secret_reaches_a_log(
    sandbox: RunningSandbox, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With every logger at DEBUG, no secret is in a log record, in messages or in the audit record."""
    env = env_of(sandbox, store_url)
    caplog.set_level(logging.DEBUG)
    for name in ("requests_oauthlib", "requests_oauthlib.oauth2_session", "oauthlib", "urllib3"):
        caplog.set_level(logging.DEBUG, name)
    _, _, messages = ormco_run(["connect", "practice-42", "--headless", "--verbose"], env)
    _, token, _ = ormco_run(["token", "practice-42"], env)
    _, audit, _ = ormco_run(["audit"], env)
    secrets = [str(token["access_token"]), env["ORMCO_CLIENT_SECRET"], env["ORMCO_3SHAPE_PASSWORD"], KEY]
    everything = "\n".join(
        [messages, json.dumps(audit), *(record.getMessage() for record in caplog.records), caplog.text]
    )
    assert caplog.records
    for secret in secrets:
        assert secret not in everything
    assert "code=" not in everything


def test_ctrl_c_leaves_nothing_behind(classic: RunningSandbox, store_url: str, tmp_path: Path) -> None:
    """Interrupted while the browser is at work: status 130, no browser, no profile, no open request."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    env = dict(os.environ) | env_of(classic, store_url) | {"TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "connector", "connect", "practice-42", "--headless"]
    with subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("…"))
        process.send_signal(signal.SIGINT)
        messages = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert list(temporary.iterdir()) == []
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(temporary) not in processes
    with Connector.from_config(Config.from_env(env)) as connector:
        assert connector.open_requests("practice-42") == []
