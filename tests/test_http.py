"""HTTP as the package speaks it: bounded, without redirects, plain http on this machine only."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import urllib3.util.connection
from requests.exceptions import InvalidSchema, RequestException

from connector.oauth import response_deadline
from connector.oauth.http import failure, json_object, open_session, retry_after
from tests.support.answers import Answer, answer, answering, dripping, json_answer

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
GIGABYTE_OF_ZEROS = gzip.compress(bytes(1 << 24), 9) * 64
ELSEWHERE = "https://auth.example.test/oauth/token"


def get(url: str) -> requests.Response:
    """Fetch through a session of the package."""
    with open_session() as session:
        return session.get(url)


def body(text: str | bytes, **headers: str) -> requests.Response:
    """An answer that is here already."""
    response = requests.Response()
    response._content = text.encode() if isinstance(text, str) else text
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the certificate that vouches for it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + built.public_bytes(pem)
    (tmp_path / "server.pem").write_bytes(private)
    (tmp_path / "ca.pem").write_bytes(built.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context, tmp_path / "ca.pem"


def test_a_whole_answer_arrives() -> None:
    """An ordinary answer is read whole, and its connection is free again."""
    with answering(json_answer({"is": "fine"})) as server:
        assert json_object(get(server.url)) == {"is": "fine"}


@pytest.mark.parametrize(
    "broken",
    [
        answer(bytes(2 << 20)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n" + bytes(2 << 20),
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2 << 20),
        answer(GIGABYTE_OF_ZEROS, Content_Encoding="gzip"),
    ],
    ids=["too long", "50 MB announced", "endless", "gzip bomb"],
)
def test_a_body_without_measure_is_refused(broken: bytes) -> None:
    """An answer far beyond any provider's size is given up early, and said to be too large."""
    with answering(broken) as server, pytest.raises(RequestException) as caught:
        get(server.url)
    assert "too large" in failure(caught.value, server.url).message


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"access_to',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"access_',
        answer(b"\x1f\x8b not gzip", Content_Encoding="gzip"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["nothing", "in a header", "in the headers", "in the body", "in a chunk", "damaged", "not HTTP"],
)
def test_a_cut_answer_is_not_taken_for_a_whole_one(broken: bytes) -> None:
    """A connection that ends too early is an error of its own, and the request counts as sent."""
    with answering(broken) as server, pytest.raises(RequestException) as caught:
        get(server.url)
    error = failure(caught.value, server.url)
    assert "was cut" in error.message
    assert (error.sent, len(server.requests)) == (True, 1)


@pytest.mark.parametrize(
    "slow",
    [
        dripping(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"),
    ],
    ids=["headers", "body", "chunk"],
)
def test_an_answer_that_drips_ends_at_the_deadline(slow: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then cannot hold whoever waits."""
    monkeypatch.setattr(response_deadline, "ANSWER_TIMEOUT", 0.3)
    with answering(slow) as server, pytest.raises(RequestException) as caught:
        get(server.url)
    assert "no answer in time" in failure(caught.value, server.url).message


def test_a_redirect_is_not_followed() -> None:
    """Nothing is asked of the address that a redirect names."""
    with answering(answer()) as trap, answering(answer(status=307, Location=trap.url)) as server:
        assert get(server.url).status_code == 307
        assert trap.requests == []


@pytest.mark.parametrize("url", ["http://auth.example.test/", "http://127.0.0.1.example.test/"])
def test_plain_http_stays_on_this_machine(url: str) -> None:
    """An http:// address of another machine is refused before anything is sent."""
    with pytest.raises(InvalidSchema):
        get(url)


def test_a_busy_server_is_answered_at_once() -> None:
    """A Retry-After is for the caller: nobody sleeps in here, and nothing is sent twice."""
    with answering(answer(status=503, Retry_After="3600")) as server:
        response = get(server.url)
        assert (response.status_code, retry_after(response, NOW)) == (503, 3600)
        assert len(server.requests) == 1


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings do not catch loopback addresses."""
    with answering(answer()) as proxy, answering(answer("direct")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        assert get(server.url).text == "direct"
        assert proxy.requests == []


def test_cookies_are_not_kept() -> None:
    """What a server sets for one practice's call does not come along with the next practice's."""
    with answering(answer(Set_Cookie="session=of-the-first")) as server, open_session() as session:
        session.get(server.url)
        session.get(server.url)
    assert ["Cookie" in request.headers for request in server.requests] == [False, False]


def test_environment_is_not_read_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and CA bundle are looked up once in a while, not each time."""
    asked = []
    real = requests.Session.merge_environment_settings

    def merge(self: requests.Session, url: str, *args: object) -> object:
        asked.append(url)
        return real(self, url, *args)

    monkeypatch.setattr(requests.Session, "merge_environment_settings", merge)
    with answering(answer()) as server, open_session() as session:
        for path in ("/one", "/two", "/three"):
            session.get(server.url + path)
    assert asked == [server.url]


def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No user name and password of somebody's .netrc goes to a provider."""
    (tmp_path / "netrc").write_text("default login somebody password private\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with answering(answer()) as server:
        get(server.url)
    assert "Authorization" not in server.requests[0].headers


def test_the_ca_bundle_of_the_environment_is_trusted(
    certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS_CA_BUNDLE adds an organisation's own authority, as everywhere."""
    context, bundle = certificate
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with answering(answer("trusted"), context=context) as server:
        assert get(server.url).text == "trusted"


@pytest.mark.parametrize("bundle", [None, "nowhere.pem"])
def test_an_untrusted_server_gets_nothing(
    bundle: str | None, certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody vouches for ends in words, and it is certain that nothing was sent."""
    if bundle:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    with answering(answer(), context=certificate[0]) as server, pytest.raises(RequestException) as caught:
        get(server.url)
    error = failure(caught.value, server.url)
    assert "no trusted TLS" in error.message
    assert (error.sent, server.requests) == (False, [])


def test_a_closed_port_is_unreachable() -> None:
    """Where nobody listens, nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    with pytest.raises(RequestException) as caught:
        get(url)
    error = failure(caught.value, url)
    assert ("cannot be reached" in error.message, error.sent) == (True, False)


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
    with answering(answer("there")) as server:
        assert get(server.url).text == "there"
    assert (len(attempts), len(server.requests)) == (2, 1)


@responses.activate
def test_a_proxy_that_is_down_means_that_nothing_was_sent() -> None:
    """A refusal by the proxy comes before the provider sees anything."""
    responses.get(ELSEWHERE, body=requests.exceptions.ProxyError("no proxy"))
    with pytest.raises(RequestException) as caught:
        get(ELSEWHERE)
    assert failure(caught.value, ELSEWHERE).sent is False


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "caf\xe9"}', {"a": "caf\N{REPLACEMENT CHARACTER}"}),
        ('{"a": ' + "9" * 5000 + "}", {"a": float("inf")}),
        ("null", None),
        ("[1]", None),
        ("", None),
        ("<html>", None),
        ("[" * 200_000, None),
    ],
    ids=["plain", "BOM", "Latin-1", "endless number", "null", "list", "empty", "HTML", "nested"],
)
def test_a_body_is_read_as_a_json_object(text: str | bytes, found: dict[str, object] | None) -> None:
    """Everything but a JSON object is None; what surrounds the object's values does not spoil them."""
    assert json_object(body(text)) == found


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("99999999999999999999", 86400),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90),
        ("Sun, 22 Nov 2026 12:01:30 -0000", 90),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 22 Nov 2126 12:00:00 GMT", 86400),
        ("soon", None),
        ("-5", None),
        ("", None),
        (", 1 Jan 0000 00:00:00 +9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Both forms of Retry-After are understood, up to a day; what is neither is left alone."""
    assert retry_after(body("", Retry_After=value), NOW) == seconds
