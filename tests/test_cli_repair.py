"""`ormco repair`, `reconnect`, `revoke` and `forget` as a person or a script runs them."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from connector import ConnectionState, Connector
from tests.support.applications import PageVisitor
from tests.support.commands import CONNECTION_KEYS, at_a_terminal, payload, read_until, run
from tests.support.connecting import connect, kill_grant, opened
from tests.support.sandbox import RunningSandbox, SignIn

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


def paste(
    env: dict[str, str], connector: Connector, sandbox: RunningSandbox, *args: str, who: SignIn | None = None
) -> tuple[int, dict[str, Any]]:
    """Run a command that shows a link, and paste the response to it; return the status and the JSON."""

    class Person(io.BytesIO):
        """Gives the response once the command reads it, after it has shown the link."""

        def read(self, size: int | None = -1, /) -> bytes:
            if size == 0:
                return b""
            (request,) = connector.open_requests(PRACTICE)
            return sandbox.authorize(request.url, who=who).encode()

    result = run(env, args[0], PRACTICE, "--paste", "--json", *args[1:], stdin=Person())
    return result.exit_code, payload(result)


def test_repair_says_that_nothing_is_wrong(connector: Connector, env: dict[str, str]) -> None:
    """A connection in order is left alone, with status 0, and wants no credentials."""
    result = run(env, "repair", PRACTICE, "--headless", "--json")
    assert result.exit_code == 0
    assert list(payload(result)) == ["version", *CONNECTION_KEYS, "found", "step"]
    assert (payload(result)["found"], payload(result)["step"]) == ("nothing is wrong", "none")
    assert "Found: nothing is wrong" in result.stderr


def test_repair_asks_for_consent_by_paste(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """A dead grant is repaired with a link and a paste, if there is no browser."""
    kill_grant(connector, sandbox)
    status, found = paste(env, connector, sandbox, "repair")
    assert (status, found["state"], found["step"]) == (0, "connected", "consent")


def test_repair_refuses_another_account(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """Status 8 and both accounts by name; `--allow-account-change` is the way to mean it."""
    kill_grant(connector, sandbox)
    other = sandbox.other_practice
    status, found = paste(env, connector, sandbox, "repair", who=other)
    assert (status, found["error"]["kind"]) == (8, "account_mismatch")
    for account in (sandbox.practice.username, other.username):
        assert account in found["error"]["message"]
    status, found = paste(env, connector, sandbox, "repair", "--allow-account-change", who=other)
    assert (status, found["account"]["email"]) == (0, other.username)


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
def test_a_mistyped_call_changes_nothing(
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
    """Status 5, the tokens are kept, and the same command continues afterwards."""
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
    """Revoked, proved, connected again: the same connection with a new grant."""
    status, found = paste(env, connector, identity, "reconnect", "--yes")
    assert (status, found["state"], found["token_generation"]) == (0, "connected", 2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_ctrl_c_leaves_no_open_request(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """Interrupted at the paste: status 130, the old tokens kept, no request left open."""
    kill_grant(connector, sandbox)
    with at_a_terminal(env, "repair", PRACTICE, "--paste", "--json") as (program, _):
        read_until(program, b"client_id")
        program.send_signal(signal.SIGINT)
        stdout, _ = program.communicate(timeout=60)
    assert (program.returncode, json.loads(stdout)["error"]["kind"]) == (130, "interrupted")
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
            threading.Event().wait(0.5)  # until it reads its input; a person is not faster
            program.send_signal(signal.SIGINT)
        assert program.wait(60) == status
    assert len(list(connector.connections())) == (0 if status == 0 else 1)
