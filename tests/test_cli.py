"""Promises of every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from click.types import FloatParamType

from connector.cli import ormco
from tests.support.commands import run_alone


def commands() -> list[tuple[str, click.Command]]:
    """Every command with its full name, groups resolved."""
    found: list[tuple[str, click.Command]] = []
    waiting: list[tuple[str, click.Group]] = [("", ormco)]
    while waiting:
        prefix, group = waiting.pop()
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            full = f"{prefix} {name}".strip()
            if isinstance(command, click.Group):
                waiting.append((full, command))
            else:
                found.append((full, command))
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_every_command_is_documented(name: str, command: click.Command) -> None:
    """Each command has the common settings, --json and --verbose, and `--help` with usage and an example."""
    options = {option for param in command.params for option in param.opts}
    assert {"--provider", "--store", "--client-id", "--redirect-uri", "--scope"} <= options
    assert {"--json", "--verbose", "--utc"} <= options
    assert command.help
    assert command.epilog is not None
    assert f"ormco {name}" in command.epilog
    for param in command.params:
        assert not isinstance(param, click.Option) or param.help or param.hidden, param.name
    result = CliRunner().invoke(ormco, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert f"{name} [OPTIONS]" in result.output
    assert "Example" in result.output


def test_audit_help_has_an_example() -> None:
    """`audit` is a command as well as a group."""
    assert "Example: ormco audit practice-42" in CliRunner().invoke(ormco, ["audit", "--help"]).output


@pytest.mark.parametrize("text", ["nan", "inf", "1e999"])
def test_no_option_accepts_nan(text: str) -> None:
    """A time limit of "nan" would pass every comparison, and end nothing or everything."""
    options = [param for _, command in commands() for param in command.params]
    numbers = [param for param in options if isinstance(param.type, FloatParamType)]
    assert len(numbers) > 8
    for param in numbers:
        with pytest.raises(click.BadParameter):
            param.type.convert(text, param, None)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("conect", "ormco connect"),
        ("lab aprove", "ormco lab approve"),
        ("keys rotat", "ormco keys rotate"),
        ("xyzzy", None),  # a wrong suggestion is worse than none
    ],
)
def test_an_unknown_command_is_a_usage_error(misspelt: str, meant: str | None) -> None:
    """A misspelt command ends with status 2, the usage, and the command that was meant, if one is like it."""
    result = CliRunner().invoke(ormco, misspelt.split(), prog_name="ormco")
    assert result.exit_code == 2
    assert "No such command" in result.stderr
    assert (f"Did you mean '{meant}'" if meant else "No such command 'xyzzy'.\n") in result.stderr


def test_a_usage_error_is_json_too() -> None:
    """A program that asked for JSON gets its usage errors as JSON."""
    result = CliRunner().invoke(ormco, ["token", "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["kind"] == "usage"


def test_a_missing_connection_is_reported_in_words_and_json(store_url: str) -> None:
    """An error has a fact, a hint with the command, a kind, and its own exit status."""
    result = CliRunner().invoke(ormco, ["status", "practice-42", "--json", "--store", store_url])
    error = json.loads(result.stdout)
    assert result.exit_code == 6
    assert list(error) == ["version", "error"]
    assert error["error"]["kind"] == "connection_not_found"
    assert "Error: no connection is stored for practice-42" in result.stderr
    assert "Hint: Connect it: ormco connect practice-42" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unexpected_error_shows_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error could hold a secret: only its type is shown, with status 1, in words and JSON."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret-token-abc")

    monkeypatch.setattr("connector.cli.status.config_from", fail)
    result = CliRunner().invoke(ormco, ["status", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["kind"] == "unexpected"
    assert "ZeroDivisionError" in result.stderr
    assert "--verbose" in result.stderr
    assert "secret-token-abc" not in result.output


@pytest.mark.parametrize("command", ["status", "code"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:hunter2@db/ormco", "process list"),
        ("postgresql://db/o?password=hunter2", "process list"),
        ("postgresql://[db/ormco", "--store is not an address"),
    ],
)
def test_a_store_that_is_refused_as_an_argument(command: str, url: str, words: str) -> None:
    """No command accepts a password as an argument, which others can read, even in a mistyped address."""
    result = CliRunner().invoke(ormco, [command, "--store", url])
    assert result.exit_code == 10
    assert words in result.stderr
    assert "hunter2" not in result.output


def test_ctrl_c_after_the_end_shows_no_traceback() -> None:
    """A command that has ended may still have exit handlers of libraries to run; Ctrl-C ends those, too."""
    program = (
        "import atexit, signal, sys; from connector.cli import main; sys.argv = ['ormco', '--version']; "
        "atexit.register(signal.raise_signal, signal.SIGINT); main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.startswith("ormco, version"), done.stderr, done.returncode) == (True, "", 130)


def test_ctrl_c_during_an_import_has_its_status(tmp_path: Path) -> None:
    """Modules with dataclasses execute source text; Python ends by a signal if Ctrl-C interrupted that."""
    (tmp_path / "sitecustomize.py").write_text(
        "from connector import cli\n"
        "def interrupted(**_: object) -> None: exec('raise KeyboardInterrupt')\n"
        "cli.ormco.main = interrupted\n"
    )
    assert run_alone({"PYTHONPATH": str(tmp_path)}, "status").returncode == 130
