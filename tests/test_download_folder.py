"""A folder for downloads: safe names; one writer a file, none over another."""

from __future__ import annotations

import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.communicate.download_folder import numbered, open_part, publish, safe_name, same_name

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs links and file locks")


def save(folder: Path, content: bytes, *, name: str = "a.txt", taken: Any = ()) -> Any:
    with open_part(folder, ".key-a.txt", keep=True) as part:
        part.file.seek(0)
        part.file.write(content)
        part.flush()
        return publish(part, folder, name, taken)


def leave(folder: Path, content: bytes, *, keep: bool = True, error: Any = None) -> None:
    """Let an attempt fail after it has written something."""
    with pytest.raises(OSError), open_part(folder, ".key-a.txt", keep=keep) as part:  # noqa: PT011, PT012
        part.file.write(content)
        raise error or OSError(errno.EIO, "broken")


def test_whole_file_gets_its_name(tmp_path: Path) -> None:
    """A file appears under its name when it is whole, readable by its owner alone, and nothing else stays."""
    path = save(tmp_path, b"whole")
    assert (path.name, path.read_bytes()) == ("a.txt", b"whole")
    assert os.listdir(tmp_path) == ["a.txt"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is taken, here, in the folder or by another process just before, gets a number."""
    (tmp_path / "a.txt").write_bytes(b"somebody's own")
    assert save(tmp_path, b"new", taken=["a (2).txt"]).name == "a (3).txt"
    monkeypatch.setattr("connector.communicate.download_folder.os.listdir", lambda folder: [])
    assert save(tmp_path, b"new").name == "a (2).txt"
    assert (tmp_path / "a.txt").read_bytes() == b"somebody's own"


def test_abandoned_part_is_continued(tmp_path: Path) -> None:
    """The next attempt continues the part of a failed one, unless its content cannot be checked."""
    leave(tmp_path, b"half")
    with open_part(tmp_path, ".key-a.txt", keep=True) as part:
        assert part.file.read() == b"half"
    leave(tmp_path, b"half", keep=False)
    assert os.listdir(tmp_path) == []


def test_full_disk_keeps_no_part(tmp_path: Path) -> None:
    """On a full disk the unfinished file makes room for the others."""
    leave(tmp_path, b"half", error=OSError(errno.ENOSPC, "No space left on device"))
    assert os.listdir(tmp_path) == []


@posix_only
def test_two_at_once_have_a_part_each(tmp_path: Path) -> None:
    """While one process writes a part file, another gets one of its own."""
    with open_part(tmp_path, ".key-a.txt", keep=True) as first:
        first.file.write(b"first")
        with open_part(tmp_path, ".key-a.txt", keep=True) as second:
            second.file.write(b"second")
            second.flush()
            assert first.path != second.path
            assert publish(second, tmp_path, "a.txt", ()).read_bytes() == b"second"
        first.flush()
        assert publish(first, tmp_path, "a.txt", ()).read_bytes() == b"first"
    assert sorted(os.listdir(tmp_path)) == ["a (2).txt", "a.txt"]


@posix_only
@pytest.mark.parametrize("plant", ["link", "hard link", "open to others", "pipe", "folder"])
def test_planted_part_is_left_alone(tmp_path: Path, plant: str) -> None:
    """A part that other users can read, or that is a link, is neither written nor removed."""
    victim, part = tmp_path / "victim", tmp_path / ".key-a.txt.part"
    victim.write_bytes(b"untouched")
    victim.chmod(0o644)
    planting: dict[str, Callable[[], object]] = {
        "link": lambda: part.symlink_to(victim),
        "hard link": lambda: part.hardlink_to(victim),
        "open to others": part.touch,
        "pipe": lambda: os.mkfifo(part),
        "folder": part.mkdir,
    }
    planting[plant]()
    if plant == "open to others":
        part.chmod(0o666)
    assert save(tmp_path, b"secret").read_bytes() == b"secret"
    assert victim.read_bytes() == b"untouched"
    assert os.path.lexists(part)


@posix_only
def test_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If files cannot have two names, a file still replaces none."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("connector.communicate.download_folder.os.link", refuse)
    (tmp_path / "a.txt").write_bytes(b"somebody's own")
    assert save(tmp_path, b"new").name == "a (2).txt"
    assert sorted(os.listdir(tmp_path)) == ["a (2).txt", "a.txt"]


NAMES = st.text(st.characters(codec=None), max_size=300) | st.sampled_from(
    ["con", "a/../b", "é" * 200, "x." * 90]
)


@given(NAMES)
@example("COM¹.txt")
@example("a" * 119 + ".é")
@example("CONOUT$")
@example("\ud800")
def test_every_name_is_made_safe(name: str) -> None:
    """Any name becomes one part, printable, no device and not too long; a safe name stays as it is."""
    safe = safe_name(name)
    assert safe
    assert not set(safe) & set('/\\<>:"|?*')
    assert safe not in (".", "..")
    assert safe[0] not in ".-~ "
    assert safe[-1] not in ". "
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in safe)
    assert len(safe.encode()) <= 130
    assert safe.split(".")[0].strip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9", "COM¹"}
    assert safe_name(safe) == safe


@given(
    st.lists(st.sampled_from(["a.ply", "A.PLY", "a (2).ply", "ä.ply", "a\u0308.ply", "noending"]), max_size=8)
)
def test_numbered_names_differ(names: Any) -> None:
    """Names that a file system may take for one get numbers."""
    taken: list[Any] = []
    for name in names:
        taken.append(numbered(name, taken))
    assert len({same_name(name) for name in taken}) == len(names)
