"""The question about the account at a terminal: a response without state could be a stranger's."""

from __future__ import annotations

import os
import re
import sys

import pytest

from tests.support.commands import at_a_terminal, payload, printed, read_until, run
from tests.support.sandbox import RunningSandbox, SignIn

PRACTICE = "practice-42"
posix = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")


def stateless(sandbox: RunningSandbox, who: SignIn | None = None) -> str:
    response = sandbox.authorize(sandbox.authorization_url(), who=who)
    return re.sub("&?state=[^&]*", "", response)


@pytest.fixture(autouse=True)
def _begun(env: dict[str, str]) -> None:
    """A link to 3Shape is open."""
    assert run(env, "begin", PRACTICE).exit_code == 0


@posix
@pytest.mark.parametrize(("typed", "status"), [(b"y\n", 0), (b"n\n", 4)], ids=["yes", "no"])
def test_a_person_confirms_the_account(
    typed: bytes, status: int, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """The question names practice and account; a yes connects, a no leaves nothing."""
    with at_a_terminal(env, "complete", PRACTICE) as (program, terminal):
        read_until(program, b"The link is valid")
        os.write(terminal, f"{stateless(classic)}\n".encode())
        assert f"Connect {PRACTICE} as {classic.practice.username}?" in read_until(program, b"[y/N]")
        os.write(terminal, typed)
        assert program.wait(60) == status
    states = [item["state"] for item in printed(env, "status")["connections"]]
    assert states == (["connected"] if status == 0 else [])


@posix
def test_account_can_be_confirmed_later(classic: RunningSandbox, env: dict[str, str]) -> None:
    """Without a terminal the grant waits, and the hint names the command that asks."""
    waiting = run(env, "complete", PRACTICE, "--json", stdin=stateless(classic))
    assert (waiting.exit_code, payload(waiting)["error"]["kind"]) == (8, "account_unconfirmed")
    assert f"ormco repair {PRACTICE}" in waiting.stderr
    assert run(env, "token", PRACTICE).exit_code == 8
    with at_a_terminal(env, "repair", PRACTICE) as (program, terminal):
        read_until(program, b"[y/N]")
        os.write(terminal, b"y\n")
        assert program.wait(60) == 0
    assert run(env, "token", PRACTICE).exit_code == 0


@pytest.mark.parametrize("right", [True, False])
def test_the_expected_account_needs_no_terminal(
    right: bool, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """A program says beforehand whose account it has to be; another one's grant is given back."""
    who = classic.practice if right else classic.other_practice
    expected = ("--expect-account", classic.practice.username)
    done = run(env, "complete", PRACTICE, *expected, stdin=stateless(classic, who))
    assert done.exit_code == (0 if right else 8)
    assert run(env, "token", PRACTICE).exit_code == (0 if right else 6)
