"""Whose account is it? Asked at a terminal, where an answer without state could be anybody's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from connector.cli import ormco
from tests.support.connecting import settings
from tests.support.sandbox import RunningSandbox, SignIn, Visitor

PRACTICE = "practice-42"
posix = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")


def stateless(sandbox: RunningSandbox, who: SignIn | None = None) -> str:
    answer = Visitor(sandbox).authorize(sandbox.authorization_url(), who=who)
    return re.sub("&?state=[^&]*", "", answer)


def begun(sandbox: RunningSandbox, store_url: str) -> dict[str, str]:
    """Begin, and return the environment for what comes next."""
    env = settings(sandbox, store_url)
    assert CliRunner(env=env).invoke(ormco, ["begin", PRACTICE]).exit_code == 0
    return env


@contextmanager
def at_a_terminal(env: dict[str, str], *args: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the command with a terminal to answer on."""
    terminal, inside = os.openpty()
    command = [sys.executable, "-m", "connector", *args]
    with subprocess.Popen(
        command, env={**os.environ, **env}, stdin=inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        yield program, terminal
    os.close(terminal)
    os.close(inside)


def read_until(program: subprocess.Popen[bytes], words: bytes) -> str:
    assert program.stderr is not None
    shown = b""
    while words not in shown and (more := program.stderr.read1()):  # type: ignore[attr-defined]
        shown += more
    return shown.decode()


@posix
@pytest.mark.parametrize(("typed", "status"), [(b"y\n", 0), (b"n\n", 4)], ids=["yes", "no"])
def test_a_person_says_whose_it_is(
    typed: bytes, status: int, classic: RunningSandbox, store_url: str
) -> None:
    """The question names practice and account; a yes connects, a no leaves nothing."""
    env = begun(classic, store_url)
    with at_a_terminal(env, "complete", PRACTICE) as (program, terminal):
        read_until(program, b"The link is good")
        os.write(terminal, f"{stateless(classic)}\n".encode())
        assert f"Connect {PRACTICE} as {classic.practice.username}?" in read_until(program, b"[y/N]")
        os.write(terminal, typed)
        assert program.wait(60) == status
    found = CliRunner(env=env).invoke(ormco, ["status", "--json"])
    states = [item["state"] for item in json.loads(found.stdout)["connections"]]
    assert states == (["connected"] if status == 0 else [])


@posix
def test_it_can_be_answered_later(classic: RunningSandbox, store_url: str) -> None:
    """Without a terminal the grant waits, and the hint names the command that asks."""
    env = begun(classic, store_url)
    waiting = CliRunner(env=env).invoke(ormco, ["complete", PRACTICE, "--json"], input=stateless(classic))
    assert (waiting.exit_code, json.loads(waiting.stdout)["error"]["kind"]) == (8, "account_unconfirmed")
    assert f"ormco repair {PRACTICE}" in waiting.stderr
    assert CliRunner(env=env).invoke(ormco, ["token", PRACTICE]).exit_code == 8
    with at_a_terminal(env, "repair", PRACTICE) as (program, terminal):
        read_until(program, b"[y/N]")
        os.write(terminal, b"y\n")
        assert program.wait(60) == 0
    assert CliRunner(env=env).invoke(ormco, ["token", PRACTICE]).exit_code == 0


@pytest.mark.parametrize("right", [True, False])
def test_the_expected_account_needs_no_terminal(right: bool, classic: RunningSandbox, store_url: str) -> None:
    """A program says beforehand whose account it has to be; another one's grant is given back."""
    env, who = begun(classic, store_url), classic.practice if right else classic.other_practice
    args = ["complete", PRACTICE, "--expect-account", classic.practice.username]
    done = CliRunner(env=env).invoke(ormco, args, input=stateless(classic, who))
    assert done.exit_code == (0 if right else 8)
    assert CliRunner(env=env).invoke(ormco, ["token", PRACTICE]).exit_code == (0 if right else 6)
