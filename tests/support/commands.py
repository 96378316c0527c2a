"""`ormco` as a person or a script runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from click.testing import CliRunner, Result

from connector.cli import ormco

COMMAND = (sys.executable, "-m", "connector")
# The keys of a connection in JSON, in their order.
CONNECTION_KEYS = [
    *("practice", "state", "since", "reason", "provider", "account", "scope", "renewable"),
    *("expires_at", "connected_at", "refreshed_at", "token_generation", "lab", "last_error", "next"),
]


def run(env: Mapping[str, str], *arguments: str, stdin: str | IO[Any] | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(ormco, arguments, env=env, input=stdin)


def payload(result: Result) -> dict[str, Any]:
    """The JSON object that a command has printed."""
    found: dict[str, Any] = json.loads(result.stdout)
    assert next(iter(found)) == "version"
    return found


def printed(env: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Run a command that succeeds; return its JSON."""
    result = run(env, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return payload(result)


def run_alone(
    env: Mapping[str, str], *arguments: str, command: tuple[str, ...] = COMMAND, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [*command, *arguments],
        env={**os.environ, **env},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def first_object(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON object that a running command prints first."""
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


@contextmanager
def at_a_terminal(env: Mapping[str, str], *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the command with a terminal for its input."""
    terminal, inside = os.openpty()
    streams: Any = {"stdin": inside, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *arguments], env={**os.environ, **env}, **streams) as program:
        yield program, terminal
    os.close(terminal)
    os.close(inside)


def read_until(program: subprocess.Popen[bytes], words: bytes) -> str:
    """Read the messages up to some words."""
    assert program.stderr is not None
    shown = b""
    while words not in shown and (more := program.stderr.read1()):  # type: ignore[attr-defined]
        shown += more
    return shown.decode()
