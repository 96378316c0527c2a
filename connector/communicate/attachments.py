"""Downloads of a case's files into a folder: each by whoever may have it, none over another."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from connector.communicate.case import Case, CaseFile
from connector.communicate.case_reader import CaseReader
from connector.communicate.file_names import name_of, numbered
from connector.communicate.regions import own_address
from connector.communicate.transfer import Progress, Transfer
from connector.errors import CaseNotFoundError, ConnectorError, SettingError

__all__ = ["Download", "Downloader"]

_MARK = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What became of one file.

    Attributes:
        file: which.
        path: where it is now, or None if it could not be had; its name may name the patient.
        size: bytes.
        verified: whether its SHA-1 was told, and is right.
        error: why it could not be had, or None.
    """

    file: CaseFile
    path: Path | None = field(default=None, repr=False)
    size: int = 0
    verified: bool = False
    error: ConnectorError | None = None


class Downloader:
    """Downloads files of one case into a folder.

    Args:
        reader: speaks as the practice.
        lab: returns what speaks as Ormco's own lab account of the region, or None where none is connected.
        origins: the provider's own origins.
        progress: told how far it is.
    """

    def __init__(
        self,
        reader: CaseReader,
        *,
        lab: Callable[[], CaseReader | None],
        origins: Iterable[str],
        progress: Progress = lambda file, done, size: None,
    ) -> None:
        self._reader = reader
        self._lab = lab
        self._origins = tuple(origins)
        self._progress = progress

    def run(self, case: Case, files: Iterable[CaseFile], folder: Path) -> Iterator[Download]:
        """Download files one after the other; one that cannot be had does not stop the others.

        Raises:
            connector.errors.SettingError: the folder cannot be written.
        """
        _make_folder(folder)
        taken: list[str] = []
        for file in files:
            name = numbered(name_of(file), taken)
            try:
                download = self._fetch(case, file, folder, name, taken)
            except ConnectorError as error:
                download = Download(file=file, error=error)
            except OSError as error:
                raise _unwritable(folder, error) from None
            taken.append(download.path.name if download.path else name)
            yield download

    def _fetch(self, case: Case, file: CaseFile, folder: Path, name: str, taken: list[str]) -> Download:
        present = _present(folder, name, file, taken)
        if present is not None:
            return Download(file=file, path=present, size=present.stat().st_size, verified=True)
        part = folder / f".{(file.sha1 or 'file')[:12]}-{name}.part"
        with Transfer(part, file, self._progress) as transfer:
            self._transfer(case, file, transfer)
        target = folder / numbered(name, [*taken, *(entry.name for entry in folder.iterdir())])
        part.replace(target)
        _sync(folder)
        return Download(file=file, path=target, size=transfer.size, verified=file.sha1 is not None)

    def _transfer(self, case: Case, file: CaseFile, transfer: Transfer) -> None:
        """Ask as the practice, and as the lab's own account for what only that is given."""
        lab = self._lab() if file.file_type == "stl" else None
        if lab is None:
            try:
                transfer.run(self._reader.api, self._address(self._reader, case, file))
                return
            except CaseNotFoundError:
                lab = lab or self._lab()
                if lab is None and file.file_type != "stl":
                    raise
        if lab is None:
            raise _needs_lab(self._reader.place.region)
        try:
            transfer.run(lab.api, self._address(lab, case, file))
        except CaseNotFoundError:
            raise _not_for_lab(lab.place.region) from None

    def _address(self, reader: CaseReader, case: Case, file: CaseFile) -> str:
        """Return where a file is; a host that is not the provider's own is never asked."""
        base = reader.place.api_url
        named = own_address(file.href, base, self._origins)
        if named is not None:
            return named
        mark = file.sha1 or file.id or ""
        if not _MARK.fullmatch(mark):
            raise CaseNotFoundError(
                "a file's address is not on one of the provider's own hosts", hint="It was not asked for."
            )
        return f"{base}cases/{case.id}/attachments/{mark}"


def _present(folder: Path, name: str, file: CaseFile, taken: list[str]) -> Path | None:
    """Return the file where an earlier download has put it, whole."""
    tried: list[str] = []
    path = folder / name
    while file.sha1 and path.is_file() and not path.is_symlink():
        if path.name not in taken and _sha1_of(path) == file.sha1:
            return path
        tried.append(path.name)
        path = folder / numbered(name, tried)
    return None


def _sha1_of(path: Path) -> str:
    with path.open("rb") as content:
        # By the provider's choice; it is there against damage, not against an attacker.
        return hashlib.file_digest(content, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _sync(folder: Path) -> None:
    with suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(folder: Path, error: OSError) -> SettingError:
    return SettingError(
        f"the folder {str(folder)!r} cannot be used: {error.strerror or error}",
        hint="Choose another with --to, on a disk with room.",
    )


def _needs_lab(region: str) -> CaseNotFoundError:
    return CaseNotFoundError(
        f"STL files are given to the lab's own account alone, and none is connected for {region}",
        hint=f"Connect it: ormco connect lab:{region}",
    )


def _not_for_lab(region: str) -> CaseNotFoundError:
    return CaseNotFoundError(
        f"the lab's own account (lab:{region}) is not given this file either",
        hint="STL files need a special permission from 3Shape; the lab has to be a side of the case.",
    )
