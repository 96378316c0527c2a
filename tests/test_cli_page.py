"""`ormco page`: the pages as files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from connector.web.code_page import code_page, landing_page
from tests.support.commands import COMMAND, run


def test_page_is_printed() -> None:
    """Without a file the page goes to standard output, and nothing else does."""
    assert run({}, "page").stdout == code_page("https://ormco.com/")
    assert run({}, "page", "--landing").stdout == landing_page("https://ormco.com/")


def test_page_is_written(tmp_path: Path) -> None:
    """--output writes a file; with --json its path is printed as an object."""
    path = tmp_path / "code.html"
    result = run({}, "page", "--json", "--output", str(path))
    assert json.loads(result.stdout) == {"version": 1, "output": str(path)}
    assert path.read_bytes() == run({}, "page").stdout_bytes


def test_page_is_for_a_redirect_uri() -> None:
    """The redirect URI is the option's, else the environment's; one without a host is refused."""
    env = {"ORMCO_REDIRECT_URI": "https://lab.example/"}
    assert run({}, "page", "--redirect-uri", "https://x.example/").stdout == code_page("https://x.example/")
    assert run(env, "page").stdout == code_page("https://lab.example/")
    assert run({}, "page", "--redirect-uri", "nonsense").exit_code == 10


def test_page_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """A missing folder is reported in words."""
    result = run({}, "page", "--output", str(tmp_path / "nothing" / "code.html"))
    assert result.exit_code == 10
    assert "cannot be written" in result.stderr


def test_page_in_a_pipe_is_the_file(tmp_path: Path) -> None:
    """The same bytes are written if the system's encoding lacks characters of the page's languages."""
    command, path = [*COMMAND, "page"], tmp_path / "code.html"
    env = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii"}
    subprocess.run([*command, "--output", path], check=True, capture_output=True, env=env)
    printed = subprocess.run(command, check=True, capture_output=True, env=env).stdout
    assert printed == path.read_bytes()
