"""Download a case's files to a folder or to a caller's object: complete, and without overwriting a file."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from connector.communicate.case_reader import CaseReader
from connector.communicate.download_folder import drop_parts, forms_of, name_of, numbered, open_part, publish
from connector.communicate.models import KINDS, Case, CaseFile
from connector.communicate.regions import own_address
from connector.communicate.transfer import Progress, Transfer
from connector.errors import CaseNotFoundError, ConnectorError, SettingError
from connector.own_files import open_own_file
from connector.own_folders import make_own_folder, sync_folder

__all__ = ["Download", "Downloader", "Target", "Writable", "files_of"]

_CHUNK = 1 << 17
_FILE_KEY = re.compile(r"[A-Za-z0-9-]{1,100}")


class Writable(Protocol):
    """An object that a file can be written to."""

    def write(self, data: bytes, /) -> object:
        """Write some bytes."""


# A folder; a function that returns an object to write a file to; or that object, for a single file.
Target = str | os.PathLike[str] | Callable[[CaseFile], Writable] | Writable


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """The result of the download of one file.

    Attributes:
        file: the file.
        path: its path; None if it was written to a caller's object, or not fetched. It may contain the
            patient's name.
        size: its size in bytes.
        verified: whether the provider states its SHA-1, and it matches.
        error: the error if it was not fetched, or None.
    """

    file: CaseFile
    path: Path | None = field(default=None, repr=False)
    size: int = 0
    verified: bool = False
    error: ConnectorError | None = None


class Downloader:
    """Downloads files of one case.

    Args:
        reader: the practice's reader.
        lab: returns the reader of Ormco's own lab account of the region, or None if none is connected.
        hosts: further hosts that a redirect may lead to.
        progress: called with the file, the bytes that have arrived, and its size in bytes or None.
    """

    def __init__(
        self,
        reader: CaseReader,
        *,
        lab: Callable[[], CaseReader | None],
        hosts: Collection[str] = (),
        progress: Progress = lambda file, done, size: None,
    ) -> None:
        self._reader = reader
        self._lab = lab
        self._hosts = hosts
        self._progress = progress

    def run(self, case: Case, files: Collection[CaseFile], target: Target) -> Iterator[Download]:
        """Download files one after the other; one that fails does not stop the others.

        Raises:
            connector.errors.SettingError: the folder cannot be made, or nothing can be written to the target.
        """
        place = _checked(target, len(files))
        if isinstance(place, Path):
            _make_folder(place)
        taken: list[str] = []
        for file in files:
            try:
                if isinstance(place, Path):
                    download = self._save(case, file, place, taken)
                else:
                    download = self._hand_over(case, file, place)
            except ConnectorError as error:
                download = Download(file=file, error=error)
            except OSError as error:
                # Also a full disk: earlier files are kept, and a smaller file may fit.
                where = place if isinstance(place, Path) else "the target"
                download = Download(file=file, error=_unwritable(where, error))
            taken += [download.path.name] if download.path else []
            yield download

    def _save(self, case: Case, file: CaseFile, folder: Path, taken: list[str]) -> Download:
        name = numbered(name_of(file), taken)
        unfinished = f".{(file.sha1 or 'file')[:12]}-{name}"
        drop_parts(folder, unfinished)
        present = _present(folder, file, file.sha1, taken) if file.sha1 else None
        if present is not None:
            drop_parts(folder, unfinished, is_whole=True)
            return Download(file=file, path=present, size=present.stat().st_size, verified=True)
        with open_part(folder, unfinished, keep=file.sha1 is not None) as part:
            transfer = self._transfer(case, file, part.file)
            part.flush()
            # The folder may contain it already: its SHA-1 was unknown, or another process was faster.
            present = _present(folder, file, transfer.sha1, taken)
            path = present or publish(part, folder, name, taken)
        drop_parts(folder, unfinished, is_whole=True)
        with suppress(OSError):  # not every file system supports it
            sync_folder(folder)
        return Download(file=file, path=path, size=transfer.size, verified=file.sha1 is not None)

    def _hand_over(self, case: Case, file: CaseFile, place: Callable[[CaseFile], Writable]) -> Download:
        """Write a file to the caller's object; nothing is written before it is complete and verified."""
        with tempfile.TemporaryFile() as whole:
            transfer = self._transfer(case, file, whole)
            whole.seek(0)
            out = place(file)
            while chunk := whole.read(_CHUNK):
                taken = out.write(chunk)
                if isinstance(taken, int) and 0 < taken < len(chunk):  # a raw file may write only a part
                    whole.seek(taken - len(chunk), os.SEEK_CUR)
        return Download(file=file, size=transfer.size, verified=file.sha1 is not None)

    def _transfer(self, case: Case, file: CaseFile, out: BinaryIO) -> Transfer:
        """Fetch a file with the practice's token, or with the lab's if only the lab has access."""
        transfer = Transfer(out, file, hosts=self._hosts, progress=self._progress)
        lab = self._lab() if file.file_type == "stl" else None
        if lab is None:
            try:
                transfer.run(self._reader.api, self._address(self._reader, case, file))
                return transfer
            except CaseNotFoundError:
                lab = self._lab()
                if lab is None and file.file_type != "stl":
                    raise
        if lab is None:
            region = self._reader.region.name
            raise CaseNotFoundError(
                f"only the lab's own account has access to STL files, and none is connected for {region}",
                hint=f"Connect it: the connection lab:{region}.",
            )
        try:
            transfer.run(lab.api, self._address(lab, case, file))
        except CaseNotFoundError:
            raise CaseNotFoundError(
                f"the lab's own account (lab:{lab.region.name}) has no access to this file either",
                hint="STL files need a special permission from 3Shape; "
                "the lab has to be a party of the case.",
            ) from None
        return transfer

    def _address(self, reader: CaseReader, case: Case, file: CaseFile) -> str:
        """Return the address of a file; a host that is not the provider's own is refused."""
        base = reader.region.api_url
        named = own_address(file.href, base, reader.api.origins)
        if named is not None:
            return named
        key = file.sha1 or file.id or ""
        if not _FILE_KEY.fullmatch(key):
            raise CaseNotFoundError(
                "a file's address is not on one of the provider's own hosts", hint="No request was sent."
            )
        return f"{base}cases/{case.id}/attachments/{key}"


def files_of(case: Case, kinds: Collection[str]) -> list[CaseFile]:
    """Return a case's files of some kinds.

    Raises:
        connector.errors.SettingError: a kind does not exist.
    """
    if unknown := {*kinds} - {*KINDS}:
        raise SettingError(
            f"there are no files of the kind {', '.join(sorted(map(repr, unknown)))}",
            hint=f"Name any of {', '.join(KINDS)}.",
        )
    return [file for file in case.files if file.kind in kinds]


def _checked(target: Target, count: int) -> Path | Callable[[CaseFile], Writable]:
    if isinstance(target, str | os.PathLike):
        return Path(target)
    if callable(target):
        return target
    if not hasattr(target, "write"):
        raise SettingError(
            f"a file cannot be written to {type(target).__name__}",
            hint="Give a folder, a file object, or a function that returns one for each file.",
        )
    if count > 1:
        raise SettingError(
            f"{count} files cannot be written to one file object",
            hint="Give a folder, or a function that returns a file object for each file.",
        )
    return lambda file: target


def _present(folder: Path, file: CaseFile, sha1: str, taken: Collection[str]) -> Path | None:
    """Return the path of the file if the folder contains it from an earlier download, or None."""
    paths = (path for path in forms_of(name_of(file), folder) if path.name not in taken)
    return next((path for path in paths if _own_sha1(path) == sha1), None)


def _own_sha1(path: Path) -> str | None:
    """Return a file's SHA-1; None if other users could change the file after the check."""
    with suppress(OSError), os.fdopen(open_own_file(path, closed=False), "rb") as content:
        # SHA-1 is the provider's choice; it protects against damage, not against an attacker.
        return hashlib.file_digest(content, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    return None


def _make_folder(folder: Path) -> None:
    try:
        make_own_folder(folder)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise _unwritable(folder, error) from None


def _unwritable(where: object, error: OSError | ValueError) -> SettingError:
    what = f"the folder {str(where)!r}" if isinstance(where, Path) else str(where)
    return SettingError(
        f"{what} cannot be used: {getattr(error, 'strerror', None) or error}",
        hint="Choose another one, on a disk with free space.",
    )
