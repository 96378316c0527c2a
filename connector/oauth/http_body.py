"""Read a response's body and headers within limits."""

from __future__ import annotations

import json
import math
import re
import zlib
from dataclasses import dataclass
from typing import Any

import requests
from requests.exceptions import RequestException

from connector.clock import http_date
from connector.oauth.http_errors import UnusableError

__all__ = [
    "CALL_SECONDS",
    "LARGE_LISTS",
    "Limits",
    "json_object",
    "json_value",
    "read_whole",
    "require_known_coding",
    "retry_after",
]

# The longest time in seconds for a call to a token endpoint, from its start to the last byte of the response.
# Nothing is sent after it.
CALL_SECONDS = 45.0
_CHUNK = 64 * 1024
_LONGEST_WAIT = 300.0
# int() refuses longer ones, and json would refuse the whole response.
_LONGEST_NUMBER = 400
_GZIP = ("gzip", "x-gzip")
_SECONDS = re.compile(r"(\d+)(?:\.\d*)?(?:\s*,.*)?$", re.ASCII)
# Possessive, and to the end where nothing closes it: linear, whatever the text.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on a response.

    Attributes:
        seconds: seconds for the whole call; for a streamed one, until its headers have arrived.
        stream_seconds: seconds for a whole streamed call.
        body: decompressed bytes of a response that is not streamed.
        values: JSON values in it. An empty object takes 2 bytes of a response, and 64 bytes of memory.
        idle: seconds after which an open connection is not used again. Servers and firewalls silently drop
            idle connections, and a request on one would count as sent.
    """

    seconds: float = CALL_SECONDS
    stream_seconds: float = 6 * 3600.0
    body: int = 1024 * 1024
    values: int = 50_000
    idle: float = 20.0


# For a list without pages: enough for a week of a busy lab.
LARGE_LISTS = Limits(seconds=120.0, body=64 * 1024 * 1024, values=2_000_000)


def json_value(response: requests.Response) -> Any:
    """Return the JSON in a response; bytes that are not UTF-8 are replaced.

    Raises:
        ValueError: it is not JSON, or has more values than the transport's limits allow.
    """
    limits = getattr(getattr(response, "connection", None), "limits", None) or Limits()
    if _values(response.content, limits.values) > limits.values:
        raise ValueError("too many values")
    try:
        return json.loads(response.content.decode("utf-8-sig", "replace"), parse_int=_number)
    except RecursionError:
        raise ValueError("too deep") from None


def json_object(response: requests.Response) -> dict[str, Any] | None:
    """Return the body as a JSON object, or None if it is anything else."""
    try:
        value = json_value(response)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def retry_after(response: requests.Response, now: float) -> float | None:
    """Return the seconds a `Retry-After` header asks for (RFC 9110 §10.2.3), at most 5 minutes, or None.

    Args:
        response: the response.
        now: seconds since 1970; the response's own `Date` is preferred.
    """
    value = response.headers.get("Retry-After", "").strip()
    if found := _SECONDS.match(value):
        return min(float(found[1][:9]), _LONGEST_WAIT)
    until, present = (http_date(text) for text in (value, response.headers.get("Date")))
    if until is None:
        return None
    since = now if present is None else present.timestamp()
    return min(max(until.timestamp() - since, 0.0), _LONGEST_WAIT)


def require_known_coding(response: requests.Response) -> None:
    """Refuse a response that is compressed more than once, or in a way that was not requested.

    Two layers make a decompression bomb: 1,827 bytes of `gzip, gzip` become 2 GiB.
    """
    if _coding(response) not in ("", "identity", *_GZIP):
        response.close()
        raise UnusableError("the answer is packed in a way that nobody asked for")


def read_whole(response: requests.Response, limit: int) -> None:
    """Read the body into the response, or give up if it is too long or too slow."""
    try:
        response._content = _inflated(response, limit)
    except zlib.error as exc:
        response.close()
        raise RequestException(exc) from None
    except Exception:
        response.close()
        raise
    response._content_consumed = True  # type: ignore[attr-defined]
    response.encoding = response.encoding or "utf-8"  # so that requests does not guess it, which is slow
    response.raw.release_conn()


def _inflated(response: requests.Response, limit: int) -> bytes:
    inflater = zlib.decompressobj(31) if _coding(response) in _GZIP else None
    body, received = bytearray(), 0
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        received += len(chunk)
        # Never decompress more than the limit, whatever a chunk contains.
        body += inflater.decompress(chunk, limit + 1 - len(body)) if inflater else chunk
        if max(received, len(body)) > limit:
            raise UnusableError("the answer is far too large to be one")
    if inflater and received and (not inflater.eof or inflater.unused_data):
        raise zlib.error("not one whole stream")
    return bytes(body)


def _coding(response: requests.Response) -> str:
    return response.headers.get("Content-Encoding", "").strip().lower()


def _values(body: bytes, limit: int) -> int:
    """Count the JSON values in a body by commas and brackets; those in strings only up to the limit."""
    count = sum(map(body.count, (b",", b"[", b"{")))
    if count > limit:  # some of them may be inside strings
        bare = _STRING.sub(b"", body)
        count = sum(map(bare.count, (b",", b"[", b"{")))
    return count


def _number(digits: str) -> float:
    return int(digits) if len(digits) < _LONGEST_NUMBER else math.inf
