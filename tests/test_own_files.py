"""Files and folders of this user: those that another user has planted are refused, not used."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connector.own_files import check_owner, create_own_file, open_own_file, read_own_file
from connector.own_folders import check_own_folder, make_own_folder, make_private_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX's")

STRANGER = 54321  # a user id that no user has
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def own_file(path: Path, text: bytes = b"mine") -> Path:
    with os.fdopen(create_own_file(path), "wb") as file:
        file.write(text)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_create_is_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    """A new file can be read and written by its owner alone."""
    assert mode(own_file(tmp_path / "new")) == 0o600


def test_create_refuses_a_name_that_is_taken(tmp_path: Path) -> None:
    """A link that was planted under the name is neither followed nor replaced."""
    (tmp_path / "planted").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        create_own_file(tmp_path / "planted")
    assert not (tmp_path / "target").exists()


def symlink(path: Path) -> None:
    path.symlink_to(own_file(path.with_name("target")))


def hard_link(path: Path) -> None:
    os.link(own_file(path.with_name("target")), path)


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.mkdir(0o700)


def readable(path: Path) -> None:
    own_file(path).chmod(0o640)


def test_open_of_a_file_that_is_removed_meanwhile(tmp_path: Path) -> None:
    """A file that another process removes while it is opened is not there; it has no second name."""
    path, opened = own_file(tmp_path / "file"), os.open

    def open_and_remove(name: Path, flags: int) -> int:
        handle = opened(name, flags)
        path.unlink()
        return handle

    with pytest.MonkeyPatch.context() as patch:  # restored before the folder is removed
        patch.setattr(os, "open", open_and_remove)
        with pytest.raises(FileNotFoundError):
            open_own_file(path)


@pytest.mark.parametrize("plant", [symlink, hard_link, pipe, folder, readable])
@pytest.mark.parametrize("write", [False, True])
def test_open_refuses_planted_files(tmp_path: Path, plant: Callable[[Path], None], write: bool) -> None:
    """A link, a second name, a pipe, a folder and a file that others can read are refused, at once."""
    plant(tmp_path / "file")
    with pytest.raises(OSError, match=r"regular|second name|others? users? can read|directory"):
        os.close(open_own_file(tmp_path / "file", write=write))


@needs_root
def test_open_refuses_another_users_file(tmp_path: Path) -> None:
    """A file that another user made stays theirs, so it is not used."""
    os.chown(own_file(tmp_path / "file"), STRANGER, STRANGER)
    with pytest.raises(PermissionError, match="another user"):
        read_own_file(tmp_path / "file", limit=10)


def test_read_is_bounded(tmp_path: Path) -> None:
    """No more than the limit is read."""
    assert read_own_file(own_file(tmp_path / "file", b"12345"), limit=3) == b"123"


@pytest.mark.parametrize("make", [make_own_folder, make_private_folder])
def test_folders_are_private_all_the_way_down(
    tmp_path: Path, umask: int, make: Callable[[Path], None]
) -> None:
    """Every folder that is made is its owner's alone, under any umask; making it again changes nothing."""
    tmp_path.chmod(0o700)
    for _ in range(2):
        make(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_folder_that_all_can_write_to(tmp_path: Path) -> None:
    """A folder in which every user can replace files is refused; with a sticky bit it is accepted."""
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="every user"):
        make_own_folder(tmp_path / "new")
    tmp_path.chmod(0o1777)
    make_own_folder(tmp_path / "new")


@needs_root
def test_folder_of_another_user(tmp_path: Path) -> None:
    """A folder of another user is refused, because its owner can replace the files in it."""
    make_own_folder(tmp_path / "theirs")
    os.chown(tmp_path / "theirs", STRANGER, STRANGER)
    for look in (check_own_folder, make_own_folder, lambda path: make_own_folder(path / "new")):
        with pytest.raises(PermissionError, match="another user"):
            look(tmp_path / "theirs")


@needs_root
def test_owner_of_a_file_and_of_the_link_to_it(tmp_path: Path) -> None:
    """Another user's file is refused, and so is another user's link to this user's file."""
    own_file(tmp_path / "mine")
    (tmp_path / "link").symlink_to("mine")
    check_owner(tmp_path / "link")
    os.chown(tmp_path / "link", STRANGER, STRANGER, follow_symlinks=False)
    (tmp_path / "nowhere").symlink_to("nothing")
    os.chown(tmp_path / "nowhere", STRANGER, STRANGER, follow_symlinks=False)
    os.chown(own_file(tmp_path / "theirs"), STRANGER, STRANGER)
    for name in ("link", "nowhere", "theirs"):
        with pytest.raises(PermissionError, match="another user"):
            check_owner(tmp_path / name)
    check_owner(tmp_path / "nothing")


@needs_root
@pytest.mark.parametrize("where", ["itself", "above", "behind an own link"])
def test_a_folder_behind_another_users_link(tmp_path: Path, where: str) -> None:
    """A link that was planted in a shared folder is not followed to this user's folders."""
    for folder in (tmp_path / "own", tmp_path / "own" / "below", tmp_path / "everybody"):
        folder.mkdir(0o700)
    (tmp_path / "everybody").chmod(0o1777)
    planted = tmp_path / "everybody" / "link"
    planted.symlink_to(tmp_path / "own")
    os.chown(planted, STRANGER, STRANGER, follow_symlinks=False)
    (tmp_path / "mine").symlink_to("everybody/../everybody/link")
    path = {"itself": planted, "above": planted / "below", "behind an own link": tmp_path / "mine"}[where]
    for look in (check_own_folder, make_own_folder, lambda path: make_own_folder(path / "new")):
        with pytest.raises(PermissionError, match="link that another user made"):
            look(path)
    os.chown(planted, 0, 0, follow_symlinks=False)
    check_own_folder(path)


@needs_root
@pytest.mark.parametrize(
    ("group", "mode", "is_open"),
    [("daemon", 0o770, True), ("daemon", 0o1770, False), ("daemon", 0o750, False), ("root", 0o770, False)],
)
def test_a_folder_that_a_group_can_write_to(tmp_path: Path, group: str, mode: int, is_open: bool) -> None:
    """It is refused if the group has other members; an own group, or a sticky bit, is accepted."""
    (tmp_path / "shared").mkdir()
    shutil.chown(tmp_path / "shared", group=group)
    (tmp_path / "shared").chmod(mode)
    with pytest.raises(PermissionError, match="a group") if is_open else contextlib.nullcontext():
        check_own_folder(tmp_path / "shared")


def test_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    """They are an error, not an endless search."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError):  # noqa: PT011 - raised by the system or by us
        check_own_folder(tmp_path / "a")
