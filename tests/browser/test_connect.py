"""`ormco connect` in a real browser, from nothing to a token."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import COMMAND, payload, printed, run
from tests.support.connecting import KEY, opened, settings
from tests.support.sandbox import RunningSandbox

CONNECT = ("connect", "practice-42", "--headless", "--json")


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


@pytest.mark.parametrize("sandbox", ["identity"], indirect=True)
def test_connect_makes_a_working_connection(sandbox: RunningSandbox, store_url: str) -> None:
    """One command signs in, allows access and stores a connection, whose token the provider takes."""
    env = env_of(sandbox, store_url)
    result = run(env, *CONNECT, "--no-lab")
    connection = payload(result)
    assert (result.exit_code, connection["state"]) == (0, "connected"), result.stderr
    assert result.stderr.count("✓") == 7
    shown = printed(env, "status", "practice-42")["connections"]
    assert [item["practice"] for item in shown] == ["practice-42"]
    token = printed(env, "token", "practice-42")
    assert token["expires_at"] == connection["expires_at"]
    assert sandbox.counters()["api:users/me"] == 1


@pytest.mark.usefixtures("one_browser")
def test_connect_again_is_repair(classic: RunningSandbox, store_url: str) -> None:
    """On a connected practice nothing is asked again."""
    env = env_of(classic, store_url)
    first, again = (run(env, *CONNECT, "--no-lab") for _ in range(2))
    assert first.exit_code == again.exit_code == 0
    assert "connected already: nothing is wrong" in again.stderr
    assert classic.counters()["consent_pages"] == 1


@pytest.mark.usefixtures("one_browser")
@pytest.mark.parametrize(
    ("scenario", "status", "kind"),
    [
        ("deny", 4, "consent_denied"),
        ("captive-portal", 5, "provider_unavailable"),
        ("empty-401", 3, "code_refused"),
    ],
)
def test_connect_reports_each_failure(
    classic: RunningSandbox, store_url: str, scenario: str, status: int, kind: str
) -> None:
    """Each failure has its own exit status, kind and hint, leaves no connection, and shows no success."""
    classic.set_scenarios(scenario)
    env = env_of(classic, store_url)
    result = run(env, *CONNECT, "--timeout", "60")
    error = payload(result)["error"]
    assert (result.exit_code, error["kind"]) == (status, kind), result.stderr
    assert error["hint"]
    assert ("was allowed" in result.stderr) == (scenario == "empty-401")
    assert printed(env, "status")["connections"] == []


@pytest.mark.usefixtures("one_browser")
@pytest.mark.parametrize("scenario", ["popup", "no-cancel", "slow"])
def test_connect_succeeds_despite_obstacles(classic: RunningSandbox, store_url: str, scenario: str) -> None:
    """A popup, a missing button and a slow server do not prevent the connection."""
    classic.control(slow_seconds=0.5)
    classic.set_scenarios(scenario)
    assert run(env_of(classic, store_url), *CONNECT).exit_code == 0


def test_headless_names_everything_that_is_missing(classic: RunningSandbox, store_url: str) -> None:
    """Client registration and credentials that are not set are listed in one error."""
    env = {"ORMCO_PROVIDER": classic.provider_file, "ORMCO_STORE": store_url}
    result = run(env, *CONNECT)
    assert result.exit_code == 10
    for name in ("CLIENT_ID", "CLIENT_SECRET", "3SHAPE_USERNAME", "3SHAPE_PASSWORD"):
        assert f"ORMCO_{name}" in str(payload(result)["error"])


@pytest.mark.usefixtures("one_browser")
def test_no_secret_reaches_a_log(
    sandbox: RunningSandbox, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With every logger at DEBUG, no secret is in a log record, in messages or in the audit record."""
    env = env_of(sandbox, store_url)
    caplog.set_level(logging.DEBUG)
    for name in ("requests_oauthlib", "requests_oauthlib.oauth2_session", "oauthlib", "urllib3"):
        caplog.set_level(logging.DEBUG, name)
    messages = run(env, *CONNECT, "--verbose").stderr
    token, audit = printed(env, "token", "practice-42"), printed(env, "audit")
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
    classic.control(slow_seconds=5)
    classic.set_scenarios("slow")  # so that the browser is busy for long enough
    temporary = tmp_path / "t"
    temporary.mkdir()
    env = dict(os.environ) | env_of(classic, store_url) | {"TMPDIR": str(temporary)}
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*COMMAND, *CONNECT], env=env, **streams) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("…"))
        process.send_signal(signal.SIGINT)
        messages = process.stderr.read()
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert list(temporary.iterdir()) == []
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(temporary) not in processes
    with opened(env) as connector:
        assert connector.open_requests("practice-42") == []
