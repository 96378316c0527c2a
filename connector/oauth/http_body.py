"""Read a response's body and headers within limits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import requests
from requests.exceptions import RequestException

from connector.clock import http_date

__all__ = [
    "CALL_SECONDS",
    "LARGE_LISTS",
    "Limits",
    "UnusableError",
    "json_object",
    "json_value",
    "read_body",
    "retry_after",
]

# The longest time in seconds for a call to a token endpoint, from its start to the last byte of the response.
# Nothing is sent after it.
CALL_SECONDS = 45.0
_LONGEST_WAIT = 300.0
# Two layers make a decompression bomb: 1,827 bytes of `gzip, gzip` become 2 GiB.
_REQUESTED_CODINGS = ("", "identity", "gzip", "x-gzip")
# Some servers send deflate unrequested, or an invalid coding; the tokens must not be lost because of it.
_TOLERATED_CODINGS = (*_REQUESTED_CODINGS, "deflate", "none", "utf-8")
_SECONDS = re.compile(r"(\d+)(?:\.\d*)?(?:\s*,.*)?$", re.ASCII)
# Possessive, and up to the end if the string is not closed, so that a search takes linear time.
_STRING = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)


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


class UnusableError(RequestException):
    """The response cannot be read within the limits."""


def json_value(response: requests.Response) -> Any:
    """Return the JSON in a response, in any Unicode encoding; bytes that do not belong to it are replaced.

    Raises:
        ValueError: it is not JSON, or has more values than the transport's limits allow.
    """
    limits = getattr(getattr(response, "connection", None), "limits", None) or Limits()
    text = response.content.decode(json.detect_encoding(response.content), "replace")
    count = text.count(",") + text.count("[") + text.count("{")
    if count > limits.values:  # some of them may be inside strings
        bare = _STRING.sub("", text)
        if bare.count(",") + bare.count("[") + bare.count("{") > limits.values:
            raise ValueError("too many values")
    try:
        return _parsed(text)
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
        return min(float(found[1]), _LONGEST_WAIT)
    until, present = (http_date(text) for text in (value, response.headers.get("Date")))
    if until is None:
        return None
    since = now if present is None else present.timestamp()
    return min(max(until.timestamp() - since, 0.0), _LONGEST_WAIT)


def read_body(response: requests.Response, limit: int | None) -> None:
    """Read and decompress the body into the response, and close the response if that is not possible.

    Args:
        response: the response, with only its headers read.
        limit: the most bytes it may have, decompressed; None leaves it unread.

    Raises:
        UnusableError: it is longer, compressed more than once, or in an unknown way.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    try:
        if coding not in (_REQUESTED_CODINGS if limit is None else _TOLERATED_CODINGS):
            raise UnusableError("the response is compressed in a way that was not requested")
        if limit is None:
            return
        # urllib3 decompresses no more than it is asked for.
        body = response.raw.read(limit + 1, decode_content=True)
        if len(body) > limit:
            raise UnusableError("the response is too large")
    except BaseException:
        response.close()
        raise
    response._content = body
    response._content_consumed = True  # type: ignore[attr-defined]
    response.encoding = response.encoding or "utf-8"  # so that requests does not guess it, which is slow


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # int() refuses a number of thousands of digits, which must not make the response unusable.
        return json.loads(text, parse_int=float)
