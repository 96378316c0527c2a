"""A real file system of a few kilobytes, which is soon full."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.processes import ROOT


def on_a_small_disk(folder: Path, size: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run Python with a file system of such a size on a folder; skip the test if none can be mounted."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed: a full disk cannot be tried")
    folder.mkdir(exist_ok=True)
    isolate = ["--mount"] if os.getuid() == 0 else ["--user", "--map-root-user", "--mount"]
    mount = shlex.join(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)])
    done = subprocess.run(
        [unshare, *isolate, "sh", "-c", f"{mount} && exec {shlex.join([sys.executable, *arguments])}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    return done
