"""The output of the commands: results on stdout, messages on stderr."""

from __future__ import annotations

import json
import sys

import pytest

from connector.cli.output import emit, fold, report, say
from connector.errors import NeedsRepairError, SettingError


def test_an_error_is_printed_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """The fact and the advice are printed on stderr, as sentences; stdout stays empty."""
    error = NeedsRepairError("the grant is dead", hint="Run: ormco repair practice-42")
    assert report(error, as_json=False) == 7
    printed = capsys.readouterr()
    assert printed.err == "Error: the grant is dead.\nHint: Run: ormco repair practice-42\n"
    assert printed.out == ""


def test_an_error_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the same is printed on stdout, "version" first, and the words stay on stderr."""
    assert report(SettingError("not set: X", hint="Set it."), as_json=True) == 10
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "version": 1,
        "error": {"kind": "setting", "message": "not set: X", "hint": "Set it."},
    }
    assert printed.out.startswith('{"version": 1,')
    assert printed.err.startswith("Error: not set: X.\n")


@pytest.mark.parametrize(
    "evil",
    [
        *("\x1b]8;;http://evil.test\x07", "\x9b2J", "\x1b[2J", "\r", "\u202e", "\u2028"),
        *("\x1b]52;c;eA==\x07", "\x1b[8m"),
    ],
)
def test_foreign_text_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str], evil: str) -> None:
    """Text from the database cannot control a terminal: no link, no clipboard, no hidden text."""
    emit({}, f"practice-42\tconnected\n{evil}", as_json=False)
    report(SettingError(f"connected at {evil}", hint=f"use {evil}"), as_json=False)
    printed = capsys.readouterr()
    assert not set("\x1b\x9b\x07\r\u202e\u2028") & set(printed.out + printed.err)
    assert printed.out.startswith("practice-42\tconnected\n")


def test_an_interruption_is_reported_briefly(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is no mystery, and needs no hint."""
    assert report(KeyboardInterrupt(), as_json=False) == 130
    assert capsys.readouterr().err == "Error: interrupted.\n"


def test_a_result_is_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One of both is printed, never both; nothing for an empty text."""
    emit({"a": "é\udc80"}, "words", as_json=False)
    emit({"a": "é\udc80"}, "", as_json=False)
    assert capsys.readouterr().out == "words\n"
    emit({"a": "é\udc80"}, "words", as_json=True)
    assert capsys.readouterr().out == '{"version": 1, "a": "\\u00e9\\udc80"}\n'


def test_messages_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Messages for a person do not disturb a pipe."""
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_text_is_folded_between_words_and_commands_stay_whole() -> None:
    """On a narrow terminal prose is folded; a command is one line, so that it can be copied."""
    command = "ormco begin 'the practice' --expect-account a.b@c.example"
    lines = fold(f"Say beforehand whose account it is, by name: {command}", 40).splitlines()
    assert command in [line.strip() for line in lines]
    assert max(len(line) for line in lines if command not in line) <= 40


def test_a_line_for_a_shell_stays_whole() -> None:
    """A setting with a long path is exported by one line, which can be pasted."""
    line = f"  export ORMCO_PROVIDER='/tmp/{'a long folder/' * 20}provider.toml'"
    assert fold(f"In another terminal:\n{line}\nServing", 80).splitlines()[1] == line


@pytest.mark.parametrize("is_terminal", [True, False])
def test_text_is_folded_at_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    """Programs get a message as one line."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "40")
    say("word " * 20)
    assert (len(capsys.readouterr().err.splitlines()) > 1) is is_terminal
