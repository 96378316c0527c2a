"""A private folder for as long as its process lives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from connector.temporary_folder import sweep_leftovers, temporary_folder

PREFIX = "ormco-test-"


@pytest.fixture
def system_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, here and in child processes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("TEMP", str(tmp_path))
    return tmp_path


def test_folder_of_a_killed_process_is_removed(system_folder: Path) -> None:
    """A folder is removed when its process is dead, however it died, and not before."""
    code = (
        "import os, sys; from connector.temporary_folder import temporary_folder\n"
        f"with temporary_folder({PREFIX!r}) as folder:\n"
        "    (folder / 'profile').mkdir(); print('made', flush=True); sys.stdin.read(); os._exit(9)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip() == b"made"
        sweep_leftovers(PREFIX)
        assert len(list(system_folder.glob("*/profile"))) == 1
        owner.kill()
    sweep_leftovers(PREFIX)
    assert list(system_folder.iterdir()) == []


def test_sweep_takes_nothing_else(system_folder: Path) -> None:
    """Folders with other names, links and files stay."""
    (system_folder / "other").mkdir()
    (system_folder / "other" / "kept").write_text("")
    (system_folder / f"{PREFIX}file").write_text("")
    if os.name == "posix":
        (system_folder / f"{PREFIX}link").symlink_to(system_folder / "other")
    before = sorted(system_folder.rglob("*"))
    sweep_leftovers(PREFIX)
    assert sorted(system_folder.rglob("*")) == before


def test_folder_is_removed_after_an_error(system_folder: Path) -> None:
    """The folder is removed also when what was done in it failed."""

    def fail() -> None:
        with temporary_folder(PREFIX) as folder:
            (folder / "file").write_text("")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert list(system_folder.iterdir()) == []


def test_folder_that_was_removed_already(system_folder: Path) -> None:
    """A folder that is gone already is no error."""
    with temporary_folder(PREFIX) as folder:
        shutil.rmtree(folder)
    assert list(system_folder.iterdir()) == []
