"""`ormco sandbox`: its one line of JSON, its settings, and the words when it cannot start."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.support.commands import COMMAND, first_object, run
from tests.support.sandbox import TIMEOUT

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run the command as a process; it is interrupted at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str, stderr: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "sandbox", "--port", "0", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | environment
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def test_settings_are_those_of_the_command_line(start: Start) -> None:
    """Redirect URIs and the client id are registered; the first of them is the redirect URI."""
    uris = ("http://127.0.0.1:5000/connected", "https://app.example/cb?x=1")
    found = first_object(
        start("--redirect-uri", uris[0], "--redirect-uri", uris[1], "--client-id", "ormco-staging")
    )
    assert (found["redirect_uri"], found["client_id"]) == (uris[0], "ormco-staging")
    for uri in (*uris, "https://ormco.com/"):
        params = {"client_id": "ormco-staging", "redirect_uri": uri, "response_type": "code"}
        url = found["control_url"].replace("/sandbox/control", "/oauth/authorise")
        assert requests.get(url, params=params, timeout=TIMEOUT).status_code == 200


def test_terminal_gets_lines_for_a_shell(start: Start) -> None:
    """At a terminal, stderr has `export` lines, which a shell reads as the settings of the JSON line."""
    pty = pytest.importorskip("pty", reason="a terminal is simulated with a pty")
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0, closefd=False) as terminal:
        found = first_object(start(stderr=theirs))
        text = b""
        while b"Ctrl-C" not in text:
            text += terminal.read(4096)
    lines = [line.strip() for line in text.decode().splitlines() if "export " in line]
    exported = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    assert exported["ORMCO_PROVIDER"] == found["provider_file"]
    assert exported["ORMCO_CLIENT_SECRET"] == found["client_secret"]
    assert exported["ORMCO_3SHAPE_PASSWORD"] == found["practice"]["password"]
    os.close(ours)
    os.close(theirs)


def test_without_a_terminal_the_output_is_one_line(start: Start) -> None:
    """A program reads one line of JSON, with the settings of the environment; stderr repeats no secret."""
    process = start(ORMCO_REDIRECT_URI="http://127.0.0.1:5000/connected")
    assert first_object(process)["redirect_uri"] == "http://127.0.0.1:5000/connected"
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    assert output == ""
    assert "export" not in errors


def test_port_in_use_is_reported() -> None:
    """A port that another program uses ends with 10 and the way to a free one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run({}, "sandbox", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 10
    assert "is in use by another program" in result.stderr
    assert "--port 0" in result.stderr


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--scenario", "dney"), 10),
        (("--redirect-uri", "nonsense"), 10),
        (("--scope", "everything", "--generation", "identity"), 10),
        (("--provider", "communicate"), 2),
        (("--store", "sqlite:///x.db"), 2),
    ],
)
def test_settings_that_cannot_be_applied_are_refused(options: tuple[str, ...], status: int) -> None:
    """Nothing that is given is ignored."""
    assert run({}, "sandbox", "--port", "0", *options).exit_code == status


def test_scenarios_are_listed() -> None:
    """Each scenario with its line of description, also as JSON."""
    assert "landing-frame" in run({}, "sandbox", "--list-scenarios").stdout
    listed = json.loads(run({}, "sandbox", "--list-scenarios", "--json").stdout)
    assert listed["scenarios"]["early-hints"]
