"""A request for consent: its secrets, and the link."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from connector.errors import SettingError
from connector.oauth.authorization_request import AuthorizationRequest, binding_digest
from connector.oauth.presets import PRESETS
from connector.oauth.provider import ClientRegistration, Provider

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CLIENT = ClientRegistration(
    client_id="Ormco Test+1", client_secret="made-up", redirect_uri="https://ormco.com/", scope="openid api"
)
PROVIDER = Provider(
    name="test",
    authorization_endpoint="https://as.example.test/authorize",
    token_endpoint="https://as.example.test/token",
)


def begin(provider: Provider = PROVIDER, client: ClientRegistration = CLIENT) -> AuthorizationRequest:
    """Make a request."""
    return AuthorizationRequest.new(
        "practice-42", provider=provider, client=client, now=NOW, binding="session-1"
    )


def query(request: AuthorizationRequest) -> list[tuple[str, str]]:
    """The decoded query of the link, in order."""
    return parse_qsl(urlsplit(request.url).query, keep_blank_values=True, strict_parsing=True)


def test_the_link_asks_for_a_code() -> None:
    """The link carries what RFC 6749, 7636 and OpenID Connect ask for, each once."""
    request = begin()
    verifier = (request.code_verifier or "").encode()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).decode().rstrip("=")
    assert query(request) == [
        ("client_id", "Ormco Test+1"),
        ("redirect_uri", "https://ormco.com/"),
        ("response_type", "code"),
        ("scope", "openid api"),
        ("state", request.state),
        ("nonce", request.nonce),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ]


def test_a_request_holds_what_it_was_made_for() -> None:
    """Practice, provider, scope and time are kept for the response; the request expires in ten minutes.

    The link has the redirect URI that the token request will have, byte for byte.
    """
    redirect_uri = "http://127.0.0.1:9555/cb?a=1&b=%2F"
    request = begin(client=replace(CLIENT, redirect_uri=redirect_uri))
    assert (dict(query(request))["redirect_uri"], request.redirect_uri) == (redirect_uri, redirect_uri)
    assert (request.practice_id, request.provider, request.scope) == ("practice-42", "test", "openid api")
    assert (request.created_at, request.expires_at) == (NOW, NOW + timedelta(minutes=10))
    assert AuthorizationRequest.new("p", provider=PROVIDER, client=CLIENT, now=NOW).binding is None
    earlier = AuthorizationRequest(  # as an earlier version may have stored it
        practice_id="p", provider="test", url="", state="", redirect_uri="", created_at=NOW
    )
    optional = ("nonce", "code_verifier", "binding", "scope", "expected_account", "allow_account_change")
    assert [getattr(earlier, name) for name in optional] == [None] * 5 + [False]


def test_the_classic_link_has_only_classic_parameters() -> None:
    """Classic gets no PKCE, no nonce and no empty scope."""
    request = begin(PRESETS["communicate"], replace(CLIENT, scope=None))
    assert [name for name, _ in query(request)] == ["client_id", "redirect_uri", "response_type", "state"]
    assert request.url.startswith("https://auth.3shapecommunicate.com/oauth/authorise?")
    assert (request.nonce, request.code_verifier) == (None, None)


@pytest.mark.parametrize("scope", [None, "api", "openidx api"])
def test_a_nonce_is_sent_only_with_openid(scope: str | None) -> None:
    """A nonce is sent only if an id_token is requested, in which it can be checked."""
    assert begin(client=replace(CLIENT, scope=scope)).nonce is None


def test_a_space_is_not_a_plus() -> None:
    """Every value is percent-encoded, so that it means the same to every server."""
    assert "scope=openid%20api" in begin().url
    assert "scope=openid%20a%2Fb" in begin(client=replace(CLIENT, scope="openid a/b")).url
    params = replace(PROVIDER, authorization_params={"x/y": "X"})
    assert begin(params).url.endswith("&x%2Fy=X")
    assert "client_id=Ormco%20Test%2B1" in begin().url


def test_the_secrets_are_long_and_fresh() -> None:
    """State, nonce and verifier have 256 random bits or more, and are never the same twice."""
    requests = [begin() for _ in range(3)]
    for name, length in (("state", 43), ("nonce", 43), ("code_verifier", 64)):
        values = {getattr(request, name) for request in requests}
        assert len(values) == 3
        assert all(re.fullmatch(rf"[\w-]{{{length}}}", value) for value in values)


def test_extra_parameters_and_the_endpoints_own_query_are_kept() -> None:
    """A query that the endpoint has already stays in front; its fragment goes; extras come last."""
    provider = replace(
        PROVIDER,
        authorization_endpoint="https://as.example.test/authorize?tenant=a%2Fb#top",
        authorization_params={"prompt": "consent", "login_hint": "ä&b"},
    )
    request = begin(provider)
    assert request.url.startswith("https://as.example.test/authorize?tenant=a%2Fb&client_id=")
    assert query(request)[-2:] == [("prompt", "consent"), ("login_hint", "ä&b")]
    assert "#" not in request.url


def test_the_binding_is_stored_as_a_digest() -> None:
    """The caller's session secret itself is not kept; no binding is none."""
    request = begin()
    assert request.binding == binding_digest("session-1") != binding_digest("session-2")
    assert "session-1" not in (request.binding or "")
    assert binding_digest(None) is None
    assert binding_digest("") is not None


def test_no_secret_is_in_the_text_form() -> None:
    """repr() shows neither state, nonce, verifier, binding nor the link."""
    request = begin()
    hidden = (request.state, request.nonce, request.code_verifier, request.binding, request.url)
    assert not [value for value in hidden if value and value in repr(request)]


def test_a_provider_that_is_not_discovered_yet_is_refused() -> None:
    """Without an authorization endpoint there is no link."""
    with pytest.raises(SettingError, match="authorization endpoint"):
        begin(Provider(name="none"))
