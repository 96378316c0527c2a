"""`ormco token`, in a process of its own: what is on stderr beside the token."""

from __future__ import annotations

import json
import re

import pytest

from connector.errors import ProviderUnavailableError
from tests.support.commands import run_alone
from tests.support.connecting import connect, opened, settings
from tests.support.sandbox import RunningSandbox

PRACTICE = "practice-42"


@pytest.fixture
def env(sandbox: RunningSandbox, store_url: str) -> dict[str, str]:
    """Settings with which the practice is connected, and degraded since its last refresh met an outage."""
    env = settings(sandbox, store_url)
    with opened(env) as connector:
        connect(connector, sandbox)
        sandbox.set_scenarios("outage")
        with pytest.raises(ProviderUnavailableError):
            connector.refresh(PRACTICE, force=True)
    return env


def test_token_of_a_degraded_connection(env: dict[str, str]) -> None:
    """A token that is still good is printed, with one warning beside it."""
    result = run_alone(env, "token", PRACTICE)
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 1)
    assert result.stderr.startswith(f"Warning: {PRACTICE} is degraded: ")
    assert len(result.stderr.splitlines()) == 1


def test_errors_without_a_log(env: dict[str, str], sandbox: RunningSandbox) -> None:
    """A failure is its error and hint; what the library logs beside them is for `--verbose`."""
    sandbox.set_scenarios()
    for verbose in ([], ["--verbose"]):
        state = json.loads(run_alone(env, "begin", PRACTICE, "--json").stdout)["authorization_url"]
        denial = "https://ormco.com/?error=access_denied&" + re.findall(r"state=[^&]+", state)[0]
        result = run_alone(env, "complete", PRACTICE, *verbose, stdin=denial)
        logged = [line for line in result.stderr.splitlines() if "consent_denied" in line]
        assert result.returncode == 4
        assert bool(logged) is bool(verbose)
