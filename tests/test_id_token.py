"""The checks of an id_token."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connector.errors import SettingError, StateMismatchError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.id_token import check_id_token
from connector.oauth.provider import Provider
from connector.oauth.token_set import TokenSet

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROVIDER = Provider(
    name="test", issuer="https://as.example.test", token_endpoint="https://as.example.test/token"
)
LOCAL = replace(PROVIDER, token_endpoint="http://127.0.0.1:8042/token")
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
    "sub": "account-1",
    "aud": "ormco",
    "nonce": "nonce-1",
    "exp": NOW.timestamp() + 300,
}


def encoded(table: dict[str, Any]) -> str:
    """A part of a JSON Web Token."""
    return base64.urlsafe_b64encode(json.dumps(table).encode()).decode().rstrip("=")


def id_token(claims: dict[str, Any], alg: object = "RS256") -> str:
    """An id_token with these claims; a claim that is None is left out."""
    body = {name: value for name, value in claims.items() if value is not None}
    return f"{encoded({'alg': alg})}.{encoded(body)}.c2ln"


def check(
    token: str | None,
    *,
    request: AuthorizationRequest = REQUEST,
    provider: Provider = PROVIDER,
    leeway: float = 300.0,
) -> None:
    """Check an id_token."""
    tokens = TokenSet(access_token="AT", received_at=NOW, id_token=token)
    check_id_token(tokens, request, provider, client_id="ormco", now=NOW, leeway=leeway)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["ormco"]},
        {"aud": ["ormco", "another"], "azp": "ormco"},
        {"azp": "ormco"},
        {"exp": NOW.timestamp() - 300},
    ],
)
def test_a_matching_id_token_is_accepted(changes: dict[str, Any]) -> None:
    """Nonce, audience, issuer and expiry fit; clocks may differ by the leeway, and no more."""
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
        ({"aud": ["ormco", "another"]}, "audience"),
        ({"aud": ["ormco", "another"], "azp": "another"}, "audience"),
        ({"iss": "https://as.example.test/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"exp": None}, "expiry"),
        ({"exp": "tomorrow"}, "expiry"),
        ({"exp": math.nan}, "expiry"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
    ],
)
def test_an_id_token_with_a_wrong_claim_is_refused(changes: dict[str, Any], wrong: str) -> None:
    """The error names the claim that does not fit, and no value."""
    with pytest.raises(StateMismatchError, match=rf"\(wrong: {wrong}\)") as caught:
        check(id_token(CLAIMS | changes))
    assert "nonce-1" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("token", ["", "not.a-token", "a.b.c", "e30.bnVsbA.x"])
def test_a_text_that_is_not_a_json_web_token_is_refused(token: str) -> None:
    """An id_token that cannot be read proves nothing."""
    with pytest.raises(StateMismatchError):
        check(token)


def test_without_openid_nothing_is_checked() -> None:
    """A request without a nonce requested no id_token, so that none is checked."""
    check("nonsense", request=replace(REQUEST, nonce=None))


@pytest.mark.parametrize("verifier", ["verifier", None])
def test_a_missing_id_token_is_refused_if_openid_was_requested(verifier: str | None) -> None:
    """Without an id_token the account of the tokens is unknown, also with PKCE."""
    with pytest.raises(StateMismatchError, match="sent no id_token") as caught:
        check(None, request=replace(REQUEST, code_verifier=verifier))
    assert "Leave openid out" in caught.value.hint


def test_an_issuer_has_to_be_known() -> None:
    """Without an issuer to compare with, any issuer's id_token would be accepted."""
    for issuer in ("anything", None):
        with pytest.raises(StateMismatchError, match="wrong: issuer"):
            check(id_token(CLAIMS | {"iss": issuer}), provider=replace(PROVIDER, issuer=None))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, 5])
def test_an_unsigned_id_token_needs_tls(alg: object) -> None:
    """TLS to the token endpoint replaces a signature; on this machine, without TLS, nothing does."""
    check(id_token(CLAIMS, alg=alg))
    check(id_token(CLAIMS), provider=LOCAL)
    with pytest.raises(StateMismatchError, match="wrong: signature"):
        check(id_token(CLAIMS, alg=alg), provider=LOCAL)


def test_a_clock_that_is_ahead_is_named() -> None:
    """25 minutes too fast: the error is about the clock, and the setting that allows for it helps."""
    late = id_token(CLAIMS | {"exp": NOW.timestamp() - 1500})
    with pytest.raises(SettingError, match=r"clock \(2026-11-22 12:00 UTC\).* 0:25:00 ") as caught:
        check(late)
    assert "ORMCO_CLOCK_LEEWAY" in caught.value.hint
    check(late, leeway=1800)
    with pytest.raises(SettingError, match="clock"):
        check(id_token(CLAIMS | {"exp": NOW.timestamp() - 300.5}))
    with pytest.raises(StateMismatchError, match="wrong: nonce"):
        check(id_token(CLAIMS | {"exp": NOW.timestamp() - 1500, "nonce": "other"}))
