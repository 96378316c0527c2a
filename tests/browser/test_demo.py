"""`scripts/demo`: a new user's first command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.usefixtures("port_8042")
@pytest.mark.skipif(os.name == "nt", reason="the scripts are for a POSIX shell")
def test_the_demo_connects_a_practice(browser: str, tmp_path: Path) -> None:
    """From nothing to a stored token and a call with it, whatever an earlier demo has left."""
    demo = tmp_path / "demo"
    demo.mkdir()
    for left in ("connections.db", "sandbox.json"):
        (demo / left).write_text("of an earlier demo")
    env = {**os.environ, "HOME": str(tmp_path), "ORMCO_BROWSER": browser, "ORMCO_DEMO": str(demo)}
    run = subprocess.run(
        [ROOT / "scripts" / "demo"], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "practice-42 is connected to front.desk@maple-ortho.test" in run.stdout
    assert "200 front.desk@maple-ortho.test" in run.stdout
    assert "The account behind the tokens is known" in run.stderr
