"""A folder for downloads: file names that are safe on every system, and given only to complete files.

A part file of an earlier attempt is resumed only if it belongs to this user, has one name, and no
other process has it open. Otherwise another part file is created.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from connector.communicate.models import CaseFile
from connector.own_files import create_own_file, open_own_file

__all__ = [
    "PartFile",
    "drop_parts",
    "forms_of",
    "name_of",
    "numbered",
    "open_part",
    "publish",
    "safe_name",
    "same_name",
]

_LONGEST = 120  # bytes; the rest is for a path on Windows, and the name of an unfinished download
_LONGEST_SUFFIX = 16
_FORBIDDEN = re.compile(r'[<>:"|?*/\\]')
# Windows opens a device for these, with any ending and in any folder.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=$|[. ])", re.IGNORECASE)


def name_of(file: CaseFile) -> str:
    """Return the name for a file: its own, made safe, or one made from its kind and part."""
    ending = f".{file.file_type}" if file.file_type else ""
    if file.name:
        return safe_name(file.name)
    mark = (file.sha1 or file.id or "")[:8]
    return safe_name("-".join(part for part in (file.kind, file.part, mark) if part) + ending)


def safe_name(name: str) -> str:
    r"""Return the last part of a name, without characters that a file system or terminal cannot take.

    Examples:
        >>> safe_name("../../etc/passwd"), safe_name("C:\\aux.txt"), safe_name("a\x00b?.stl. ")
        ('passwd', '_aux.txt', 'ab_.stl')
    """
    text = unicodedata.normalize("NFC", name[:2000].encode("utf-8", "replace").decode())
    text = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    # Control characters, line marks, and those that reverse or hide the text of a name.
    text = "".join(
        char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    )
    text = _FORBIDDEN.sub("_", text).strip().rstrip(". ")
    text = re.sub(r"^[.\-~ ]+", "_", text)  # a hidden file, an option, or a home folder
    if _DEVICES.match(text):
        text = f"_{text}"
    return _cut(text) or "file"


def numbered(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken, by adding a number before its ending."""
    present = {same_name(other) for other in taken}
    stem, ending = _split(name)
    number, candidate = 2, name
    while same_name(candidate) in present:
        candidate = f"{stem} ({number}){ending}"
        number += 1
    return candidate


def forms_of(name: str, folder: Path) -> list[Path]:
    """Return the files of a folder with a name, or with the name and a number."""
    stem, ending = map(same_name, _split(name))
    form = re.compile(rf"{re.escape(stem)}(?: \(\d+\))?{re.escape(ending)}")
    return sorted(folder / entry for entry in os.listdir(folder) if form.fullmatch(same_name(entry)))


def same_name(name: str) -> str:
    """Return a key that is equal for names that some file system treats as the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def _cut(name: str) -> str:
    """Shorten a name to the length that file systems take, keeping its ending."""
    stem, ending = _split(name)
    room = _LONGEST - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + ending


def _split(name: str) -> tuple[str, str]:
    """Return a name without its ending, and the ending with its dot."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem and len(suffix.encode()) <= _LONGEST_SUFFIX else (name, "")


try:
    import fcntl
except ImportError:  # Windows: a file that is open cannot be opened to write by another process
    fcntl = None  # type: ignore[assignment]

_MOST_PARTS = 100
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EMLINK}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFile:
    """An unfinished download that only this process has open."""

    path: Path
    file: BinaryIO

    def flush(self) -> None:
        """Flush everything that was written to the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())


@contextmanager
def open_part(folder: Path, name: str, *, keep: bool) -> Iterator[PartFile]:
    """Open a part file; remove it in the end, unless it is kept for a later attempt.

    Args:
        folder: its folder.
        name: its name without ".part".
        keep: whether to keep the file if this attempt fails.
    """
    path, file = _open(folder, name)
    try:
        with file:
            yield PartFile(path=path, file=file)
    except BaseException as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not keep or full or _size(path) == 0:
            path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def drop_parts(folder: Path, name: str, *, is_whole: bool = False) -> None:
    """Remove the part files of a download.

    A part that also has the file's final name is always removed: its process was killed in between. Other
    parts are removed only if the file is complete (`is_whole`) and no process has them open.
    """
    for path in folder.glob(f"{glob.escape(name)}*.part"):
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and (status.st_nlink > 1 or (is_whole and _is_left(path))):
                path.unlink()


def publish(part: PartFile, folder: Path, name: str, taken: Collection[str]) -> Path:
    """Give a complete file its name, or the next free one; an existing file is never replaced."""
    names = [*taken]
    while True:
        path = folder / numbered(name, [*names, *os.listdir(folder)])
        try:
            _link(part.path, path)
        except FileExistsError:  # another process was faster
            names.append(path.name)
            continue
        return path


def _open(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    """Open the first part file of this name that no other process has."""
    for number in count(1):
        path = folder / (f"{name}.part" if number == 1 else f"{name}.{number}.part")
        is_new = True
        try:
            handle = create_own_file(path)
        except FileExistsError:
            if number > _MOST_PARTS:
                raise
            try:
                handle, is_new = open_own_file(path, write=True), False
            except OSError:  # another user's, or removed meanwhile: try the next name
                continue
        if _is_alone(handle, path, is_new=is_new):
            return path, os.fdopen(handle, "r+b")
        os.close(handle)
    raise AssertionError("unreachable")


def _is_alone(handle: int, path: Path, *, is_new: bool) -> bool:
    """Lock a part file; return whether no other process has it, and it still has this name."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this disk: only a new file is certainly not in use
        return is_new
    with suppress(OSError):
        # Its last owner may have finished it, and removed its name, since it was opened.
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    return False


def _is_left(path: Path) -> bool:
    """Return whether no process has a part file open, as far as can be seen."""
    if fcntl is None:
        return True  # removing it fails while a process has it open
    with os.fdopen(open_own_file(path, write=True), "rb") as part:
        return _is_alone(part.fileno(), path, is_new=False)


def _link(part: Path, path: Path) -> None:
    try:
        os.link(part, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A disk without links: an empty file reserves the name until the complete one replaces it.
        os.close(create_own_file(path))
        os.replace(part, path)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
