"""`ormco repair`, `reconnect`, `revoke` and `forget` as a person or a script runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from connector import ConnectionState, Connector
from tests.support.applications import PageVisitor
from tests.support.commands import COMMAND, CONNECTION_KEYS, at_a_terminal, payload, read_until, run
from tests.support.connecting import connect, kill_grant, opened
from tests.support.sandbox import RunningSandbox

PRACTICE = "practice-42"
on_identity = pytest.mark.parametrize("sandbox", ["identity"], indirect=True)
on_both = pytest.mark.parametrize("sandbox", ["classic", "identity"], indirect=True)


@pytest.fixture(params=["classic"])
def sandbox(request: pytest.FixtureRequest) -> RunningSandbox:
    """The classic sandbox, unless a test depends on the generation."""
    found: RunningSandbox = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def connector(env: dict[str, str], sandbox: RunningSandbox) -> Iterator[Connector]:
    """A connector in whose store the practice is connected."""
    with opened(env) as connector:
        connect(connector, sandbox)
        yield connector


class Program:
    """`ormco` in a process of its own, which a test talks to."""

    def __init__(self, env: dict[str, str], *args: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *args],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def link(self) -> str:
        """Wait for the link that the program prints on stderr beside JSON."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"http://\S+(client_id)\S+", line):
                return found[0]
        raise AssertionError("no link was printed")

    def paste(self, text: str) -> tuple[int, dict[str, Any]]:
        stdout, _ = self.process.communicate(text, timeout=120)
        return self.process.returncode, json.loads(stdout)


def test_repair_says_that_nothing_is_wrong(connector: Connector, env: dict[str, str]) -> None:
    """A connection in order is left alone, with status 0."""
    result = run(env, "repair", PRACTICE, "--json")
    assert result.exit_code == 0
    assert list(payload(result)) == ["version", *CONNECTION_KEYS, "found", "step"]
    assert (payload(result)["found"], payload(result)["step"]) == ("nothing is wrong", "none")
    assert "Found: nothing is wrong" in result.stderr


def test_repair_asks_for_consent_by_paste(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """A dead grant is mended with a link and a paste, if there is no browser."""
    kill_grant(connector, sandbox)
    program = Program(env, "repair", PRACTICE, "--paste", "--json")
    status, found = program.paste(sandbox.authorize(program.link()))
    assert status == 0
    assert (found["state"], found["step"]) == ("connected", "consent")


def test_repair_refuses_another_account(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """Status 8 and both accounts by name; `--allow-account-change` is the way to mean it."""
    kill_grant(connector, sandbox)
    program = Program(env, "repair", PRACTICE, "--paste", "--json")
    response = sandbox.authorize(program.link(), who=sandbox.other_practice)
    status, found = program.paste(response)
    assert (status, found["error"]["kind"]) == (8, "account_mismatch")
    for account in (sandbox.practice.username, sandbox.other_practice.username):
        assert account in found["error"]["message"]
    program = Program(env, "repair", PRACTICE, "--paste", "--json", "--allow-account-change")
    status, found = program.paste(sandbox.authorize(program.link(), who=sandbox.other_practice))
    assert (status, found["account"]["email"]) == (0, sandbox.other_practice.username)


@pytest.mark.parametrize(
    ("command", "practice", "status", "kind", "hint"),
    [
        *(
            (command, "practice-0", 6, "connection_not_found", "ormco connect practice-0")
            for command in ("repair", "revoke", "reconnect", "forget", "token")
        ),
        *((command, PRACTICE, 2, "usage", "--yes") for command in ("revoke", "reconnect", "forget")),
    ],
)
def test_a_slip_of_the_pen_changes_nothing(
    connector: Connector, env: dict[str, str], command: str, practice: str, status: int, kind: str, hint: str
) -> None:
    """An unknown practice is an error with a hint; what cuts something off needs --yes in a script."""
    result = run(env, command, practice, "--json")
    assert (result.exit_code, payload(result)["error"]["kind"]) == (status, kind)
    assert hint in result.stderr
    assert connector.status(PRACTICE).state is ConnectionState.CONNECTED


@on_both
def test_revoke_names_the_consequences(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """Beforehand: the account, the practice, and on classic everything that uses the same entry."""
    result = run(env, "revoke", PRACTICE)
    assert sandbox.practice.username in result.stderr
    assert PRACTICE in result.stderr
    assert ("OrmcoDigital" in result.stderr) == (sandbox.generation == "classic")


@on_identity
def test_revoke_reports_each_part(connector: Connector, env: dict[str, str]) -> None:
    """The result says that the grant was revoked, proved dead and wiped, and until when a token lives."""
    expires_at = connector.status(PRACTICE).expires_at
    assert expires_at is not None
    result = run(env, "revoke", PRACTICE, "--yes", "--json")
    assert result.exit_code == 0
    assert payload(result) == {
        "version": 1,
        "practice": PRACTICE,
        "provider_revoked": True,
        "method": "endpoint",
        "proved": True,
        "wiped": True,
        "access_token_until": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    assert result.stderr.count("✓") == 4
    again = run(env, "revoke", PRACTICE, "--json")
    assert (again.exit_code, payload(again)["method"]) == (0, "already_gone")


def test_revoke_by_hand(connector: Connector, classic: RunningSandbox, env: dict[str, str]) -> None:
    """Without browser and terminal: the steps in words, status 7; `--confirm-done` proves it afterwards."""
    result = run(env, "revoke", PRACTICE, "--paste", "--yes", "--json")
    error = payload(result)["error"]
    assert (result.exit_code, error["kind"]) == (7, "grant_still_honoured")
    then = f"ormco revoke {PRACTICE} --confirm-done"
    for words in (classic.applications_page, "square icon next to Ormco", then):
        assert words in error["hint"]
    too_early = run(env, "revoke", PRACTICE, "--confirm-done", "--json")
    assert (too_early.exit_code, payload(too_early)["error"]["kind"]) == (7, "grant_still_honoured")
    shown = payload(run(env, "status", PRACTICE, "--json"))["connections"][0]
    assert (shown["state"], shown["reason"]) == ("revoking", "revocation_unproved")
    refused = run(env, "begin", PRACTICE)
    assert (refused.exit_code, refused.stderr.endswith(f"Next: ormco revoke {PRACTICE}\n")) == (7, True)
    PageVisitor(classic)(classic.applications_page, account=None)
    done = run(env, "revoke", PRACTICE, "--confirm-done", "--json")
    assert done.exit_code == 0
    assert (payload(done)["method"], payload(done)["proved"]) == ("by_hand", True)


def test_headless_credentials_are_asked_for_at_once(connector: Connector, env: dict[str, str]) -> None:
    """Settings that --headless lacks are named before anything is cut off."""
    result = run(env, "revoke", PRACTICE, "--headless", "--yes", "--json")
    assert result.exit_code == 10
    assert "ORMCO_3SHAPE_USERNAME" in result.stderr
    assert connector.status(PRACTICE).state is ConnectionState.CONNECTED


def test_an_outage_keeps_the_tokens(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """Status 5, the tokens kept, and the same command goes on afterwards."""
    sandbox.set_scenarios("rate-limited")
    result = run(env, "revoke", PRACTICE, "--confirm-done", "--json")
    assert result.exit_code == 5
    assert f"ormco revoke {PRACTICE}" in payload(result)["error"]["hint"]
    assert connector.status(PRACTICE).state is ConnectionState.REVOKING
    sandbox.set_scenarios("revoked")
    result = run(env, "revoke", PRACTICE, "--yes")
    assert result.exit_code == 0, result.output


@on_identity
def test_reconnect_by_paste(connector: Connector, identity: RunningSandbox, env: dict[str, str]) -> None:
    """Revoked, proved, connected anew: the same connection with a new grant."""
    program = Program(env, "reconnect", PRACTICE, "--paste", "--yes", "--json")
    status, found = program.paste(identity.authorize(program.link()))
    assert (status, found["state"], found["token_generation"]) == (0, "connected", 2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_ctrl_c_leaves_no_open_request(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """Interrupted at the paste: status 130, the old tokens kept, no request left open."""
    kill_grant(connector, sandbox)
    program = Program(env, "repair", PRACTICE, "--paste", "--json")
    program.link()
    program.process.send_signal(signal.SIGINT)
    stdout, _ = program.process.communicate(timeout=60)
    assert (program.process.returncode, json.loads(stdout)["error"]["kind"]) == (130, "interrupted")
    assert connector.open_requests(PRACTICE) == []
    assert connector.status(PRACTICE).state is ConnectionState.NEEDS_REPAIR


def test_forget_deletes_the_connection(connector: Connector, env: dict[str, str]) -> None:
    """Only the event that it was forgotten is left; the message says that the provider was not asked."""
    result = run(env, "forget", PRACTICE, "--yes", "--json")
    assert payload(result) == {"version": 1, "practice": PRACTICE, "forgotten": True}
    assert f"ormco revoke {PRACTICE}" in result.stderr
    assert run(env, "status", PRACTICE).exit_code == 6
    assert connector.events(practice_id=PRACTICE)[-1].kind == "forget"


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
@pytest.mark.parametrize(
    ("typed", "status"), [(b"n\n", 4), (b"y\n", 0), (b"", 130)], ids=["n", "y", "ctrl-c"]
)
def test_a_person_is_asked(connector: Connector, env: dict[str, str], typed: bytes, status: int) -> None:
    """On a terminal a person decides; no and Ctrl-C change nothing."""
    with at_a_terminal(env, "forget", PRACTICE) as (program, terminal):
        read_until(program, b"[y/N]")
        if typed:
            os.write(terminal, typed)
        else:
            threading.Event().wait(0.5)  # until it reads: a person is not as fast as that
            program.send_signal(signal.SIGINT)
        assert program.wait(60) == status
    assert len(list(connector.connections())) == (0 if status == 0 else 1)
