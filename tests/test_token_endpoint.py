"""The token endpoint: what is sent, and what every kind of answer means."""

from __future__ import annotations

import base64
import logging
import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import responses

from connector.clock import Clock
from connector.errors import (
    ClientRefusedError,
    CodeRefusedError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
    SettingError,
)
from connector.oauth.http import Limits, Transport
from connector.oauth.presets import PRESETS
from connector.oauth.provider import ClientRegistration, Provider
from connector.oauth.token_endpoint import TokenEndpoint
from connector.oauth.token_set import TokenSet
from tests.support.answers import Answer, Answers, answer, answering, dripping, json_answer

URL = "https://auth.example.test/oauth/token"
CODE = "ab-1!IAAAAmadeUpC0deThat-is_long+enough"
SECRET = "made-up: sécret/+=%&"
TOKENS = {"access_token": "AT-made-up", "refresh_token": "RT-made-up!2", "expires_in": 3600}
CLIENT = ClientRegistration(
    client_id="ormco/test client+1", client_secret=SECRET, redirect_uri="https://ormco.com/"
)
PORTAL = answer("<html>Sign in to the guest network</html>", Content_Type="text/html; charset=utf-8")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class FakeClock(Clock):
    """Time that stands still."""

    def time(self) -> float:
        return NOW.timestamp()


def endpoint(
    url: str = URL,
    client: ClientRegistration = CLIENT,
    transport: Transport | None = None,
    **habits: Any,
) -> TokenEndpoint:
    """A token endpoint of a provider with these habits."""
    habits.setdefault("revocation_endpoint", url)
    provider = Provider(name="test", authorization_endpoint=url, token_endpoint=url, **habits)
    return TokenEndpoint(provider, client, clock=FakeClock(), transport=transport)


@contextmanager
def serving(*answers: Answer, **settings: Any) -> Iterator[tuple[Answers, TokenEndpoint]]:
    """A real server with these answers, and a token endpoint that speaks to it."""
    with answering(*answers) as server:
        speaking = endpoint(f"{server.url}/oauth/token", **settings)
        yield server, speaking
        speaking.close()


def exchange(speaking: TokenEndpoint, **changes: Any) -> TokenSet:
    """Exchange the code."""
    asked = {"redirect_uri": "https://ormco.com/", "code_verifier": None} | changes
    return speaking.exchange(CODE, **asked)


def outcome(given: Answer, what: str = "refresh", **settings: Any) -> ConnectorError | TokenSet:
    """What becomes of an answer to an exchange, a refresh or a revocation."""
    with serving(given, **settings) as (_, speaking):
        try:
            if what == "exchange":
                return exchange(speaking)
            if what == "revoke":
                return speaking.revoke("RT-made-up!1", hint="refresh_token")  # type: ignore[return-value]
            return speaking.refresh("RT-made-up!1")
        except ConnectorError as error:
            return error


# What is sent


def test_a_code_arrives_with_one_layer_of_percent_encoding() -> None:
    """The "!" of a decoded code is %21 in the form, and not %2521."""
    with serving(json_answer(TOKENS)) as (server, speaking):
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
    with serving(json_answer(TOKENS)) as (server, speaking):
        exchange(speaking, redirect_uri=redirect_uri)
    assert server.requests[0].form["redirect_uri"] == redirect_uri


def test_the_pkce_verifier_goes_along_where_there_is_one() -> None:
    """A verifier is sent as it is; without one there is no such field."""
    with serving(json_answer(TOKENS)) as (server, speaking):
        exchange(speaking, code_verifier="v-._~0")
        exchange(speaking)
    assert server.requests[0].form["code_verifier"] == "v-._~0"
    assert set(server.requests[1].form) == {"grant_type", "code", "redirect_uri"}


@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
@pytest.mark.parametrize("encoding", ["raw", "rfc6749"])
def test_basic_authentication_is_encoded_as_the_provider_reads_it(what: str, encoding: str) -> None:
    """Raw stands as it is in UTF-8; RFC 6749 §2.3.1 is percent-encoded; the body holds neither."""
    with serving(json_answer(TOKENS), basic_encoding=encoding) as (server, speaking):
        call = {"exchange": exchange, "refresh": lambda it: it.refresh("RT"), "revoke": revoke}[what]
        call(speaking)
    scheme, _, pair = server.requests[0].headers["Authorization"].partition(" ")
    expected = (CLIENT.client_id, SECRET)
    if encoding == "rfc6749":
        expected = (quote(CLIENT.client_id, safe=""), quote(SECRET, safe=""))
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", ":".join(expected))
    assert not {"client_id", "client_secret"} & server.requests[0].form.keys()


def revoke(speaking: TokenEndpoint) -> None:
    """Revoke a refresh token."""
    speaking.revoke("RT", hint="refresh_token")


@pytest.mark.parametrize("call", [exchange, revoke, lambda it: it.refresh("RT")])
def test_a_secret_in_the_body_has_no_header_beside_it(call: Any) -> None:
    """client_secret_post sends id and secret as fields, whatever characters they have."""
    with serving(json_answer(TOKENS), client_auth="client_secret_post") as (server, speaking):
        call(speaking)
    form = server.requests[0].form
    assert (form["client_id"], form["client_secret"]) == (CLIENT.client_id, SECRET)
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("call", [exchange, revoke, lambda it: it.refresh("RT")])
@pytest.mark.parametrize("client_auth", [None, "none"])
def test_a_public_client_sends_its_id_alone(
    call: Any, client_auth: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a secret only the client id is sent, and nothing of somebody's .netrc."""
    (tmp_path / "netrc").write_text("default login somebody password private\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    public = replace(CLIENT, client_id="public", client_secret=None)
    with serving(json_answer(TOKENS), client=public, client_auth=client_auth) as (server, speaking):
        call(speaking)
    assert server.requests[0].form["client_id"] == "public"
    assert "client_secret" not in server.requests[0].form
    assert "Authorization" not in server.requests[0].headers


def test_a_refresh_asks_for_no_scope() -> None:
    """A refresh sends the refresh token alone, encoded once: the scope stays as it was granted."""
    with serving(json_answer(TOKENS)) as (server, speaking):
        speaking.refresh("Zz_1!IAAAAB+/=")
    assert server.requests[0].form == {"grant_type": "refresh_token", "refresh_token": "Zz_1!IAAAAB+/="}
    assert b"Zz_1%21IAAAAB%2B%2F%3D" in server.requests[0].body


def test_a_revocation_names_the_token_and_its_kind() -> None:
    """A revocation is a form with the token and the hint (RFC 7009 §2.1)."""
    with serving(answer()) as (server, speaking):
        revoke(speaking)
    assert server.requests[0].form == {"token": "RT", "token_type_hint": "refresh_token"}


def test_proxies_do_not_catch_a_provider_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox is spoken to directly, whatever proxy is set."""
    with answering(answer(status=502)) as proxy, serving(json_answer(TOKENS)) as (_, speaking):
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert exchange(speaking).access_token == "AT-made-up"
        assert proxy.requests == []


def test_an_address_on_this_machine_may_be_written_in_capitals() -> None:
    """HTTP:// is http://."""
    with answering(json_answer(TOKENS)) as server:
        speaking = endpoint(server.url.replace("http", "HTTP"))
        assert exchange(speaking).access_token == "AT-made-up"
        speaking.close()


# What a granting answer means


def test_a_full_answer_becomes_a_token_set() -> None:
    """All that the provider granted is kept."""
    granted = TOKENS | {"scope": "openid api", "id_token": "a.b.c", "token_type": "bearer"}
    assert outcome(json_answer(granted), "exchange") == TokenSet(
        access_token="AT-made-up",
        refresh_token="RT-made-up!2",
        received_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        scope="openid api",
        id_token="a.b.c",
    )


@pytest.mark.parametrize(
    "brought", [{}, {"refresh_token": None}, {"refresh_token": ""}, {"refresh_token": 7}]
)
def test_a_refresh_without_a_new_refresh_token_keeps_the_old_one(brought: dict[str, object]) -> None:
    """An answer that brings no usable refresh token leaves the one that was sent."""
    tokens = outcome(json_answer({"access_token": "AT-2"} | brought))
    assert isinstance(tokens, TokenSet)
    assert (tokens.access_token, tokens.refresh_token) == ("AT-2", "RT-made-up!1")


@pytest.mark.parametrize("what", ["exchange", "refresh"])
@pytest.mark.parametrize(
    "given",
    [
        json_answer(TOKENS | {"expires_in": "3600"}),
        json_answer(TOKENS | {"expires_in": 3599.5}),
        json_answer(TOKENS | {"expires_in": -1}),
        json_answer(TOKENS | {"expires_in": 0}),
        json_answer(TOKENS | {"expires_in": None}),
        json_answer(TOKENS | {"expires_in": True}),
        json_answer(TOKENS | {"expires_in": math.nan}),
        json_answer(TOKENS | {"expires_in": math.inf}),
        json_answer(TOKENS | {"expires_in": 10**18}),
        json_answer(TOKENS | {"expires_in": "an hour"}),
        json_answer(TOKENS | {"expires_in": [3600]}),
        answer('{"access_token": "AT-made-up", "expires_in": ' + "9" * 6000 + "}"),
        json_answer({"access_token": "AT-made-up"}),
        json_answer(TOKENS | {"scope": "another one"}),
        json_answer(TOKENS | {"scope": ["a", "list"]}),
        json_answer(TOKENS | {"scope": 7}),
        json_answer(TOKENS | {"token_type": "BEARER"}),
        json_answer(TOKENS | {"id_token": 5, "refresh_token": {"odd": 1}}),
        json_answer(TOKENS | {"error": "invalid_grant"}),
        json_answer(TOKENS | {"error": None}, 400),
        json_answer(TOKENS, 201),
        answer('\ufeff{"access_token": "AT-made-up"}', Content_Type="text/html"),
        answer(b'{"access_token": "AT-made-up", "name": "caf\xe9"}', Content_Type="text/plain"),
    ],
    ids=lambda value: value.rpartition(b"\r\n")[2][:60].decode("latin-1"),
)
def test_a_granted_token_is_never_thrown_away(given: bytes, what: str) -> None:
    """Whatever is odd about the rest of an answer, its access token is kept."""
    tokens = outcome(given, what)
    assert isinstance(tokens, TokenSet)
    assert tokens.access_token == "AT-made-up"


# What a refusing answer means

UNAVAILABLE: dict[str, Answer] = {
    "504": answer("<h1>Gateway Timeout</h1>", 504, Content_Type="text/html"),
    "408": answer(status=408),
    "425": answer(status=425),
    "403 HTML": answer("<h1>Forbidden</h1>", 403, Content_Type="text/html"),
    "404 JSON": json_answer({"detail": "Not Found"}, 404),
    "server error by name": json_answer({"error": "server_error"}, 400),
    "error that nobody knows, with 200": json_answer({"error": "something_new"}),
    "text 500": answer("An error has occurred.", 500, Content_Type="text/plain"),
    "JSON 500": json_answer({"Message": "An error has occurred."}, 500),
    "HTML 502": answer("<h1>Bad Gateway</h1>", 502, Content_Type="text/html"),
    "empty 503": answer(status=503),
    "empty 200": answer(),
    "captive portal": PORTAL,
    "null": json_answer(None),
    "list": json_answer(["AT"]),
    "text": json_answer("AT-made-up"),
    "no access token": json_answer({"token_type": "bearer", "expires_in": 3600}),
    "empty access token": json_answer({"access_token": ""}),
    "number for a token": json_answer({"access_token": 12345}),
    "line break in the token": json_answer({"access_token": "AT\r\nX-Evil: 1"}),
    "429": json_answer({"error": "slow_down"}, 429, Retry_After="7"),
    "empty 429": answer(status=429, Retry_After="7"),
    "503 by name": json_answer({"error": "temporarily_unavailable"}, 400),
    "404 HTML": answer("<h1>Not Found</h1>", 404, Content_Type="text/html"),
    "307": answer(status=307, Location="https://elsewhere.example.test/"),
    "302 HTML": answer("moved", 302, Location="https://login.example.test/", Content_Type="text/html"),
    "50 MB": b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n" + bytes(2 << 20),
    "cut before the answer": b"",
    "cut in the headers": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
    "cut in the body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"access_token": "AT-mad',
}


@pytest.mark.parametrize("what", ["exchange", "refresh"])
@pytest.mark.parametrize("name", UNAVAILABLE)
def test_what_is_no_answer_of_the_provider_is_an_outage(name: str, what: str) -> None:
    """Gateways, portals, nonsense and silence say nothing of the code or the grant."""
    error = outcome(UNAVAILABLE[name], what)
    assert isinstance(error, ProviderUnavailableError)
    assert error.sent
    assert error.hint
    assert ("start again" in error.hint) is (what == "exchange")


@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
def test_a_slow_answer_ends_at_the_deadline(what: str) -> None:
    """An answer that drips is an outage, not a wait without an end."""
    slow = dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    error = outcome(slow, what, transport=Transport(Limits(seconds=0.2)))
    assert isinstance(error, ProviderUnavailableError)
    assert "no answer in time" in error.message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("empty 200", "200, empty"),
        ("captive portal", "200, text/html"),
        ("null", "200, application/json"),
        ("no access token", "200, JSON without an access token"),
        ("HTML 502", "502, text/html"),
        ("503 by name", "400 temporarily_unavailable"),
        ("cut in the body", "was cut"),
        ("50 MB", "far too large"),
    ],
)
def test_an_outage_says_what_came_instead(given: str, words: str) -> None:
    """The message tells the broken answers apart."""
    error = outcome(UNAVAILABLE[given])
    assert isinstance(error, ProviderUnavailableError)
    assert words in error.message


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("Sun, 22 Nov 2026 12:00:30 GMT", 30), ("tomorrow", None)]
)
def test_retry_after_is_passed_on(value: str, seconds: float | None) -> None:
    """How long to wait reaches the caller, in seconds, from either form."""
    error = outcome(answer("slow down", 429, Retry_After=value))
    assert isinstance(error, ProviderUnavailableError)
    assert error.retry_after == seconds


LOST = [
    "text 500",
    "JSON 500",
    "HTML 502",
    "empty 200",
    "captive portal",
    "null",
    "list",
    "text",
    "no access token",
]
LOST += ["empty access token", "number for a token", "50 MB", "cut in the headers", "cut in the body"]
LOST += ["cut before the answer", "504", "408", "server error by name", "error that nobody knows, with 200"]
PASSING = ["429", "empty 429", "empty 503", "503 by name", "425"]
ELSEWHERE = ["404 HTML", "307", "302 HTML", "403 HTML", "404 JSON"]


@pytest.mark.parametrize(
    ("name", "answered"),
    [*((name, False) for name in LOST), *((name, True) for name in PASSING + ELSEWHERE)],
)
def test_an_answer_that_may_be_lost_is_told_from_one_that_came(name: str, answered: bool) -> None:
    """Where a gateway answers after the server may have rotated, the answer may be lost."""
    error = outcome(UNAVAILABLE[name])
    assert isinstance(error, ProviderUnavailableError)
    assert (error.sent, error.answered) == (True, answered)


DEAD_NAMES = [
    *("invalid_grant", "access_denied", "invalid_token", "expired_token", "token_expired", "token_revoked"),
    *("bad_refresh_token", "invalid_refresh_token", "refresh_token_expired", "refresh_token_reused"),
    *("InvalidGrant", "INVALID_GRANT", "invalid-grant", "InvalidGrantException", "token_not_found"),
    *("unknown_refresh_token", "inactive_token", "old_refresh_token", "authorization_revoked"),
]
DOUBTFUL_NAMES = ["invalid_request", "interaction_required", "login_required", "something_new", "unknown"]
CLIENT_NAMES = [
    *("invalid_client", "unauthorized_client", "deleted_client", "client_disabled", "bad_client_secret"),
    *("invalid_scope", "unsupported_grant_type", "redirect_uri_mismatch", "application_suspended"),
]


def forms(name: str) -> list[object]:
    """The bodies in which servers write the name of an error."""
    return [
        {"error": name, "error_description": "in words"},
        {"error": {"code": name, "message": "in words"}},
        {"error": {"status": 400, "type": name}},
        {"error": [name]},
        {"errors": [{"code": 17, "error": name}]},
        [{"error": name}],
    ]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 422, 500, 503])
@pytest.mark.parametrize("name", DEAD_NAMES)
def test_a_name_that_says_dead_is_dead_whatever_the_status(name: str, status: int) -> None:
    """The body counts before the status, and the meaning of a name before its spelling."""
    error = outcome(json_answer({"error": name}, status))
    assert isinstance(error, GrantRefusedError)
    assert (error.certain, error.action) == (True, "ask_consent")


@pytest.mark.parametrize("body", forms("bad_refresh_token"), ids=str)
def test_the_name_of_an_error_is_found_in_every_form(body: object) -> None:
    """A string, in an object or in a list: it is the same name."""
    for status in (200, 400):
        error = outcome(json_answer(body, status))
        assert isinstance(error, GrantRefusedError)
        assert error.certain


@pytest.mark.parametrize(
    "given",
    [
        *(json_answer({"error": name}, 400) for name in DOUBTFUL_NAMES),
        json_answer({"error": "invalid_request"}, 200),
        json_answer({"error": "teapot"}, 418),
        json_answer({"error": 17}, 400),
        json_answer({"error": {"text": "No."}}, 400),
        json_answer({"Message": "An error has occurred."}, 401),
        json_answer({"error": "AT-made-up.Secret1"}, 400),
        answer(status=400),
        answer(status=401, WWW_Authenticate="Basic"),
        answer("  \r\n", 401),
        answer("Bad request", 400, Content_Type="text/plain"),
    ],
    ids=range(15),
)
def test_a_refusal_that_can_mean_two_things_is_doubtful(given: bytes) -> None:
    """Where no name says that the token is dead, it may be alive; nothing that may be secret is quoted."""
    error = outcome(given)
    assert isinstance(error, GrantRefusedError)
    assert not error.certain
    assert "Secret1" not in error.message


@pytest.mark.parametrize("name", DEAD_NAMES + DOUBTFUL_NAMES + ["bad_verification_code", "invalid_code"])
def test_a_refused_code_is_not_sent_again(name: str) -> None:
    """Every way to refuse a code ends in one error that says to start again, after one request."""
    with serving(json_answer({"error": name}, 400)) as (server, speaking):
        with pytest.raises(CodeRefusedError) as caught:
            exchange(speaking)
    assert "start again" in caught.value.hint
    assert len(server.requests) == 1


@pytest.mark.parametrize("given", [answer(status=400), answer(status=401), answer("  ", 401)])
def test_an_empty_refusal_refuses_a_code(given: bytes) -> None:
    """400 or 401 without a word is an answer to a code, too."""
    assert isinstance(outcome(given, "exchange"), CodeRefusedError)


@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
@pytest.mark.parametrize("status", [200, 400, 401, 403])
@pytest.mark.parametrize("name", CLIENT_NAMES)
def test_a_refused_client_is_a_matter_of_configuration(name: str, status: int, what: str) -> None:
    """A wrong id, secret or scope is neither the code's nor the grant's fault."""
    refused = outcome(json_answer({"error": name}, status, WWW_Authenticate="Basic"), what)
    assert isinstance(refused, ClientRefusedError)
    assert ("ORMCO_CLIENT_SECRET" in refused.hint, refused.action) == (True, "fix_settings")


@pytest.mark.parametrize("what", ["exchange", "refresh"])
@pytest.mark.parametrize("kind", ["DPoP", "mac", "N_A", "PoP", "jwt"])
def test_a_token_that_is_no_bearer_token_is_refused(kind: str, what: str) -> None:
    """A token that needs a proof with each call would be handed out as one that needs none."""
    error = outcome(json_answer(TOKENS | {"token_type": kind}), what)
    assert isinstance(error, ClientRefusedError)
    assert "bearer" in error.message


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER ", "BearerToken", "", None, 7])
def test_a_bearer_token_is_known_by_any_spelling(kind: object) -> None:
    """Servers spell it as they like, and some leave it out."""
    assert isinstance(outcome(json_answer(TOKENS | {"token_type": kind})), TokenSet)


@pytest.mark.parametrize("status", [200, 204])
def test_a_revocation_succeeds_with_any_success(status: int) -> None:
    """200 is the standard's answer, 204 some servers'."""
    assert outcome(answer(status=status), "revoke") is None


@pytest.mark.parametrize("name", ["text 500", "307", "empty 429", "cut in the headers", "captive portal"])
def test_a_revocation_that_may_not_have_happened_is_an_outage(name: str) -> None:
    """Whatever is not a success leaves the token alive as far as anybody knows."""
    assert isinstance(outcome(UNAVAILABLE[name], "revoke"), ProviderUnavailableError)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
@pytest.mark.parametrize("name", ["invalid_token", "invalid_grant", "expired_token", "token_not_found"])
def test_a_token_that_is_not_valid_any_more_is_revoked(name: str, hint: str) -> None:
    """A server that says so in place of 200 (RFC 7009 §2.2) has nothing left to revoke."""
    for status in (400, 401, 404):
        with serving(json_answer({"error": name}, status)) as (_, speaking):
            speaking.revoke("T-made-up", hint=hint)


def test_a_kind_of_token_that_cannot_be_revoked_fails_for_refresh_tokens_alone() -> None:
    """Access tokens end by themselves; a refresh token that cannot be revoked needs another way."""
    for status in (400, 503):
        with serving(json_answer({"error": "unsupported_token_type"}, status)) as (_, speaking):
            speaking.revoke("AT-made-up", hint="access_token")
            with pytest.raises(ClientRefusedError, match="revoke"):
                speaking.revoke("RT-made-up", hint="refresh_token")


@pytest.mark.parametrize("status", [401, 403])
def test_a_client_that_may_not_revoke_is_told_so(status: int) -> None:
    """A bare refusal at the revocation endpoint is the client's, and no outage to wait for."""
    error = outcome(answer(status=status), "revoke")
    assert isinstance(error, ClientRefusedError)
    assert "own pages" in error.hint
    assert isinstance(outcome(json_answer({"error": "access_denied"}, status), "revoke"), ClientRefusedError)


@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
def test_a_redirect_carries_nothing_away(what: str) -> None:
    """No code, token or secret follows a redirect, whichever kind it is."""
    with answering(json_answer(TOKENS)) as trap:
        for status in (301, 302, 303, 307, 308):
            error = outcome(answer(status=status, Location=trap.url), what)
            assert isinstance(error, ProviderUnavailableError)
    assert trap.requests == []


@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
@pytest.mark.parametrize("name", ["cut before the answer", "cut in the headers", "HTML 502", "empty 503"])
def test_what_was_sent_is_never_sent_again(name: str, what: str) -> None:
    """One call is one request at the provider's socket, however it fails."""
    with serving(UNAVAILABLE[name]) as (server, speaking):
        call = {"exchange": exchange, "refresh": lambda it: it.refresh("RT"), "revoke": revoke}[what]
        with pytest.raises(ProviderUnavailableError):
            call(speaking)
    assert len(server.requests) == 1


def test_nobody_listening_means_that_nothing_was_sent() -> None:
    """A connection that never opened is told from one that was cut."""
    with answering(answer()) as gone:
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
def test_a_call_that_never_left_says_what_is_wrong(
    what: str, variable: str, value: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong proxy, CA bundle or host name ends before anything is sent, and the hint names the setting."""
    monkeypatch.setenv(variable, value)
    speaking = endpoint("https://no-such-host.invalid/token")
    with pytest.raises(ProviderUnavailableError) as caught:
        exchange(speaking) if what == "exchange" else speaking.refresh("RT")
    assert (caught.value.sent, caught.value.answered) == (False, False)
    assert named in caught.value.hint


@responses.activate
def test_a_provider_on_the_internet_is_spoken_to_over_tls() -> None:
    """The classic preset's token endpoint gets one POST to its https address."""
    classic = PRESETS["communicate"]
    responses.post("https://auth.3shapecommunicate.com/oauth/token", json=TOKENS)
    tokens = exchange(TokenEndpoint(classic, CLIENT, clock=FakeClock()))
    assert tokens.access_token == "AT-made-up"
    header = responses.calls[0].request.headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"{CLIENT.client_id}:{SECRET}"


def test_a_provider_without_endpoints_is_refused() -> None:
    """Where an address is missing, the error says which one."""
    with pytest.raises(SettingError, match="token endpoint"):
        TokenEndpoint(Provider(name="none"), CLIENT, clock=FakeClock())
    with pytest.raises(SettingError, match="revocation endpoint"):
        revoke(endpoint(revocation_endpoint=None))


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No code, secret or token is in any log record, whatever levels are set, also after the fact."""
    secrets = (CODE, quote(CODE), "AT-made-up", "RT-made-up", SECRET, "v-1", "sécret")
    with caplog.at_level(logging.DEBUG), serving(json_answer(TOKENS)) as (server, speaking):
        for name in ("requests_oauthlib", "requests_oauthlib.oauth2_session", "oauthlib", "urllib3"):
            caplog.set_level(logging.DEBUG, logger=name)
        exchange(speaking, code_verifier="v-1")
        speaking.refresh("RT-made-up!1")
        revoke(speaking)
    records = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    basic = server.requests[0].headers["Authorization"]
    assert not [text for text in records for secret in (*secrets, basic) if secret in text]


@pytest.mark.parametrize(
    "given", [answer(f"{CODE} {SECRET} AT-made-up", 400), json_answer({"error": CODE}, 400)]
)
def test_no_error_quotes_what_was_sent(given: bytes) -> None:
    """A server that echoes a secret does not bring it into a message or a hint."""
    error = outcome(given, "exchange")
    assert isinstance(error, ConnectorError)
    assert not [secret for secret in (CODE, SECRET) if secret in f"{error.message} {error.hint} {error!r}"]


def test_two_calls_use_one_connection() -> None:
    """The connection to the provider is kept for the next call."""
    body = b'{"access_token": "AT-made-up"}'
    kept = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    seen: list[Any] = []

    def twice(sock: Any) -> None:
        seen.append(sock)
        sock.sendall(kept)
        received = b""
        while b"refresh_token=RT" not in received:
            received += sock.recv(65536)
        sock.sendall(kept)

    with serving(twice) as (_, speaking):
        assert [speaking.refresh("RT").access_token for _ in range(2)] == ["AT-made-up"] * 2
    assert len(seen) == 1


def test_an_empty_secret_is_none() -> None:
    """A client whose secret is empty is a public one."""
    with serving(json_answer(TOKENS), client=replace(CLIENT, client_secret="")) as (server, speaking):
        exchange(speaking)
    assert server.requests[0].form["client_id"] == CLIENT.client_id


def secrets_in_frames(error: BaseException | None) -> list[str]:
    """What a reporter that collects local variables, such as Sentry, would send of an error."""
    found = []
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "connector" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
                found += [
                    f"{frame.f_code.co_qualname}: {name} = {value!r}"
                    for name, value in frame.f_locals.items()
                ]
        error = error.__cause__ or error.__context__
    return [line for line in found if "made-up" in line or CODE in line or "sécret" in line]


@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
@pytest.mark.parametrize(
    "given",
    [
        json_answer({"error": "invalid_grant", "echo": "RT-made-up"}, 400),
        json_answer(TOKENS | {"token_type": "mac"}),
        answer("AT-made-up", 500),
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
    assert secrets_in_frames(error) == []
    assert error is None or error.__cause__ is error.__context__ is None
