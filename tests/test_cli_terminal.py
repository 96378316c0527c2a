"""The output at a real terminal."""

from __future__ import annotations

import base64
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.codes import CODE, HEX, STATE, encoded
from tests.support.commands import run
from tests.support.sandbox import RunningSandbox

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal is a POSIX thing", allow_module_level=True)

from tests.support.pseudo_terminal import Terminal

URL = f"https://ormco.com/?code={encoded(CODE, 2)}&state={STATE}"
DIALOG = CODE.replace("!", "%21")


def connected(env: dict[str, str], sandbox: RunningSandbox) -> dict[str, str]:
    """The environment of a store with practice-42 connected."""
    response = sandbox.authorize(run(env, "begin", "practice-42").stdout.strip())
    assert run(env, "complete", "practice-42", stdin=response).exit_code == 0
    return env


def pasted(url: str = URL, *arguments: str, **env: str) -> Terminal:
    """`ormco code` after a person has pasted an address."""
    terminal = Terminal("code", *arguments, env=env)
    terminal.sees("Paste the whole address")
    terminal.types(f"{url}\n")
    assert terminal.ends() == 0
    return terminal


def test_the_form_for_the_dialog_is_shown_and_copied() -> None:
    """A person sees what the dialog takes, that it is whole and how long it lives; the terminal copies it."""
    terminal = pasted()
    assert f"\n{DIALOG}\n" in terminal.screen
    assert URL not in terminal.screen  # however soon after the prompt it was pasted
    assert "359 of 359 characters" in terminal.screen
    assert "three minutes" in terminal.screen
    copied = re.search(r"\x1b\]52;c;([^\x07]*)\x07", terminal.raw)
    assert copied is not None
    assert base64.b64decode(copied[1]).decode() == DIALOG


def test_a_tool_of_the_platform_copies(tmp_path: Path) -> None:
    """If there is a display, its clipboard tool is used, and the terminal is not asked."""
    tool = tmp_path / "xclip"
    tool.write_text(f"#!/bin/sh\ncat > {tmp_path}/copied\n")
    tool.chmod(0o755)
    terminal = pasted(DISPLAY=":0", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert (tmp_path / "copied").read_text() == DIALOG
    assert "copied to the clipboard" in terminal.screen
    assert "\x1b]52" not in terminal.raw


def test_code_that_cannot_be_checked_is_marked() -> None:
    """A code of another format is shown with its length."""
    assert f"{len(HEX)} characters, unchecked" in pasted(f"https://ormco.com/?code={HEX}").screen


def test_options_choose_the_output_at_a_terminal() -> None:
    """--for-dialog and --json choose the output at a terminal too."""
    assert pasted(URL, "--for-dialog").screen.splitlines()[-1] == DIALOG
    assert pasted(URL, "--json").screen.splitlines()[-1].startswith('{"version": 1, "code"')


def test_no_colours_if_none_are_wanted() -> None:
    """NO_COLOR leaves plain text; a terminal that knows no escape sequences is sent none."""
    assert "\x1b[3" in pasted().raw
    assert "\x1b[3" not in pasted(NO_COLOR="1").raw
    assert "\x1b" not in pasted(TERM="dumb").raw


@pytest.mark.parametrize("columns", [60, 200])
def test_status_is_no_wider_than_the_terminal(
    env: dict[str, str], classic: RunningSandbox, columns: int
) -> None:
    """At any width nothing is broken in the middle of a word, and nothing is cut."""
    terminal = Terminal("status", env=connected(env, classic), columns=columns)
    assert terminal.ends() == 0
    assert max(map(len, terminal.screen.splitlines())) <= columns
    assert "front.desk@maple-ortho.test" in terminal.screen


@pytest.mark.parametrize(
    ("options", "zone"), [([], r"\d\d:\d\d:\d\d (JST|\+0900)"), (["--utc"], r"T\d\d:\d\d:\d\dZ")]
)
def test_times_are_local_and_say_so(
    env: dict[str, str], classic: RunningSandbox, options: list[str], zone: str
) -> None:
    """A person reads local time with its zone, or UTC on request."""
    terminal = Terminal("status", *options, env={**connected(env, classic), "TZ": "Asia/Tokyo"}, columns=200)
    assert terminal.ends() == 0
    assert re.search(zone, terminal.screen)


def test_a_question_reaches_the_person_beside_a_pipe(env: dict[str, str], classic: RunningSandbox) -> None:
    """If the response comes through a pipe, the question about the account is asked on the terminal."""
    url = run(env, "begin", "practice-42").stdout.strip()
    response = re.sub(r"[&?]state=[^&]*", "", classic.authorize(url))
    piped = f"echo '{response}' | {sys.executable} -m connector complete practice-42"
    terminal = Terminal(env=env, command=["bash", "-c", piped])
    terminal.sees("Connect practice-42 as front.desk@maple-ortho.test?")
    terminal.types("y\n")
    assert terminal.ends() == 0
    assert "\tconnected\t" in run(env, "status").stdout


@pytest.mark.parametrize("practice", ["a; touch broken", "it's", "-rf", "$(touch broken)"])
def test_a_printed_command_can_be_pasted(env: dict[str, str], practice: str, tmp_path: Path) -> None:
    """A practice id is any text; the command that is printed runs `ormco` with it and nothing else."""
    result = run(env, "begin", "--", practice)
    command = re.search(r"(ormco complete .*)", result.stderr)
    assert command is not None
    assert shlex.split(command[1])[-1] == practice
    subprocess.run(["bash", "-c", f"ormco() {{ :; }}; {command[1]}"], cwd=tmp_path, check=True)
    assert not (tmp_path / "broken").exists()


@pytest.fixture
def with_fake_browser(env: dict[str, str], tmp_path: Path, short_folder: Path) -> Iterator[dict[str, str]]:
    """The environment with a browser that looks sound and does not start, and a display that responds."""
    browser = tmp_path / "chromium"
    browser.write_text('#!/bin/sh\n[ "$1" = --version ]\n')
    browser.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as display:
        display.bind(str(short_folder / "display"))
        display.listen()
        chosen = {"ORMCO_BROWSER": str(browser), "ORMCO_BROWSER_SANDBOX": "off"}
        yield {**env, **chosen, "WAYLAND_DISPLAY": str(short_folder / "display")}


@pytest.mark.parametrize("command", [["profile", "connect"], ["connect", "practice-42"]], ids=" ".join)
def test_missing_settings_are_asked_for(with_fake_browser: dict[str, str], command: list[str]) -> None:
    """At a terminal `--headless` asks for the missing settings that it needs, and shows no password."""
    terminal = Terminal(*command, "--headless", env=with_fake_browser)
    for question, response in [
        ("Address of OrmcoDigital", "http://127.0.0.1:9/"),
        ("OrmcoDigital user name", "alex"),
        ("OrmcoDigital password", "made-up-1"),
        ("3Shape Communicate user name", "front.desk@maple-ortho.test"),
        ("3Shape Communicate password", "made-up-2"),
    ]:
        if "profile" in command or "3Shape" in question:
            terminal.sees(question)
            terminal.types(f"{response}\n")
    assert terminal.ends() == 10
    assert "Start it by hand" in terminal.screen
    assert "made-up" not in terminal.raw


def test_set_settings_are_not_asked_for(with_fake_browser: dict[str, str]) -> None:
    """In a window only the address is needed, and a person signs in."""
    terminal = Terminal("profile", "connect", env=with_fake_browser)
    terminal.sees("Address of OrmcoDigital (https://…): ")
    terminal.types("http://127.0.0.1:9/\n")
    assert terminal.ends() == 10
    assert "password" not in terminal.screen


def test_nothing_is_asked_without_a_terminal(env: dict[str, str]) -> None:
    """Without a terminal nothing is asked, and the missing settings are named at once."""
    result = run(env, "profile", "connect", "--headless")
    assert result.exit_code == 10
    assert "ORMCO_DIGITAL_URL, ORMCO_DIGITAL_USERNAME, ORMCO_DIGITAL_PASSWORD, ORMCO_3SHAPE" in result.stderr
