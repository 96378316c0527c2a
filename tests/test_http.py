"""HTTP as the package speaks it: bounded, without redirects, plain http on this machine only."""

from __future__ import annotations

import gzip
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import certifi
import pytest
import requests
import urllib3.util.connection
from requests.exceptions import InvalidProxyURL, InvalidSchema, RequestException, SSLError
from urllib3.exceptions import InsecureRequestWarning

from connector.errors import Action, ProviderUnavailableError
from connector.oauth import http_environment
from connector.oauth.http import (
    LARGE_LISTS,
    BearerAuth,
    Limits,
    Transport,
    call,
    failure,
    json_object,
    json_value,
    open_session,
    retry_after,
    stream,
)
from connector.oauth.http_connection import CURRENT, Exchange
from connector.oauth.http_environment import is_http_proxy
from tests.support.responses import RawResponse, dripping, numbered, raw_response, serving
from tests.support.tls import server_context

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
GIGABYTE_OF_ZEROS = gzip.compress(bytes(1 << 24), 9) * 64
ELSEWHERE = "https://auth.example.test/oauth/token"


def get(url: str, limits: Limits = Limits(), **options: Any) -> requests.Response:  # noqa: B008
    """Fetch through a session of the package."""
    with open_session(Transport(limits)) as session:
        return session.get(url, **options)


def failed(url: str, limits: Limits = Limits(), **options: Any) -> ProviderUnavailableError:  # noqa: B008
    """Return the error of a request that fails."""
    with pytest.raises(RequestException) as caught:
        get(url, limits, **options)
    return failure(caught.value, url)


def body(text: str | bytes, **headers: str) -> requests.Response:
    """Return a response that was read already."""
    response = requests.Response()
    response._content = text.encode() if isinstance(text, str) else text
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS context for 127.0.0.1, and its CA certificate."""
    return server_context(tmp_path)


@pytest.mark.parametrize(
    ("words", "broken"),
    [
        ("too large", raw_response(bytes(2 << 20))),
        ("too large", b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n" + bytes(2 << 20)),
        ("too large", b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2 << 20)),
        ("too large", raw_response(GIGABYTE_OF_ZEROS, Content_Encoding="gzip")),
        ("was cut", b""),
        ("was cut", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("was cut", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"),
        ("was cut", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        ("was cut", b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"access_to'),
        ("was cut", b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"access_'),
        ("was cut", raw_response(b"\x1f\x8b not gzip", Content_Encoding="gzip")),
        ("was cut", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_response_that_is_too_large_or_cut_is_an_error(words: str, broken: bytes) -> None:
    """It is given up early, is not taken for a whole one, and its request counts as sent; it is sent once."""
    with serving(broken) as server:
        error = failed(server.url)
    assert words in error.message
    assert (error.sent, error.action, len(server.requests)) == (True, Action.RETRY, 1)


@pytest.mark.parametrize(
    "slow",
    [
        dripping(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"),
    ],
    ids=["headers", "body", "chunk"],
)
def test_a_response_that_drips_ends_at_the_deadline(slow: RawResponse) -> None:
    """A server that sends a byte now and then cannot delay a call beyond its deadline."""
    with serving(slow) as server:
        assert "no response in time" in failed(server.url, Limits(seconds=0.3)).message


def test_the_limits_of_calls() -> None:
    """A token call ends within 45 s, a large list within 2 minutes, a download within 6 hours."""
    usual = {"seconds": 45, "stream_seconds": 6 * 3600, "body": 1 << 20, "values": 50_000, "idle": 20}
    assert {Limits()} == {Limits(**usual)}
    assert Limits(**usual | {"seconds": 120, "body": 64 << 20, "values": 2_000_000}) == LARGE_LISTS


def test_a_response_may_have_as_many_bytes_as_the_limit() -> None:
    """One byte more is refused. The body can be read again, as UTF-8 text or in chunks."""
    with serving(raw_response("é" * 5)) as server:
        response = get(server.url, Limits(body=10))
        assert list(response.iter_content(6)) == ["ééé".encode(), "éé".encode()]
        assert (response.text, response.encoding) == ("é" * 5, "utf-8")
        with pytest.raises(RequestException, match="too large"):
            get(server.url, Limits(body=9))


def test_a_redirect_is_not_followed() -> None:
    """Nothing is sent to the address that a redirect names, even if a session follows redirects elsewhere."""
    with serving(raw_response()) as trap, serving(raw_response(status=307, Location=trap.url)) as server:
        assert get(server.url).status_code == 307
        with requests.Session() as session:
            assert call(session, "GET", server.url, params={"page": 1}).status_code == 307
        assert trap.requests == []
    assert [received.line for received in server.requests] == ["GET / HTTP/1.1", "GET /?page=1 HTTP/1.1"]


def test_a_session_sends_what_it_is_given() -> None:
    """The form and the bearer token of a request, and that it expects JSON."""
    own = {"X-A": "c", "Accept-Encoding": "identity"}
    with serving(raw_response()) as server, open_session() as session:
        session.post(server.url, data={"a": "b"}, headers=own, auth=BearerAuth("T"))
        with pytest.raises(RequestException, match="Invalid header"):
            session.get(server.url, auth=BearerAuth("T\n"))
    request = server.requests[0]
    assert (request.form, request.headers["Authorization"]) == ({"a": "b"}, "Bearer T")
    assert {**request.headers, **own, "Accept": "application/json"} == request.headers


@pytest.mark.parametrize("url", ["http://auth.example.test/", "http://127.0.0.1.example.test/"])
def test_plain_http_stays_on_this_machine(url: str) -> None:
    """An http:// address of another machine is refused before anything is sent."""
    with pytest.raises(InvalidSchema):
        get(url)


def test_a_busy_server_is_reported_at_once() -> None:
    """Retry-After is returned to the caller: there is no wait, and nothing is sent twice."""
    with serving(raw_response(status=503, Retry_After="240")) as server:
        response = get(server.url)
        assert (response.status_code, retry_after(response, NOW)) == (503, 240)
        assert len(server.requests) == 1


def test_a_proxy_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings do not catch loopback addresses."""
    with serving(raw_response()) as proxy, serving(raw_response("direct")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        assert get(server.url).text == "direct"
        assert proxy.requests == []


def test_cookies_are_not_kept() -> None:
    """A cookie from one practice's call is not sent with the next practice's."""
    with serving(raw_response(Set_Cookie="session=of-the-first")) as server, open_session() as session:
        session.get(server.url)
        session.get(server.url)
    assert ["Cookie" in request.headers for request in server.requests] == [False, False]


def test_environment_is_not_read_for_each_request(
    certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxies are looked up once a minute, not each time."""
    context, bundle = certificate
    asked, now = [], time.monotonic()

    def proxies(url: str) -> dict[str, str]:
        asked.append(url)
        return {}

    monkeypatch.setattr(http_environment, "is_loopback", lambda url: False)
    monkeypatch.setattr(http_environment, "get_environ_proxies", proxies)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with serving(raw_response(), context=context) as server, open_session() as session:
        for path in ("/one", "/two", "/three"):
            session.get(server.url + path)
        assert asked == [server.url]
        monkeypatch.setattr(time, "monotonic", lambda: now + 70)
        session.get(server.url)
    assert asked == [server.url, server.url]


def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No user name and password of a user's .netrc is sent to a provider."""
    (tmp_path / "netrc").write_text("default login somebody password private\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(raw_response()) as server:
        get(server.url)
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("name", [None, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_untrusted_server_gets_nothing(
    name: str | None, certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a certificate is not trusted, nothing is sent; the hint names the variable to set."""
    if name:
        monkeypatch.setenv(name, "/nowhere/ca.pem")
    with serving(raw_response(), context=certificate[0]) as server:
        error = failed(server.url)
    assert "no trusted TLS" in error.message
    assert (error.sent, error.action, server.requests) == (False, Action.FIX_SETTINGS, [])
    assert server.connections == (name is None)
    assert f"set {name or 'SSL_CERT_FILE'} to" in error.hint


def test_a_closed_port_is_unreachable() -> None:
    """If the connection is refused, nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    with open_session() as session, pytest.raises(ProviderUnavailableError) as caught:
        call(session, "GET", url)
    assert ("cannot be reached" in caught.value.message, caught.value.sent) == (True, False)


def test_a_connection_that_never_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One failed attempt to connect does not fail a request; the server sees it once."""
    attempts = []
    connect = urllib3.util.connection.create_connection

    def connect_the_second_time(*args: Any, **kwargs: Any) -> socket.socket:
        attempts.append(args)
        if len(attempts) == 1:
            raise ConnectionRefusedError
        return connect(*args, **kwargs)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect_the_second_time)
    with serving(raw_response("there")) as server:
        assert get(server.url).text == "there"
    assert (len(attempts), len(server.requests)) == (2, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": 1}'.encode("utf-16"), {"a": 1}),
        ('{"a": 1}'.encode("utf-16-be"), {"a": 1}),
        (b'{"a": "caf\xe9"}', {"a": "caf\N{REPLACEMENT CHARACTER}"}),
        ('{"a": ' + "9" * 5000 + "}", {"a": float("inf")}),
        ("null", None),
        ("[1]", None),
        ("", None),
        ("<html>", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_body_is_read_as_a_json_object(text: str | bytes, found: dict[str, object] | None) -> None:
    """Everything but a JSON object is None; what surrounds the object's values does not spoil them."""
    assert json_object(body(text)) == found


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("120, 60", 120),
        ("1.5", 1),
        ("86400", 300),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30),
        ("Sun Nov 22 12:00:30 2026", 30),
        ("99999999999999999999", 300),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90),
        ("Sun, 22 Nov 2026 12:01:30 -0000", 90),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 22 Nov 2126 12:00:00 GMT", 300),
        ("soon", None),
        ("-5", None),
        ("", None),
        (", 1 Jan 0000 00:00:00 +9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Both forms of Retry-After are understood, up to five minutes; what is neither is left alone."""
    assert retry_after(body("", Retry_After=value), NOW) == seconds


def test_retry_after_is_read_by_the_servers_clock() -> None:
    """A date counts from the response's own Date: this machine's clock may be wrong."""
    dates = {"Retry_After": "Sun, 22 Nov 2026 15:00:30 GMT", "Date": "Sun, 22 Nov 2026 15:00:00 GMT"}
    assert retry_after(body("", **dates), NOW) == 30


def test_no_more_is_unpacked_than_a_response_may_have() -> None:
    """32 KiB on the wire that hold 32 MiB never take more memory than the limit and a little."""
    with serving(raw_response(gzip.compress(bytes(1 << 25)), Content_Encoding="gzip")) as server:
        tracemalloc.start()
        try:
            with pytest.raises(RequestException, match="too large"):
                get(server.url)
            assert tracemalloc.get_traced_memory()[1] < 1 << 23
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("coding", "stream"),
    [
        *product(["gzip, gzip", "gzip,gzip", "deflate, gzip", "br", "zstd"], [False, True]),
        *product(["deflate", "none", "utf-8"], [True]),
    ],
)
def test_only_one_layer_of_gzip_is_unpacked(coding: str, stream: bool) -> None:
    """1,827 bytes that are packed twice become 2 GiB: nothing of such a response is unpacked.

    A stream, whose bytes may be a file, has to have the coding that was requested.
    """
    bomb = raw_response(gzip.compress(GIGABYTE_OF_ZEROS), Content_Encoding=coding)
    with serving(bomb) as server:
        assert "compressed" in failed(server.url, stream=stream).message
    assert server.requests[0].headers["Accept-Encoding"] == "gzip"


PACKED = gzip.compress(b'{"is": "fine"}', mtime=0)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("identity", b'{"is": "fine"}'),
        ("GZIP", PACKED),
        ("x-gzip", PACKED),
        ("deflate", zlib.compress(b'{"is": "fine"}')),
        ("deflate", zlib.compress(b'{"is": "fine"}')[2:-4]),
        ("none", b'{"is": "fine"}'),
        ("UTF-8", b'{"is": "fine"}'),
    ],
)
def test_a_response_is_unpacked(coding: str, packed: bytes) -> None:
    """The requested coding, one that some servers send instead, and words that are no coding."""
    with serving(raw_response(packed, Content_Encoding=coding)) as server:
        assert json_object(get(server.url)) == {"is": "fine"}


@pytest.mark.parametrize("broken", [PACKED[:-12], PACKED + PACKED])
def test_a_packed_response_that_is_not_whole_gives_no_object(broken: bytes) -> None:
    """A stream that stops early, or has another one behind it, gives no object."""
    with serving(raw_response(broken, Content_Encoding="gzip")) as server:
        assert json_object(get(server.url)) is None


@pytest.mark.parametrize("text", ["[0, 0, 0]", "[[[]]]", '{"a": {"a": {}}}', '[{"a": "[{,\\"", "b": "}]"}]'])
def test_a_response_of_too_many_values_is_not_parsed(text: str) -> None:
    """A million lists, 60 KiB on the wire, are refused before one is made; a text may have any characters."""
    response = body(text)
    response.connection = Transport(Limits(values=3))
    assert json_value(response) == json.loads(text)
    response.connection = Transport(Limits(values=2))
    with pytest.raises(ValueError, match="too many"):
        json_value(response)


def test_a_response_that_is_nested_without_end_is_no_json() -> None:
    """The limits of the parser and of the interpreter's stack end in a ValueError."""
    response = body("[" * 100_000)
    response.connection = Transport(Limits(values=100_000))
    with pytest.raises(ValueError, match="too deep"):
        json_value(response)


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 400_000, b'["' + b"\\" * 900_001, b'"' * 900_001])
def test_counting_values_takes_linear_time(body: bytes) -> None:
    """Strings that never end cost no more than others."""
    with serving(raw_response(body)) as server, pytest.raises(ValueError, match="many"):
        json_value(get(server.url, Limits(values=-1)))


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_informational_responses_come_before_the_response(status: int) -> None:
    """Any number of 1xx, with headers, may come first (RFC 9110 §15.2)."""
    early = f"HTTP/1.1 {status} Early\r\nLink: </style.css>\r\n\r\n".encode() * 3
    last = raw_response("enfin là".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
    with serving(early + last) as server:
        response = get(server.url)
    assert (response.status_code, response.text, "Link" in response.headers) == (200, "enfin là", False)


@pytest.mark.parametrize("other", [{"verify": True}, {"proxies": {"https": "http://127.0.0.1:1"}}])
def test_a_connection_is_used_by_calls_with_the_same_settings(
    other: dict[str, Any], certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that names another bundle or a proxy does not use a connection of a call that does not."""
    monkeypatch.setattr(http_environment, "is_loopback", lambda url: False)
    context, bundle = certificate
    usual: dict[str, Any] = {"verify": str(bundle)}
    with serving(kept_open(b"trusted"), context=context) as server, requests.Session() as session:
        session.mount("https://", Transport())
        for _ in range(2):
            with pytest.raises(RequestException):
                session.get(server.url, **(usual | other))
            assert session.get(server.url, **usual).text == "trusted"


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("also", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_every_ca_bundle_that_is_set_is_trusted(
    name: str, also: str, certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine and a user may each name one; text around the certificates may have any encoding."""
    context, bundle = certificate
    bundle.write_bytes("Zertifizierungsstelle für alle\n".encode("latin-1") + bundle.read_bytes())
    monkeypatch.setenv(also, certifi.where())
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")  # it is ignored
    monkeypatch.setenv(name, str(bundle))
    with serving(raw_response("trusted"), context=context) as server:
        assert get(server.url).text == "trusted"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL names the files")
def test_a_folder_of_authorities_is_trusted(
    certificate: tuple[ssl.SSLContext, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_DIR may name several folders, in which files have the names that `openssl rehash` gives."""
    context, bundle = certificate
    folder = tmp_path / "authorities"
    folder.mkdir()
    digest = subprocess.check_output(["openssl", "x509", "-hash", "-noout", "-in", bundle], text=True)
    bundle.rename(folder / f"{digest.strip()}.0")
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere{os.pathsep}{folder}")
    with serving(raw_response("trusted"), context=context) as server:
        assert get(server.url).text == "trusted"


def test_advice_on_settings_names_each_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variables may name a bundle; a proxy that no variable names is the system's."""
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/etc/ca.pem")
    untrusted = SSLError("untrusted")
    vars(untrusted)["sent"] = False  # as the transport records it
    assert "set CURL_CA_BUNDLE or SSL_CERT_FILE to" in failure(untrusted, ELSEWHERE).hint
    refused = failure(InvalidProxyURL("refused"), ELSEWHERE)
    assert "Check the system's proxy setting, and" in refused.hint


@pytest.mark.parametrize(
    "proxy", ["proxy.test:3128", "http://proxy.test:1", "https://proxy.test", "[::1]:80"]
)
def test_a_proxy_is_a_host_or_an_http_address(proxy: str) -> None:
    """A host alone will do, and TLS to the proxy."""
    assert is_http_proxy(proxy)
    assert not is_http_proxy("http://proxy.test:0")


@pytest.mark.parametrize(
    "proxy",
    [
        "http://proxy:notaport",
        "ftp://proxy.example.test",
        "socks5://127.0.0.1:1",
        "http://",
        "http://[::1",
        "http://pro xy:80",
        "http://user:made-up@127.0.0.1:1",
        "127.0.0.1:1",
        "http://no-such-proxy.invalid:3128",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used_is_named(name: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong proxy setting ends before anything is sent; the hint names the setting, and not its value."""
    monkeypatch.setenv(name, proxy)
    error = failed(ELSEWHERE)
    assert (error.sent, error.action) == (False, Action.FIX_SETTINGS)
    assert name in error.hint
    assert "made-up" not in f"{error.message} {error.hint}"


def test_a_refusal_of_the_proxy_is_not_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """407 is the proxy's response: nothing reached the provider."""
    with serving(raw_response(status=407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = failed(ELSEWHERE)
    assert proxy.requests[0].line.startswith("CONNECT auth.example.test:443")
    assert (error.sent, "HTTPS_PROXY" in error.hint) == (False, True)


def tunnel_to(url: str) -> Callable[[socket.socket], None]:
    """A proxy's response to CONNECT: pass on the bytes of both sides, in one thread, as TLS sockets need."""

    def tunnel(client: socket.socket) -> None:
        host, _, port = url.removeprefix("https://").partition(":")
        with socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while True:
                unread = isinstance(client, ssl.SSLSocket) and client.pending()
                source = client if unread else select.select([client, server], [], [])[0][0]
                if not (data := source.recv(65536)):
                    break
                (server if source is client else client).sendall(data)
        client.shutdown(socket.SHUT_RDWR)

    return tunnel


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (numbered, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "was cut"),
        (dripping(b"HTTP/1.1 200 OK\r\nX-Slow: "), "in time"),
    ],
)
def test_a_call_through_a_proxy_has_the_same_limits(
    scheme: str,
    given: RawResponse,
    words: str,
    certificate: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through a tunnel, and through TLS inside of TLS, a response is read, a cut is seen, a drip ends."""
    context, bundle = certificate
    monkeypatch.setattr(http_environment, "is_loopback", lambda url: False)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with serving(given, context=context) as server:
        of_proxy = context if scheme == "https" else None
        with serving(tunnel_to(server.url), context=of_proxy) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://me:made-up@"))
            if not words:
                with open_session(Transport(Limits(idle=1000))) as session:
                    first, now = session.get(server.url).text, time.monotonic()
                    monkeypatch.setattr(time, "monotonic", lambda: now + 50)
                    assert session.get(server.url).text == first  # on the same connection, with its own time
            else:
                error = failed(server.url, Limits(seconds=1.0))
                assert (words in error.message, error.sent) == (True, True)
    assert proxy.requests[0].headers["Proxy-Authorization"].startswith("Basic ")
    assert "Proxy-Authorization" not in server.requests[0].headers


@pytest.mark.parametrize(("seconds", "timeout"), [(0.1, None), (45.0, 0.1)])
def test_a_handshake_ends_at_the_deadline(seconds: float, timeout: float | None) -> None:
    """A server that takes the connection and says nothing cannot hold a call, and gets nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url, began = f"https://127.0.0.1:{silent.getsockname()[1]}/", time.monotonic()
        error = failed(url, Limits(seconds=seconds), timeout=timeout)
    assert ("in time" in error.message, error.sent, error.action) == (True, False, Action.RETRY)
    assert time.monotonic() - began < 1


def test_a_session_may_have_certificates_of_its_own(
    certificate: tuple[ssl.SSLContext, Path], tmp_path: Path
) -> None:
    """`verify=False` trusts every server; `cert` identifies the caller; a missing file is an error."""
    context, bundle = certificate
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(bundle)
    own = str(tmp_path / "server.pem")
    with serving(raw_response("known"), context=context) as server, requests.Session() as session:
        session.mount("https://", Transport())
        with pytest.warns(InsecureRequestWarning):
            assert session.get(server.url, verify=False, cert=own).text == "known"
        assert session.get(server.url, verify=str(bundle), cert=(own, own)).text == "known"
        with pytest.raises(SSLError):
            session.get(server.url, verify=str(bundle), cert="/nowhere.pem")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".test", "a..test"])
def test_a_name_without_an_address_gets_nothing(host: str) -> None:
    """Nothing is sent to a host whose name is not known or cannot be one."""
    error = failed(f"https://{host}/")
    assert (error.sent, error.answered, error.action) == (False, False, Action.RETRY)
    assert "its host name is not known" in error.message


def test_all_addresses_of_a_host_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty addresses that do not answer take no longer than one call may."""
    attempts = []

    def silent(address: tuple[str, int], timeout: float, **_: Any) -> socket.socket:
        attempts.append(address)
        time.sleep(timeout)
        raise TimeoutError

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.1.{n}", 443)) for n in range(50)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: addresses)
    monkeypatch.setattr(urllib3.util.connection, "create_connection", silent)
    assert failed(ELSEWHERE, Limits(seconds=1.0), timeout=0.1).sent is False
    assert 1 < len(attempts) < 20


def test_a_resolver_that_does_not_respond_ends_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's look-up of a name has no time limit of its own."""
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answered.wait())
    try:
        error = failed(ELSEWHERE, Limits(seconds=0.2))
    finally:
        looking_up = [thread.daemon for thread in threading.enumerate() if thread.name == "look-up"]
        answered.set()
    assert ("in time" in error.message, error.sent, looking_up) == (True, False, [True])


@pytest.mark.parametrize(
    ("module", "name"), [(socket, "getaddrinfo"), (urllib3.util.connection, "create_connection")]
)
def test_nothing_is_sent_after_the_deadline(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose time went by while a name was looked up, or while it connected, sends nothing any more."""
    real = getattr(module, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.2)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, slow)
    with serving(raw_response()) as server:
        error = failed(server.url, Limits(seconds=0.1))
    sent = [request for request in server.requests if request.line]  # a connection may have been opened
    assert (error.sent, "in time" in error.message, sent) == (False, True, [])


def test_a_connection_timeout_is_distinguished_from_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deadline of the call is not needed for that: a connection has its own."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [("", "", "", "", ("::1", 1, 0, 0))])
    connect = Mock(side_effect=TimeoutError)
    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect)
    error = failed(ELSEWHERE)
    assert ("in time" in error.message, error.sent) == (True, False)
    assert [attempt.args for attempt in connect.call_args_list] == [(("::1", 1), 10.0)] * 2


def test_a_pause_between_two_bytes_has_a_limit() -> None:
    """A caller may allow less than the whole call's time for it."""
    with serving(lambda sock: time.sleep(2)) as server:
        began = time.monotonic()
        assert "in time" in failed(server.url, timeout=0.2).message
        assert time.monotonic() - began < 1


def test_each_step_has_the_time_that_is_left() -> None:
    """A step waits for as long as it may, or until the deadline."""
    exchange = Exchange(10, silence=3, idle=1)
    assert (exchange.allow(), exchange.allow(4), exchange.passed) == (3, 4, False)
    assert 9 < exchange.allow(20) <= 10
    exchange.extend(2)
    assert 1 < exchange.allow() <= 2
    exchange.extend(0)
    assert exchange.passed
    with pytest.raises(TimeoutError):
        exchange.allow()


def test_a_stream_is_bounded_from_its_first_header_on() -> None:
    """Headers of a streamed answer have the call's time, its body has the stream's."""
    limits = Limits(seconds=0.3, stream_seconds=0.3)
    with open_session(Transport(limits)) as session:
        with serving(dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as server, pytest.raises(RequestException):
            session.get(server.url, stream=True)
        with serving(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")) as server:
            response = session.get(server.url, stream=True)
            with pytest.raises(ProviderUnavailableError, match="in time"):
                list(stream(response))


def test_a_stream_may_take_longer_than_a_call() -> None:
    """The call's time is for the headers."""

    def slowly(sock: socket.socket) -> None:
        for part in (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"no", b"ws"):
            sock.sendall(part)
            time.sleep(0.2)

    with serving(slowly) as server, open_session(Transport(Limits(seconds=0.3))) as session:
        assert b"".join(stream(session.get(server.url, stream=True))) == b"nows"


def test_a_stream_is_unpacked() -> None:
    """A body that comes packed with gzip is passed on as what it was before."""
    packed = raw_response(gzip.compress(b"as it was"), Content_Encoding="gzip")
    with serving(packed) as server, open_session() as session:
        assert b"".join(stream(session.get(server.url, stream=True))) == b"as it was"


def test_a_stream_gives_all_that_came_before_a_cut() -> None:
    """The bytes that arrived are passed on before the error."""
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") as server, open_session() as session:
        chunks = stream(session.get(server.url, stream=True))
        assert next(chunks) == b"half"
        with pytest.raises(ProviderUnavailableError, match=r"127\.0\.0\.1:\d+: the connection was cut"):
            next(chunks)


def kept_open(body: bytes) -> bytes:
    """A response after which the connection stays open."""
    return raw_response(body, Connection="keep-alive")


@pytest.mark.parametrize(("idle", "connections"), [(20.0, 1), (0.0, 2)])
def test_a_connection_that_was_idle_for_long_is_not_used(idle: float, connections: int) -> None:
    """A connection is kept, but not for longer than the way to the server remembers it."""
    with serving(numbered) as server, open_session(Transport(Limits(idle=idle))) as session:
        seen = {session.get(server.url).text for _ in range(2)}
        session.close()
        seen.add(session.get(server.url).text)
    assert len(seen) == connections + 1
    assert CURRENT.get(None) is None  # it would keep the pool open


@pytest.mark.parametrize(("method", "arrives"), [("GET", True), ("HEAD", True), ("POST", False)])
def test_a_read_is_repeated_if_the_server_closed_the_connection(method: str, arrives: bool) -> None:
    """A read is sent again on a new connection; what may change something is not."""

    def closes(sock: socket.socket) -> None:
        sock.sendall(kept_open(b"first"))
        sock.recv(65536)  # takes the next request, and gives no response

    with serving(closes, raw_response("second")) as server, open_session() as session:
        assert session.get(server.url).text == "first"
        if arrives:
            assert session.request(method, server.url).status_code == 200
        else:
            with pytest.raises(RequestException) as caught:
                session.request(method, server.url)
            assert failure(caught.value, server.url).sent
