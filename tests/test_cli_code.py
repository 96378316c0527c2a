"""`ormco code`, from the pasted text to the output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.codes import CODE, HEX, OPAQUE, STATE, encoded
from tests.support.commands import run
from tests.support.redirects import ACCEPTED, REFUSED, Row

URL = f"https://ormco.com/?code={encoded(CODE, 2)}&state={STATE}"
STATUSES = {"consent_denied": 4, "provider_unavailable": 5, "client_refused": 10, "provider_error_page": 10}


@pytest.mark.parametrize("row", ACCEPTED)
def test_golden_paste_gives_the_code_and_nothing_else(row: Row) -> None:
    """Nothing but the code is on standard output."""
    result = run({}, "code", stdin=row.text)
    assert result.exit_code == 0
    assert result.stdout == f"{row.code}\n"


@pytest.mark.parametrize("row", REFUSED)
def test_golden_paste_is_refused_with_its_exit_status(row: Row) -> None:
    """A refusal has its exit status, its words and a hint, and nothing on standard output."""
    result = run({}, "code", stdin=row.text)
    assert result.exit_code == STATUSES.get(row.error, 3)
    assert result.stdout == ""
    assert f"Error: {row.says}" in result.stderr or row.says in result.stderr
    assert "\nHint: " in result.stderr
    assert "Traceback" not in result.stderr


def test_json_has_the_documented_keys() -> None:
    """--json prints one object with the documented keys."""
    assert json.loads(run({}, "code", "--json", stdin=URL).stdout) == {
        "version": 1,
        "code": CODE,
        "dialog_code": CODE.replace("!", "%21"),
        "format": "dotnetopenauth",
        "layers": 2,
        "complete": True,
        "length": 359,
        "state": STATE,
    }


@pytest.mark.parametrize(("text", "found"), [(HEX, "identityserver"), (f"code={OPAQUE}", "unknown")])
def test_a_code_that_cannot_be_checked_is_marked(text: str, found: str) -> None:
    """A code of an unknown format passes, and is marked as unchecked."""
    result = run({}, "code", "--json", stdin=text)
    shown = json.loads(result.stdout)
    assert (shown["format"], shown["complete"], shown["state"]) == (found, None, None)
    assert "unchecked" in result.stderr


def test_json_of_a_damaged_code_has_its_numbers() -> None:
    """A refused code's length, expected length and position are for programs too."""
    result = run({}, "code", "--json", stdin=URL.partition("&")[0][:-14])
    assert result.exit_code == 3
    error = json.loads(result.stdout)["error"]
    assert error["kind"] == "code_damaged"
    assert (error["length"], error["expected_length"], error["position"]) == (345, 359, None)


def test_for_dialog_prints_the_code_for_the_dialog() -> None:
    """--for-dialog prints the code percent-encoded once, as the guide's steps end with."""
    assert run({}, "code", "--for-dialog", stdin=URL).stdout == CODE.replace("!", "%21") + "\n"


def test_file_is_read(tmp_path: Path) -> None:
    """--file reads the text from a file; a file that is not there is a wrong call."""
    path = tmp_path / "url.txt"
    path.write_text(URL, "utf-8")
    assert run({}, "code", "--file", str(path)).stdout == f"{CODE}\n"
    assert run({}, "code", "--file", "-", stdin=URL).stdout == f"{CODE}\n"
    assert run({}, "code", "--file", str(tmp_path / "nothing")).exit_code == 2


@pytest.mark.parametrize("argument", [URL, CODE, "-xY!IAAAA", "--xY_1!IAAAA"])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_code_as_an_argument_is_refused_and_not_shown(argument: str, as_json: bool) -> None:
    """A code or an address as an argument is refused with the reason and the right way, unseen."""
    result = run({}, "code", *(["--json"] if as_json else []), argument)
    assert result.exit_code == 2
    assert "process list" in result.stderr
    assert "ormco code < url.txt" in result.stderr
    assert "IAAAA" not in result.output
    assert not as_json or json.loads(result.stdout)["error"]["kind"] == "usage"


def test_a_mistyped_option_is_named() -> None:
    """An option that does not exist is not taken for a code."""
    result = run({}, "code", "--for-dialgo", stdin=URL)
    assert result.exit_code == 2
    assert "--for-dialgo" in result.stderr


def test_redirect_uri_is_the_only_setting() -> None:
    """The redirect URI comes from the option, else from the environment, else it is Ormco's."""
    text = f"https://lab.example/?code={encoded(CODE, 1)}"
    assert run({}, "code", stdin=text).exit_code == 3
    assert run({}, "code", "--redirect-uri", "https://lab.example/", stdin=text).stdout == f"{CODE}\n"
    assert run({"ORMCO_REDIRECT_URI": "https://lab.example/"}, "code", stdin=text).stdout == f"{CODE}\n"
    assert run({}, "code", "--redirect-uri", "nonsense", stdin=text).exit_code == 10


def test_an_unusual_code_is_pointed_out() -> None:
    """A character lost before the "!" may be another server's way; it is only a warning."""
    result = run({}, "code", stdin=f"https://ormco.com/?code={CODE[1:]}")
    assert result.stdout == f"{CODE[1:]}\n"
    assert "Warning: 3 characters are before" in result.stderr


def test_a_pipe_works_at_both_ends() -> None:
    """The command is a filter: a text in, the code out."""
    command = [sys.executable, "-c", "from connector.cli import main; main()", "code", "--for-dialog"]
    done = subprocess.run(command, input=URL.encode(), capture_output=True, check=True)
    assert done.stdout.split() == [CODE.replace("!", "%21").encode()]
    assert done.stderr == b""
