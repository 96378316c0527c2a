"""Names for downloaded files that are safe on every system, whatever the provider called them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from connector.communicate.models import CaseFile

__all__ = ["name_of", "numbered", "safe_name", "same_name"]

_LONGEST = 120  # bytes: leaves room for a path on Windows, and for the name of an unfinished download
_LONGEST_SUFFIX = 16
_FORBIDDEN = re.compile(r'[<>:"|?*/\\]')
# Windows opens a device for these, whatever the ending and in any folder.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=$|[. ])", re.IGNORECASE)


def name_of(file: CaseFile) -> str:
    """Return the name to give a file: its own, made safe, or one made of what it is."""
    ending = f".{file.file_type}" if file.file_type else ""
    if file.name:
        return safe_name(file.name)
    mark = (file.sha1 or file.id or "")[:8]
    return safe_name("-".join(part for part in (file.kind, file.part, mark) if part) + ending)


def safe_name(name: str) -> str:
    r"""Return the last part of a name, without what any file system or terminal takes amiss.

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
    text = re.sub(r"^[.\-~ ]+", "_", text)  # hidden, an option, or somebody's home
    if _DEVICES.match(text):
        text = f"_{text}"
    return _cut(text) or "file"


def numbered(name: str, taken: Collection[str]) -> str:
    """Return a name that is none of those taken, by adding a number before its ending."""
    present = {same_name(other) for other in taken}
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    number, candidate = 2, name
    while same_name(candidate) in present:
        candidate = f"{stem} ({number}){dot}{suffix}"
        number += 1
    return candidate


def same_name(name: str) -> str:
    """Return what is equal for names that some file system holds for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def _cut(name: str) -> str:
    """Shorten a name to what file systems take, keeping its ending."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem or len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = _LONGEST - len(f"{dot}{suffix}".encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    return f"{stem}{dot}{suffix}"
