"""Fetch one complete file within a time limit; resume it only if the server confirms that it is the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import requote_uri

from connector.clock import Deadline, http_date
from connector.communicate.case_reader import refusal
from connector.communicate.client import ApiClient, unexpected_response
from connector.communicate.models import CaseFile
from connector.communicate.regions import own_address
from connector.errors import ProviderUnavailableError, SettingError
from connector.oauth.http import stream
from connector.oauth.provider import require_secure

__all__ = ["Progress", "Transfer"]

_CHUNK = 1 << 17
_FUTILE_ATTEMPTS = 6
_LARGEST = 1 << 35
_LONGEST_NUMBER = 18  # digits
_LONGEST_SECONDS = 6 * 3600.0
_LONGEST_PAUSE = 60.0
_MOST_REDIRECTS = 3
_STRONG_AFTER = timedelta(minutes=1)  # RFC 9110 §8.8.2.2
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RANGE = re.compile(r"bytes (?:(\d{1,15})-\d{1,15}|\*)/(\d{1,15}|\*)")

# Called with the file, the bytes that have arrived, and its size in bytes, or None.
Progress = Callable[[CaseFile, int, int | None], object]


class Transfer:
    """Fetches one file into an open file object.

    Args:
        out: the file object, readable and seekable; its content is used as the beginning of the file if
            the file has a SHA-1, which is checked at the end.
        file: the file to fetch.
        hosts: hosts other than the provider's that a redirect may lead to, such as a cloud's storage. They
            never get the token.
        progress: called with the file, the bytes that have arrived, and its size in bytes or None.
    """

    def __init__(
        self, out: BinaryIO, file: CaseFile, *, hosts: Collection[str] = (), progress: Progress
    ) -> None:
        self._out = out
        self._wanted = file
        self._hosts = frozenset(host.lower() for host in hosts)
        self._progress = progress
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._total: int | None = None
        self._validator: str | None = None
        self.size: int = 0
        self._resume()

    @property
    def sha1(self) -> str:
        """SHA-1 of the bytes that have arrived, in hex."""
        return self._digest.hexdigest()

    def run(self, api: ApiClient, url: str) -> None:
        """Fetch the file; after an interruption, resume it as long as that makes progress.

        Raises:
            connector.errors.ConnectorError: it cannot be fetched, or is damaged.
            OSError: it cannot be written.
        """
        deadline = api.clock.deadline(_LONGEST_SECONDS)
        futile = damaged = 0
        farthest = self.size
        while damaged < 2:
            try:
                self._receive(api, url, deadline)
            except ProviderUnavailableError as error:
                # Only new bytes are progress: a server may start from the beginning each time.
                futile = 0 if self.size > farthest else futile + 1
                farthest = max(farthest, self.size)
                pause = error.retry_after or 0.1 * 2**futile
                if futile >= _FUTILE_ATTEMPTS or pause > _LONGEST_PAUSE or not deadline.pause(pause):
                    raise
                continue
            if self._wanted.sha1 in (None, self.sha1):
                return
            # Try once more from the start: the bytes of an earlier attempt may be the cause.
            damaged += 1
            farthest = 0
            self._restart()
        raise ProviderUnavailableError(
            "a file arrived damaged twice: its SHA-1 is not the one the provider states",
            hint="No part of it was kept. Try again later; if it happens again, ask 3Shape's support.",
        )

    def _resume(self) -> None:
        """Keep the bytes of an earlier attempt, if their content can be checked at the end."""
        self._out.seek(0)
        if self._wanted.sha1 is None:
            self._restart()
            return
        while chunk := self._out.read(_CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)

    def _receive(self, api: ApiClient, url: str, deadline: Deadline) -> None:
        response = self._open(api, url)
        try:
            self._begin(response)
            for chunk in stream(response) if response.status_code != 416 else ():
                self._write(chunk)
                if deadline.passed:  # which also ends the attempts: there is no time for another
                    raise unexpected_response(
                        url, f"a file that takes over {_LONGEST_SECONDS / 3600:.0f} hours"
                    )
                if self.size > _LARGEST:
                    raise unexpected_response(url, "a file that does not end")
            if self._total is not None and self.size != self._total:
                raise unexpected_response(url, f"{self.size} of {self._total} bytes")
        finally:
            response.close()

    def _open(self, api: ApiClient, url: str) -> requests.Response:
        """Request the file, or the rest of it; follow redirects to allowed hosts."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            # Without If-Range, bytes of a changed file would be appended to those of the old one.
            headers |= {"If-Range": self._validator} if self._validator else {}
        response = api.send("GET", url, headers=headers, stream=True)
        for _ in range(_MOST_REDIRECTS):
            if response.status_code not in _REDIRECTS:
                break
            response.close()
            url = self._redirected(api, url, response.headers.get("Location") or url)
            response = api.send_unauthorized(url, headers=headers, stream=True)
        if response.status_code not in (200, 206, 416):
            raise refusal(response, api.clock)
        return response

    def _redirected(self, api: ApiClient, url: str, location: str) -> str:
        location = requote_uri(location)  # some servers leave spaces in it
        own = own_address(location, url, api.origins)
        if own is not None:
            return own
        try:
            target = urljoin(url, location)
            host = urlsplit(target).hostname or "nowhere"
        except ValueError:
            target, host = "", "an address that cannot be read"
        if host not in self._hosts:
            raise SettingError(
                f"the provider sends the download to {host}, which is not one of its own hosts",
                hint="If 3Shape stores its files there, add the host to the provider's download_hosts.",
            )
        return require_secure(target, "the address to which the provider sends the download")

    def _begin(self, response: requests.Response) -> None:
        """Move to the position at which the response continues."""
        validator = _validator(response)
        if response.status_code == 200:
            self._restart()
            self._validator = validator
            # If a file comes compressed unrequested, this is the compressed length.
            self._total = None if _is_packed(response) else _number(response.headers.get("Content-Length"))
            return
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        start, total = map(_number, found.groups()) if found else (None, None)
        if response.status_code == 416 and total == self.size > 0:
            start = self.size  # nothing is missing
        elif response.status_code == 416:
            start = None
        if start != self.size or not self._is_same_file(total, validator):
            self._restart()
            raise unexpected_response(response.url, "another part or another file than requested")
        self._total = total if total is not None else self._total

    def _is_same_file(self, total: int | None, validator: str | None) -> bool:
        """Return whether a response continues the same file, by its headers or by a SHA-1 to check later."""
        if self._total is not None and total is not None and total != self._total:
            return False
        if self._wanted.sha1 is not None:
            return True
        same = self.size == 0 or (validator is not None and validator == self._validator)
        return same and total is not None

    def _write(self, chunk: bytes) -> None:
        self._out.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        self._progress(self._wanted, self.size, self._total)

    def _restart(self) -> None:
        self._out.seek(0)
        self._out.truncate()
        self._digest = hashlib.sha1(usedforsecurity=False)
        self.size = 0
        self._total = self._validator = None


def _validator(response: requests.Response) -> str | None:
    """Return a value for `If-Range`: a strong ETag, or the date of the last change (RFC 9110 §13.1.5).

    The date is used only if a minute has passed since: within one second a file can change twice.
    """
    etag = response.headers.get("ETag", "")
    if _is_packed(response):  # a range would refer to the compressed file
        return None
    if etag.startswith('"'):
        return etag
    changed, now = (http_date(response.headers.get(name)) for name in ("Last-Modified", "Date"))
    is_old = changed is not None and now is not None and now - changed >= _STRONG_AFTER
    return response.headers["Last-Modified"] if is_old else None


def _is_packed(response: requests.Response) -> bool:
    return response.headers.get("Content-Encoding", "identity").strip().lower() != "identity"


def _number(text: str | None) -> int | None:
    is_number = text and text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if text and is_number else None
