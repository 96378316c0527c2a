"""The token endpoint: the requests, and the results of the responses."""

from __future__ import annotations

import base64
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import responses

from connector.errors import (
    Action,
    ClientRefusedError,
    CodeRefusedError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
    SettingError,
)
from connector.oauth.http import Transport
from connector.oauth.presets import PRESETS
from connector.oauth.provider import ClientRegistration, Provider
from connector.oauth.token_endpoint import TokenEndpoint
from connector.oauth.token_set import TokenSet
from tests.support.clock import ManualClock
from tests.support.frames import secrets_in_frames
from tests.support.responses import RawResponse, ResponseServer, json_response, raw_response, serving

URL = "https://auth.example.test/oauth/token"
CODE = "ab-1!IAAAAmadeUpC0deThat-is_long+enough"
SECRET = "made-up: sécret/+=%&"
TOKENS = {"access_token": "AT-made-up", "refresh_token": "RT-made-up!2", "expires_in": 3600}
CLIENT = ClientRegistration(
    client_id="ormco/test client+1", client_secret=SECRET, redirect_uri="https://ormco.com/"
)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def endpoint(
    url: str = URL,
    client: ClientRegistration = CLIENT,
    transport: Transport | None = None,
    **habits: Any,
) -> TokenEndpoint:
    """A token endpoint of a provider with these habits."""
    habits.setdefault("revocation_endpoint", url)
    provider = Provider(name="test", authorization_endpoint=url, token_endpoint=url, **habits)
    return TokenEndpoint(provider, client, clock=ManualClock(NOW), transport=transport)


@contextmanager
def endpoint_at(*responses: RawResponse, **settings: Any) -> Iterator[tuple[ResponseServer, TokenEndpoint]]:
    """A real server with these responses, and a token endpoint that speaks to it."""
    with serving(*responses) as server:
        speaking = endpoint(f"{server.url}/oauth/token", **settings)
        yield server, speaking
        speaking.close()


def exchange(speaking: TokenEndpoint, **changes: Any) -> TokenSet:
    """Exchange the code."""
    asked = {"redirect_uri": "https://ormco.com/", "code_verifier": None} | changes
    return speaking.exchange(CODE, **asked)


def revoke(speaking: TokenEndpoint) -> None:
    """Revoke a refresh token."""
    speaking.revoke("RT-made-up!1", hint="refresh_token")


CALLS: dict[str, Callable[[TokenEndpoint], TokenSet | None]] = {
    "exchange": exchange,
    "refresh": lambda it: it.refresh("RT-made-up!1"),
    "revoke": revoke,
}
each_call = pytest.mark.parametrize("what", CALLS)


def outcome(given: RawResponse, what: str = "refresh", **settings: Any) -> ConnectorError | TokenSet | None:
    """The result of a response to an exchange, a refresh or a revocation."""
    with endpoint_at(given, **settings) as (_, speaking):
        try:
            return CALLS[what](speaking)
        except ConnectorError as error:
            return error


# Requests


def test_a_code_arrives_with_one_layer_of_percent_encoding() -> None:
    """The "!" of a decoded code is %21 in the form, and not %2521."""
    with endpoint_at(json_response(TOKENS)) as (server, speaking):
        exchange(speaking)
    body = server.requests[0].body
    assert b"code=ab-1%21IAAAAmadeUpC0deThat-is_long%2Benough" in body
    assert server.requests[0].form["code"] == CODE


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://ormco.com/",
        "https://ormco.com",
        "http://127.0.0.1:9555/?tmp=0&a=%2F%20b",
        "https://x.test/é+",
    ],
)
def test_the_redirect_uri_is_repeated_byte_for_byte(redirect_uri: str) -> None:
    """The token request carries exactly the redirect URI of the authorization request."""
    with endpoint_at(json_response(TOKENS)) as (server, speaking):
        exchange(speaking, redirect_uri=redirect_uri)
    assert server.requests[0].form["redirect_uri"] == redirect_uri


def test_the_pkce_verifier_is_sent_if_there_is_one() -> None:
    """A verifier is sent unchanged; without one there is no such field."""
    with endpoint_at(json_response(TOKENS)) as (server, speaking):
        exchange(speaking, code_verifier="v-._~0")
        exchange(speaking)
    assert server.requests[0].form["code_verifier"] == "v-._~0"
    assert set(server.requests[1].form) == {"grant_type", "code", "redirect_uri"}


@each_call
@pytest.mark.parametrize("encoding", ["raw", "rfc6749"])
def test_basic_authentication_is_encoded_as_the_provider_reads_it(what: str, encoding: str) -> None:
    """Raw is sent in UTF-8 unchanged; RFC 6749 §2.3.1 is percent-encoded; the body holds neither."""
    with endpoint_at(json_response(TOKENS), basic_encoding=encoding) as (server, speaking):
        CALLS[what](speaking)
    scheme, _, pair = server.requests[0].headers["Authorization"].partition(" ")
    expected = (CLIENT.client_id, SECRET)
    if encoding == "rfc6749":
        expected = (quote(CLIENT.client_id, safe=""), quote(SECRET, safe=""))
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", ":".join(expected))
    assert not {"client_id", "client_secret"} & server.requests[0].form.keys()


@each_call
def test_a_secret_in_the_body_has_no_header_beside_it(what: str) -> None:
    """client_secret_post sends id and secret as fields, whatever characters they have."""
    with endpoint_at(json_response(TOKENS), client_auth="client_secret_post") as (server, speaking):
        CALLS[what](speaking)
    form = server.requests[0].form
    assert (form["client_id"], form["client_secret"]) == (CLIENT.client_id, SECRET)
    headers = server.requests[0].headers
    assert "Authorization" not in headers
    assert headers["Accept"] == "application/json"
    assert headers["Content-Type"].startswith("application/x-www-form-urlencoded")


@each_call
@pytest.mark.parametrize(("secret", "client_auth"), [(None, None), ("", None), (None, "none")])
def test_a_public_client_sends_its_id_alone(
    what: str, secret: str | None, client_auth: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a secret, or with an empty one, only the client id is sent, and nothing of a .netrc."""
    (tmp_path / "netrc").write_text("default login somebody password private\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    public = replace(CLIENT, client_id="public", client_secret=secret)
    with endpoint_at(json_response(TOKENS), client=public, client_auth=client_auth) as (server, speaking):
        CALLS[what](speaking)
    assert server.requests[0].form["client_id"] == "public"
    assert "client_secret" not in server.requests[0].form
    assert "Authorization" not in server.requests[0].headers
    assert not speaking.has_secret


def test_a_refresh_asks_for_no_scope() -> None:
    """A refresh sends the refresh token alone, encoded once: the scope stays as it was granted."""
    with endpoint_at(json_response(TOKENS)) as (server, speaking):
        speaking.refresh("Zz_1!IAAAAB+/=")
    assert (server.requests[0].line.split()[0], speaking.has_secret) == ("POST", True)
    assert server.requests[0].form == {"grant_type": "refresh_token", "refresh_token": "Zz_1!IAAAAB+/="}
    assert b"Zz_1%21IAAAAB%2B%2F%3D" in server.requests[0].body


@pytest.mark.parametrize(
    ("hint", "given"),
    [
        ("refresh_token", raw_response()),
        ("access_token", json_response({"error": "unsupported_token_type"}, 400)),  # RFC 7009 §2.2.1
    ],
)
def test_a_revocation_names_the_token_and_its_kind(hint: str, given: bytes) -> None:
    """A revocation has the token and the hint (RFC 7009 §2.1); the hint decides what is an error."""
    with endpoint_at(given) as (server, speaking):
        speaking.revoke("T", hint=hint)
    assert server.requests[0].form == {"token": "T", "token_type_hint": hint}


def test_an_address_on_this_machine_may_be_written_in_capitals() -> None:
    """HTTP:// is http://."""
    with serving(json_response(TOKENS)) as server:
        speaking = endpoint(server.url.replace("http", "HTTP"))
        assert exchange(speaking).access_token == "AT-made-up"
        speaking.close()


# Grants


@pytest.mark.parametrize(
    ("brought", "kept"),
    [
        ({}, "RT-made-up!1"),
        ({"refresh_token": None}, "RT-made-up!1"),
        ({"refresh_token": ""}, "RT-made-up!1"),
        ({"refresh_token": 7}, "RT-made-up!1"),
        ({"refresh_token": "RT-2"}, "RT-2"),
    ],
)
def test_a_refresh_keeps_the_refresh_token_unless_there_is_a_new_one(
    brought: dict[str, object], kept: str
) -> None:
    """A response without a usable refresh token leaves the one that was sent."""
    tokens = outcome(json_response({"access_token": "AT-2"} | brought))
    assert isinstance(tokens, TokenSet)
    assert (tokens.access_token, tokens.refresh_token) == ("AT-2", kept)


# Failures on the way


@each_call
def test_a_failure_names_the_host_and_when_to_try_again(what: str) -> None:
    """The message has the server's host; a Retry-After date becomes seconds."""
    with endpoint_at(raw_response(status=503, Retry_After="Sun, 22 Nov 2026 12:00:30 GMT")) as (
        server,
        speaking,
    ):
        with pytest.raises(ProviderUnavailableError, match=server.url.removeprefix("http://")) as caught:
            CALLS[what](speaking)
    assert caught.value.retry_after == 30


BROKEN: dict[str, RawResponse] = {
    "50 MB": b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n" + bytes(2 << 20),
    "cut before the answer": b"",
    "cut in the headers": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
    "cut in the body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"access_token": "AT-mad',
    "HTML 502": raw_response("<h1>Bad Gateway</h1>", 502, Content_Type="text/html"),
}


@each_call
@pytest.mark.parametrize("name", BROKEN)
def test_a_response_that_is_not_whole_may_be_lost(name: str, what: str) -> None:
    """The request was sent, once, with an unknown result; an exchange needs another code."""
    with endpoint_at(BROKEN[name]) as (server, speaking), pytest.raises(ProviderUnavailableError) as caught:
        CALLS[what](speaking)
    error = caught.value
    assert (error.sent, error.answered, len(server.requests)) == (True, False, 1)
    assert server.url.removeprefix("http://") in error.message
    assert ("start again" in error.hint) is (what == "exchange")
    assert error.action is (Action.ASK_CONSENT if what == "exchange" else Action.RETRY)


@pytest.mark.parametrize(
    ("given", "what", "expected"),
    [
        (json_response({"error": "bad_refresh_token"}), "refresh", GrantRefusedError),
        (json_response({"error": ["expired_token"]}, 400), "exchange", CodeRefusedError),
        (json_response({"error": "invalid_client"}, 401), "revoke", ClientRefusedError),
        (json_response(TOKENS | {"token_type": "DPoP"}), "exchange", ClientRefusedError),
    ],
)
def test_a_refusal_raises_its_error(given: bytes, what: str, expected: type[ConnectorError]) -> None:
    """A refusal raises the error that test_token_response tests, whichever call it answers."""
    assert isinstance(outcome(given, what), expected)


@each_call
def test_no_secret_follows_a_redirect(what: str) -> None:
    """No code, token or secret follows a redirect, whichever kind it is."""
    with serving(json_response(TOKENS)) as trap:
        for status in (301, 302, 303, 307, 308):
            error = outcome(raw_response(status=status, Location=trap.url), what)
            assert isinstance(error, ProviderUnavailableError)
    assert trap.requests == []


def test_a_refused_connection_means_that_nothing_was_sent() -> None:
    """A connection that never opened is distinguished from one that was cut."""
    with serving(raw_response()) as gone:
        url = gone.url
    with pytest.raises(ProviderUnavailableError) as caught:
        exchange(endpoint(url))
    assert not caught.value.sent
    assert "can be used" in caught.value.hint


@pytest.mark.parametrize("what", ["exchange", "refresh"])
@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("HTTPS_PROXY", "http://proxy:notaport", "HTTPS_PROXY"),
        ("HTTPS_PROXY", "ftp://proxy.example.test", "HTTPS_PROXY"),
        ("SSL_CERT_FILE", "/nowhere.pem", "SSL_CERT_FILE"),
        ("NO_PROXY", "*", "provider's settings"),
    ],
)
def test_a_call_that_was_not_sent_names_the_setting(
    what: str, variable: str, value: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong proxy, CA bundle or host name ends before anything is sent, and the hint names the setting."""
    monkeypatch.setenv(variable, value)
    speaking = endpoint("https://no-such-host.invalid/token")
    with pytest.raises(ProviderUnavailableError) as caught:
        CALLS[what](speaking)
    assert (caught.value.sent, caught.value.answered) == (False, False)
    assert named in caught.value.hint


@responses.activate
def test_a_provider_on_the_internet_is_called_over_tls() -> None:
    """The classic preset's token endpoint gets one POST to its https address."""
    classic = PRESETS["communicate"]
    responses.post("https://auth.3shapecommunicate.com/oauth/token", json=TOKENS)
    tokens = exchange(TokenEndpoint(classic, CLIENT, clock=ManualClock(NOW)))
    assert tokens.access_token == "AT-made-up"
    header = responses.calls[0].request.headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"{CLIENT.client_id}:{SECRET}"


def test_a_provider_without_endpoints_is_refused() -> None:
    """If an address is missing, the error says which one."""
    with pytest.raises(SettingError, match="token endpoint"):
        TokenEndpoint(Provider(name="none"), CLIENT, clock=ManualClock(NOW))
    with pytest.raises(SettingError, match="revocation endpoint"):
        revoke(endpoint(revocation_endpoint=None))


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No code, secret or token is in any log record, whatever levels are set, also after the fact."""
    secrets = (CODE, quote(CODE), "AT-made-up", "RT-made-up", SECRET, "v-1", "sécret")
    with caplog.at_level(logging.DEBUG), endpoint_at(json_response(TOKENS)) as (server, speaking):
        for name in ("requests_oauthlib", "requests_oauthlib.oauth2_session", "oauthlib", "urllib3"):
            caplog.set_level(logging.DEBUG, logger=name)
        exchange(speaking, code_verifier="v-1")
        speaking.refresh("RT-made-up!1")
        revoke(speaking)
    records = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    basic = server.requests[0].headers["Authorization"]
    assert not [text for text in records for secret in (*secrets, basic) if secret in text]


def test_two_calls_use_one_connection() -> None:
    """The connection to the provider is kept for the next call, until the endpoint is closed."""

    def twice(sock: socket.socket) -> None:
        kept, received = json_response(TOKENS, Connection="keep-alive"), b""
        sock.sendall(kept)
        while b"refresh_token=RT" not in received:
            received += sock.recv(65536)
        sock.sendall(kept)
        if not sock.recv(1):
            closed.set()

    closed = threading.Event()
    with endpoint_at(twice) as (server, speaking):
        assert [speaking.refresh("RT").access_token for _ in range(2)] == ["AT-made-up"] * 2
        assert (server.connections, closed.is_set()) == (1, False)
        speaking.close()
        assert closed.wait(20)


@each_call
@pytest.mark.parametrize(
    "given",
    [
        json_response({"error": "invalid_grant", "echo": "RT-made-up"}, 400),
        json_response(TOKENS | {"token_type": "mac"}),
        raw_response("AT-made-up", 500),
        b"",
        b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"access_token": "AT-mad',
    ],
)
@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
def test_no_local_variable_holds_a_secret_when_an_error_is_raised(
    what: str, given: bytes, client_auth: str
) -> None:
    """A code, token or secret that was read is in no frame of ours that an error hangs on."""
    error = outcome(given, what, client_auth=client_auth)
    assert error is None or isinstance(error, ConnectorError)
    assert secrets_in_frames(error, CODE, "made-up", "sécret") == []
    assert error is None or error.__cause__ is error.__context__ is None
