"""The transfer of one file: complete or an error, resumed only if the server confirms it, within its time."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
from typing import Any

import pytest

from connector.communicate.client import ApiClient
from connector.communicate.models import CaseFile
from connector.communicate.transfer import Transfer
from connector.errors import ProviderUnavailableError, SettingError
from tests.support.clock import ManualClock
from tests.support.responses import dripping, raw_response, serving

OLD, NEW = b"0123456789" * 100, b"abcdefghij" * 100
REQUESTS: list[Any] = []  # of the newest `fetch`
SHA1 = hashlib.sha1(OLD, usedforsecurity=False).hexdigest()


def part(content: bytes, start: Any, *, total: Any = None, end: Any = None, **headers: Any) -> Any:
    """Return a response with the rest of a file."""
    body = content[start:end]
    total = len(content) if total is None else total
    span = f"bytes {start}-{start + len(body) - 1}/{total}"
    return raw_response(body, 206, Content_Range=span, **headers)


def cut(content: bytes, length: Any, **headers: Any) -> Any:
    """Return a response that ends before its length says."""
    return raw_response(content, **headers).partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + content[:length]


def fetch(
    *responses: Any,
    sha1: Any = None,
    left: bytes = b"",
    clock: Any = None,
    hosts: Any = (),
    foreign: Any = (),
) -> Any:
    """Fetch a file from a server with these responses; return its bytes and the requests."""
    out = io.BytesIO(left)
    clock = clock or ManualClock()
    with serving(*responses) as server:
        api = ApiClient(lambda _: "AT", origins=[server.url, *foreign], clock=clock)
        transfer = Transfer(
            out, CaseFile(kind="scan", sha1=sha1), hosts=hosts, progress=lambda file, done, size: None
        )
        try:
            transfer.run(api, f"{server.url}/file")
        finally:
            REQUESTS[:] = server.requests
    return out.getvalue()


def ranges() -> Any:
    return [(request.headers.get("Range"), request.headers.get("If-Range")) for request in REQUESTS]


CHANGED = "Tue, 03 Mar 2026 12:00:00 GMT"
# A file can change twice within a second, and keep its weak tag.
WEAK: list[dict[str, str]] = [
    {},
    {"ETag": 'W/"v1"'},
    {"Last_Modified": CHANGED, "Date": "Tue, 03 Mar 2026 12:00:59 GMT"},
    {"Last_Modified": CHANGED, "Date": "yesterday"},
    {"Last_Modified": CHANGED},
]


@pytest.mark.parametrize(
    "validator", [{"ETag": '"v1"'}, {"Last_Modified": CHANGED, "Date": "Tue, 03 Mar 2026 12:01:00 GMT"}]
)
def test_resume_asks_whether_it_is_the_same_file(validator: Any) -> None:
    """Without a SHA-1, the rest is asked for with `If-Range`, by ETag or date."""
    assert fetch(cut(OLD, 400, **validator), part(OLD, 400, **validator)) == OLD
    assert ranges() == [(None, None), ("bytes=400-", next(iter(validator.values())))]


@pytest.mark.parametrize(
    ("validator", "rest"),
    [
        ({"ETag": '"v1"'}, [raw_response(NEW, ETag='"v2"')]),
        ({"ETag": '"v1"'}, [part(NEW, 400, ETag='"v2"'), raw_response(NEW)]),
        ({"ETag": '"v1"'}, [part(NEW, 400), raw_response(NEW)]),
        ({"ETag": '"v1"'}, [part(NEW * 2, 400, ETag='"v1"'), raw_response(NEW)]),
        ({"ETag": '"v1"'}, [part(NEW, 300, ETag='"v1"'), raw_response(NEW)]),
        *[(weak, [part(NEW, 400, **weak), raw_response(NEW)]) for weak in WEAK],
    ],
)
def test_rest_of_a_file_that_may_have_changed_is_not_used(validator: Any, rest: Any) -> None:
    """The rest of a file that has changed, or may have, is not appended to the beginning of the old one."""
    assert fetch(cut(OLD, 400, **validator), *rest) == NEW


@pytest.mark.parametrize("sha1", [None, SHA1], ids=["no SHA-1", "SHA-1"])
def test_file_that_comes_packed_is_unpacked(sha1: Any) -> None:
    """A proxy may pack a file that was requested unpacked; the stated length is then the packed one's."""
    packed = gzip.compress(OLD)
    assert fetch(raw_response(packed, Content_Encoding="gzip"), sha1=sha1) == OLD
    tags = {"Content_Encoding": "gzip", "ETag": '"v1"'}
    assert fetch(cut(packed, 20, **tags), part(NEW, 400, ETag='"v1"'), raw_response(OLD), sha1=sha1) == OLD


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(NEW)[:-9], gzip.compress(NEW) + b"more", NEW, b""],
    ids=["cut", "more behind it", "not packed", "nothing"],
)
def test_packed_file_that_is_not_whole_is_fetched_again(packed: bytes) -> None:
    """A proxy may have packed a part only: the stated length is right, and the end of the file is missing."""
    assert fetch(raw_response(packed, Content_Encoding="gzip"), raw_response(OLD)) == OLD


@pytest.mark.parametrize(
    "unasked",
    [
        raw_response(OLD[:300], 206, Content_Range="bytes 0-299/*", ETag='"v1"'),
        raw_response(status=416, Content_Range="bytes */0"),
    ],
    ids=["part of unknown length", "no part of nothing"],
)
def test_part_that_was_not_requested_is_not_the_whole_file(unasked: Any) -> None:
    """A short file is never taken for the whole one."""
    assert fetch(unasked, raw_response(OLD)) == OLD


def test_206_that_is_too_short_is_continued() -> None:
    """A part that ends early is no whole file: the rest is asked for."""
    tag = {"ETag": '"v1"'}
    responses = (cut(OLD, 100, **tag), part(OLD, 100, end=500, **tag), part(OLD, 500, **tag))
    assert fetch(*responses) == OLD
    assert [asked for asked, _ in ranges()] == [None, "bytes=100-", "bytes=500-"]


def test_206_without_content_is_given_up() -> None:
    """A server that never gets further is an error, not a short file."""
    with pytest.raises(ProviderUnavailableError):
        fetch(cut(OLD, 100, ETag='"v1"'), part(OLD, 100, end=100, ETag='"v1"'))


@pytest.mark.parametrize(("sent", "stated"), [(300, 1000), (1000, 300)])
def test_wrong_size_is_not_accepted(sent: int, stated: int) -> None:
    """A body that ends in order, but is shorter or longer than the whole, is not taken for it."""
    wrong = raw_response(OLD[:sent], 206, Content_Range=f"bytes 0-299/{stated}")
    with pytest.raises(ProviderUnavailableError, match=f"{sent} of {stated} bytes|another part"):
        fetch(wrong)


def test_sha1_detects_a_mixture() -> None:
    """The part of an earlier attempt is used, and thrown away if the whole has another SHA-1 than stated."""
    assert fetch(part(OLD, 400), sha1=SHA1, left=OLD[:400]) == OLD
    assert fetch(part(OLD, 400), raw_response(OLD), sha1=SHA1, left=NEW[:400]) == OLD
    with pytest.raises(ProviderUnavailableError, match="damaged twice"):
        fetch(raw_response(NEW), sha1=SHA1)


def test_416_for_a_file_that_is_whole() -> None:
    """A 416 that names the length of what is there means that it is whole."""
    assert fetch(raw_response(status=416, Content_Range="bytes */1000"), sha1=SHA1, left=OLD) == OLD


def test_abandoned_part_without_a_sha1_is_not_used() -> None:
    """Nothing could tell whether it is of the same file."""
    assert fetch(raw_response(OLD), left=NEW) == OLD


def test_trickle_ends_at_the_time_limit() -> None:
    """A server that sends a byte now and then does not block a download indefinitely."""

    class Hours(ManualClock):
        """Each look at the clock is ten minutes later."""

        def __init__(self) -> None:
            super().__init__()
            self._looks = itertools.count()

        def monotonic(self) -> Any:
            return 600.0 * next(self._looks)

    with pytest.raises(ProviderUnavailableError, match="over 6 hours"):
        fetch(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), clock=Hours())


def test_redirect_elsewhere_is_reported_at_once() -> None:
    """Storage that nobody has allowed is not asked, and not tried six times."""
    with serving(raw_response(OLD)) as storage:
        with pytest.raises(SettingError, match="127.0.0.1.*not one of its own") as refused:
            fetch(raw_response(status=302, Location=storage.url))
    assert (len(REQUESTS), storage.requests) == (1, [])
    assert "download_hosts" in refused.value.hint


def test_redirect_to_allowed_storage_carries_no_token() -> None:
    """A host that the settings allow is asked, without the token, for what is missing."""
    with serving(part(OLD, 400)) as storage:
        whole = fetch(
            raw_response(status=302, Location=f"{storage.url}/blob?sig=made-up"),
            sha1=SHA1,
            left=OLD[:400],
            hosts=["127.0.0.1"],
        )
    assert whole == OLD
    (asked,) = storage.requests
    assert "Authorization" not in asked.headers
    assert asked.headers["Range"] == "bytes=400-"
    assert REQUESTS[0].headers["Authorization"] == "Bearer AT"


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1/x",
        "http://127.0.0.1:999999/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://storage.test/x",
        "https://u:made-up@storage.test/x",
        "https://storage.test\\@other.test/x",
    ],
)
def test_redirect_to_an_unusable_address_is_reported_at_once(location: str) -> None:
    """Neither a foreign exception, nor a file of this machine, nor health data over a plain connection."""
    with pytest.raises(SettingError) as refused:
        fetch(raw_response(status=302, Location=location), hosts=["storage.test", "127.0.0.1"])
    assert len(REQUESTS) == 1
    assert "made-up" not in str(refused.value)


@pytest.mark.parametrize(
    "location", ["http://[::1", "//storage.example:99999/x", "file:///etc/passwd", "", "/again"]
)
def test_redirect_to_nowhere(location: str) -> None:
    """What is no address is refused in the same words as an address elsewhere; a circle is an error, too."""
    with pytest.raises((SettingError, ProviderUnavailableError), match="not one of its own|302"):
        fetch(raw_response(status=302, Location=location))


def test_invalid_lengths() -> None:
    """A length of thousands of digits says nothing, and is no fault of ours."""
    digits = "9" * 5000
    assert fetch(f"HTTP/1.1 200 OK\r\nContent-Length: {digits}\r\n\r\n".encode() + OLD) == OLD
    with pytest.raises(ProviderUnavailableError):
        fetch(*[raw_response(OLD, status=206, Content_Range=f"bytes {digits}-{digits}/{digits}")] * 9)
