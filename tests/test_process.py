"""The secrets of a process: none is inherited by a child, or written to a disk by a crash."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from connector.process import child_environment

PACKAGE = Path(__file__).parent.parent / "connector"
STARTERS = {"run", "Popen", "call", "check_call", "check_output"}


def test_a_child_gets_no_secret() -> None:
    """Only variables that are known to be needed are handed on, whatever the others are called."""
    kept = child_environment(
        {
            "PATH": "/bin",
            "LC_ALL": "C.UTF-8",
            "ORMCO_CLIENT_SECRET": "made-up",
            "ORMCO_3SHAPE_PASSWORD_FILE": "/run/made-up",
            "DATABASE_URL": "postgresql://me:made-up@db/x",
            "PGPASSWORD": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
            "NODE_OPTIONS": "--require=/tmp/made-up",
            "LD_PRELOAD": "/tmp/made-up.so",
            "HTTPS_PROXY": "http://me:made-up@proxy:3128",
        }
    )
    assert kept == {"PATH": "/bin", "LC_ALL": "C.UTF-8", "HTTPS_PROXY": "http://proxy:3128"}


def starts_of_programs() -> list[tuple[Path, ast.Call]]:
    """Every call in the package that starts a program."""
    return [
        (path, node)
        for path in sorted(PACKAGE.rglob("*.py"))
        if "subprocess" in (source := path.read_text("utf-8"))  # parsing takes long
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr) in {("subprocess", name) for name in STARTERS}
    ]


def test_every_program_is_started_with_an_environment_of_its_own() -> None:
    """No call that starts a program hands on the whole environment, with the secrets in it."""
    calls = starts_of_programs()
    assert calls
    whole = [f"{path}:{call.lineno}" for path, call in calls if "env" not in {kw.arg for kw in call.keywords}]
    assert whole == []


@pytest.mark.skipif(sys.platform != "linux", reason="PR_GET_DUMPABLE")
def test_the_command_leaves_no_core_dump(tmp_path: Path) -> None:
    """A crash of the command writes none of its memory, and no other user can read it."""
    program = (
        "import ctypes, resource, sys; from connector.cli import main; sys.argv = ['ormco', '--version']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
    assert run.stdout.splitlines()[-1] == "0 0"
