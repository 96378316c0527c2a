"""One file on its way: resumed where it was cut, verified, and never readable by others."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

import requests
from requests.exceptions import ReadTimeout, RequestException
from urllib3.exceptions import HTTPError, ReadTimeoutError

from connector.communicate.case import CaseFile
from connector.communicate.metadata import MetadataApi
from connector.errors import ProviderUnavailableError
from connector.oauth.http import failure

__all__ = ["Progress", "Transfer"]

_CHUNK = 1 << 17
_SMALL_CHUNK = 1 << 12
_FUTILE_ATTEMPTS = 6
_LARGEST = 1 << 35
_LONGEST_SECONDS = 6 * 3600.0
_LONGEST_PAUSE = 60.0
_RANGE = re.compile(r"bytes (?:(\d{1,15})-\d{1,15}|\*)/(\d{1,15}|\*)")

# Called with the file, the bytes that are there, and the bytes it has, or None.
Progress = Callable[[CaseFile, int, int | None], None]


class Transfer:
    """Fetches one file into its unfinished form; a context manager that closes it.

    Args:
        part: where the unfinished file is; what an earlier attempt left is used if its content is known.
        file: which file.
        progress: told how far it is.
    """

    def __init__(self, part: Path, file: CaseFile, progress: Progress) -> None:
        self._part = part
        self._wanted = file
        self._progress = progress
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._total: int | None = None
        self.size = 0

    def run(self, api: MetadataApi, url: str) -> None:
        """Fetch the file, going on where it was cut for as long as that brings something.

        Raises:
            connector.errors.ConnectorError: it cannot be had, or is damaged.
        """
        self._open()
        deadline = api.clock.deadline(_LONGEST_SECONDS)
        futile = damaged = 0
        while damaged < 2:
            before = self.size
            try:
                self._receive(api, url)
            except ProviderUnavailableError as error:
                futile = 0 if self.size > before else futile + 1
                pause = error.retry_after or 0.1 * 2**futile
                if futile >= _FUTILE_ATTEMPTS or pause > _LONGEST_PAUSE or not deadline.pause(pause):
                    raise
                continue
            if self._wanted.sha1 in (None, self._digest.hexdigest()):
                self._finish()
                return
            # Once more from the start: what was left of an earlier attempt may be to blame.
            damaged += 1
            self._restart()
        raise ProviderUnavailableError(
            "a file arrived damaged twice: its SHA-1 is not the one the provider tells",
            hint="Nothing of it was kept. Try again later; if it stays so, ask 3Shape's support.",
        )

    def _open(self) -> None:
        if self._file is not None:
            self._restart()
            return
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.fdopen(os.open(self._part, flags, 0o600), "r+b")
        with suppress(AttributeError, OSError):  # one that somebody else made may be open to all
            os.fchmod(self._file.fileno(), 0o600)
        if self._wanted.sha1 is None:
            self._restart()
            return
        while chunk := self._file.read(_CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)

    def _receive(self, api: MetadataApi, url: str) -> None:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
        response = api.open(url, headers=headers, accept=(200, 206, 416))
        try:
            for chunk in self._begin(response, url):
                self._write(chunk)
                if self.size > _LARGEST:
                    raise _odd(url, "a file that does not end")
        finally:
            response.close()

    def _begin(self, response: requests.Response, url: str) -> Iterator[bytes]:
        """Go to where the answer goes on; return the bytes that follow."""
        if response.status_code == 200:
            self._restart()
            self._total = _number(response.headers.get("Content-Length"))
            return _body(response, url)
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        start, self._total = map(_number, found.groups()) if found else (None, None)
        if response.status_code == 416 and self._total == self.size:
            return iter(())  # nothing is missing
        if response.status_code == 416 or start != self.size:
            self._restart()
            raise _odd(url, "another part of the file than was asked for")
        return _body(response, url)

    def _write(self, chunk: bytes) -> None:
        if self._file is not None:
            self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        self._progress(self._wanted, self.size, self._total)

    def _restart(self) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
        self._digest = hashlib.sha1(usedforsecurity=False)
        self.size = 0

    def _finish(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        # What was fetched of a file with a known content is left for the next attempt.
        if exc[0] is not None and (self._wanted.sha1 is None or self.size == 0):
            self._part.unlink(missing_ok=True)


def _body(response: requests.Response, url: str) -> Iterator[bytes]:
    """Yield bytes as they come: a read of a whole chunk would lose what came of it before a cut."""
    read = getattr(response.raw, "read1", None)
    size = _CHUNK if read else _SMALL_CHUNK  # urllib3 1 has no read1
    while True:
        try:
            chunk = (read or response.raw.read)(size, decode_content=True)
        except ReadTimeoutError:
            raise failure(ReadTimeout(), url) from None
        except (HTTPError, OSError) as exc:
            raise failure(RequestException(exc), url) from None
        if not chunk:
            return
        yield chunk


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _odd(url: str, what: str) -> ProviderUnavailableError:
    host = url.split("/")[2]
    return ProviderUnavailableError(f"{host} sent {what}", hint="Try again in a few minutes.")
