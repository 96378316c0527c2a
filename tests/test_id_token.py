"""What an id_token has to say."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connector.errors import StateMismatchError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.id_token import check_id_token
from connector.oauth.provider import Provider
from connector.oauth.token_set import TokenSet

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROVIDER = Provider(name="test", issuer="https://as.example.test")
REQUEST = AuthorizationRequest(
    practice_id="practice-42",
    provider="test",
    url="https://as.example.test/authorize",
    state="state",
    nonce="nonce-1",
    code_verifier="verifier",
    redirect_uri="https://ormco.com/",
    created_at=NOW,
)
CLAIMS = {
    "iss": "https://as.example.test",
    "aud": "ormco",
    "nonce": "nonce-1",
    "exp": NOW.timestamp() + 300,
}


def id_token(claims: dict[str, Any]) -> str:
    """An id_token with these claims; a claim that is None is left out."""
    body = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
    return f"e30.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.c2ln"


def check(
    token: str | None, *, request: AuthorizationRequest = REQUEST, provider: Provider = PROVIDER
) -> None:
    """Check an id_token."""
    tokens = TokenSet(access_token="AT", received_at=NOW, id_token=token)
    check_id_token(tokens, request, provider, client_id="ormco", now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["ormco", "another"]},
        {"aud": ["ormco", "another"], "azp": "ormco"},
        {"exp": NOW.timestamp() - 60},
    ],
)
def test_a_matching_id_token_is_believed(changes: dict[str, Any]) -> None:
    """Nonce, audience, issuer and expiry fit; clocks may differ a little."""
    check(id_token(CLAIMS | changes))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"nonce": "nonce-2"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": "\ud800"}, "nonce"),
        ({"nonce": ["nonce-1"]}, "nonce"),
        ({"aud": "another"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"azp": "another"}, "audience"),
        ({"iss": "https://as.example.test/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"exp": NOW.timestamp() - 3600}, "expiry"),
        ({"exp": None}, "expiry"),
        ({"exp": "tomorrow"}, "expiry"),
    ],
)
def test_an_id_token_of_something_else_is_refused(changes: dict[str, Any], wrong: str) -> None:
    """The error names the claim that does not fit, and no value."""
    with pytest.raises(StateMismatchError, match=rf"\(wrong: {wrong}\)") as caught:
        check(id_token(CLAIMS | changes))
    assert "nonce-1" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("token", ["", "not.a-token", "a.b.c", "e30.bnVsbA.x"])
def test_what_is_no_json_web_token_is_refused(token: str) -> None:
    """An id_token that cannot be read proves nothing."""
    with pytest.raises(StateMismatchError):
        check(token)


def test_without_openid_nothing_is_checked() -> None:
    """A request without a nonce asked for no id_token, whatever came."""
    check("nonsense", request=replace(REQUEST, nonce=None))


def test_a_missing_id_token_needs_pkce_in_its_place() -> None:
    """A server may ignore `openid`: PKCE binds the code to the request then, and nothing else does."""
    check(None)
    with pytest.raises(StateMismatchError):
        check(None, request=replace(REQUEST, code_verifier=None))


def test_an_issuer_that_is_not_known_is_not_compared() -> None:
    """A provider from endpoints alone has no issuer to compare with."""
    check(id_token(CLAIMS | {"iss": "anything"}), provider=Provider(name="endpoints"))
