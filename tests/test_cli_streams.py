"""The command's standard streams: closed, full, closed by the reader, or without UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full and a POSIX shell")

CODE = "0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d"
# A result, a text that click prints, and lines that are printed one by one.
PRINTING = [f"code --json <<< {CODE}", "--help", "doctor"]


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line in bash, in which `ormco` is the command."""
    command = f'set -o pipefail; ormco() {{ {sys.executable} -m connector "$@"; }}; {line}'
    everything = {**os.environ, "ORMCO_BROWSER": "/nowhere", "ORMCO_PROVIDER": "sandbox", **env}
    return subprocess.run(
        ["bash", "-c", command], env=everything, capture_output=True, text=True, timeout=240
    )


@pytest.mark.parametrize("command", PRINTING)
def test_a_full_device_is_one_error(command: str) -> None:
    """A failure to print is reported once, with status 1 and without a traceback."""
    ended = shell(f"ormco {command} > /dev/full")
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if "rror" in line]
    assert errors == ["Error: the output cannot be written: No space left on device."]
    assert "Traceback" not in ended.stderr


def test_a_closed_output_is_one_error_before_anything_is_done() -> None:
    """With stdout closed, the next file that is opened would be printed into."""
    ended = shell("ormco doctor >&-")
    assert ended.returncode == 1
    assert ended.stderr == "Error: standard output is closed. Nothing was done.\n"


@pytest.mark.parametrize("command", PRINTING)
def test_a_reader_that_went_away_is_no_error(command: str) -> None:
    """`| head -1` ends quietly."""
    ended = shell(f"ormco {command} | (exec <&-; sleep 0.1); echo ${{PIPESTATUS[0]}} >&2")
    assert ended.stderr.splitlines()[-1] == "0"
    assert "rror" not in ended.stderr


def test_usage_error_is_reported_if_the_output_is_full() -> None:
    """With --json it is also printed on stdout; if that fails, it is reported without a traceback."""
    ended = shell("ormco code --json --nope > /dev/full")
    assert ended.returncode == 2
    assert "Error: No such option '--nope'." in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_lost_messages_do_not_stop_a_command(where: str) -> None:
    """A command does its work and prints its result if no program reads its messages."""
    ended = shell(f"ormco code --json 2>{where} <<< {CODE}")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["code"] == CODE


def test_a_closed_input_is_an_empty_one() -> None:
    """If nothing can be read, the command refuses as for an empty input."""
    assert "nothing was pasted" in shell("ormco code <&-").stderr
    assert shell("ormco forget practice-42 <&-").returncode == 6


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_marks_stay_distinct_without_utf8(encoding: str) -> None:
    """A terminal that has no ✓ and ✗ gets forms that can be distinguished."""
    ended = shell("ormco doctor", PYTHONIOENCODING=encoding, ORMCO_REDIRECT_URI="http://ormco.com/")
    assert "[failed] settings:" in ended.stdout
    assert "[ok] display" in ended.stdout or "! display" in ended.stdout
    assert "?" not in ended.stdout
