"""`ormco token`, in a process of its own: the messages on stderr beside the token."""

from __future__ import annotations

import re

import pytest

from connector.errors import ProviderUnavailableError
from tests.support.commands import printed, run_alone
from tests.support.connecting import connect, opened
from tests.support.sandbox import RunningSandbox

PRACTICE = "practice-42"


@pytest.fixture
def env(env: dict[str, str], classic: RunningSandbox) -> dict[str, str]:
    """Settings with which the practice is connected, and degraded since its last refresh met an outage."""
    with opened(env) as connector:
        connect(connector, classic)
        classic.set_scenarios("outage")
        with pytest.raises(ProviderUnavailableError):
            connector.refresh(PRACTICE, force=True)
    return env


def test_token_of_a_degraded_connection(env: dict[str, str]) -> None:
    """A token that is still valid is printed, with one warning beside it."""
    result = run_alone(env, "token", PRACTICE)
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 1)
    assert result.stderr.startswith(f"Warning: {PRACTICE} is degraded: ")
    assert len(result.stderr.splitlines()) == 1


def test_errors_without_a_log(env: dict[str, str], classic: RunningSandbox) -> None:
    """A failure shows its error and hint; the log of the library is shown with `--verbose` only."""
    classic.set_scenarios()
    for verbose in ([], ["--verbose"]):
        url = printed(env, "begin", PRACTICE)["authorization_url"]
        denial = "https://ormco.com/?error=access_denied&" + re.findall(r"state=[^&]+", url)[0]
        result = run_alone(env, "complete", PRACTICE, *verbose, stdin=denial)
        logged = [line for line in result.stderr.splitlines() if "consent_denied" in line]
        assert result.returncode == 4
        assert bool(logged) is bool(verbose)
