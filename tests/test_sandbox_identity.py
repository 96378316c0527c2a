"""The identity generation: OpenID Connect in the manner of IdentityServer, seen over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from connector.sandbox import Sandbox
from tests.support.oauth_calls import (
    CHALLENGE,
    PKCE,
    SCOPE,
    VERIFIER,
    call,
    connected,
    exchange,
    query_of,
    redirect_url,
    refresh,
    refusal,
)
from tests.support.sandbox import TIMEOUT, RunningSandbox


@pytest.fixture
def sandbox(identity: RunningSandbox) -> RunningSandbox:
    return identity


def endpoint(sandbox: RunningSandbox, name: str) -> str:
    document = requests.get(f"{sandbox.url}/.well-known/openid-configuration", timeout=TIMEOUT).json()
    return str(document[name])


def redirect_query(sandbox: RunningSandbox, *, decision: str = "allow", **params: str) -> dict[str, str]:
    return query_of(redirect_url(sandbox, decision=decision, **params))


def claims_of(sandbox: RunningSandbox, token: str) -> dict[str, Any]:
    published = requests.get(endpoint(sandbox, "jwks_uri"), timeout=TIMEOUT).json()
    return jwt.decode(token, KeySet.import_key_set(published), algorithms=["RS256"]).claims


def test_discovery_is_consistent(sandbox: RunningSandbox) -> None:
    """The document has the issuer it is fetched from, and its endpoints are there."""
    assert endpoint(sandbox, "issuer") == sandbox.url
    document = requests.get(f"{sandbox.url}/.well-known/openid-configuration", timeout=TIMEOUT).json()
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["code_challenge_methods_supported"] == ["S256"]
    for name in ("authorization_endpoint", "jwks_uri", "userinfo_endpoint"):
        assert requests.get(endpoint(sandbox, name), timeout=TIMEOUT).status_code != 404


def test_authorize_leads_to_the_login_page_with_a_nested_return_address(sandbox: RunningSandbox) -> None:
    """The login page's ReturnUrl is the callback, with the redirect URI encoded twice inside it."""
    page = requests.get(sandbox.authorization_url(scope=SCOPE, **PKCE), timeout=TIMEOUT)
    assert urlsplit(page.url).path == "/Account/Login"
    assert "redirect_uri%3Dhttps%253A%252F%252Formco.com%252F" in page.url


def test_response_has_code_scope_state_session_and_issuer(sandbox: RunningSandbox) -> None:
    """The redirect has IdentityServer's parameters, the code encoded once."""
    query = redirect_query(sandbox)
    assert list(query) == ["code", "state", "scope", "session_state", "iss"]
    assert re.fullmatch("[0-9A-F]{64}(-1)?", query["code"])
    assert (query["state"], query["scope"], query["iss"]) == ("s1", SCOPE, sandbox.url)


def test_cancel_returns_access_denied_with_issuer(sandbox: RunningSandbox) -> None:
    """Cancel goes back with the error, the state and the issuer (RFC 9207)."""
    query = redirect_query(sandbox, decision="cancel")
    assert (query["error"], query["state"], query["iss"]) == ("access_denied", "s1", sandbox.url)


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "somebody-else"},
        {"redirect_uri": "https://ormco.com"},
        {"scope": "openid everything"},
        {"code_challenge": ""},
        {"code_challenge": "", "client_id": Sandbox.public_client_id},
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
        {"response_type": "token"},
    ],
)
def test_bad_request_ends_on_the_error_page(sandbox: RunningSandbox, change: dict[str, str | None]) -> None:
    """A request with any fault ends on /home/error; without a challenge, that of any client."""
    params = {"scope": SCOPE, **PKCE} | change
    url = sandbox.authorization_url(**{name: value for name, value in params.items() if value is not None})
    page = requests.get(url, timeout=TIMEOUT)
    assert urlsplit(page.url).path == "/home/error"


@pytest.mark.parametrize("verifier", ["", VERIFIER + "x", CHALLENGE])
def test_wrong_verifier_burns_the_code(sandbox: RunningSandbox, verifier: str) -> None:
    """A code is refused without its verifier, and is spent."""
    code = redirect_query(sandbox)["code"]
    assert exchange(sandbox, code, code_verifier=verifier).status_code == 400
    assert refusal(exchange(sandbox, code)) == (400, "invalid_grant")


def test_public_client_needs_no_secret(sandbox: RunningSandbox) -> None:
    """The public client exchanges and refreshes with its id in the body."""
    public: dict[str, Any] = {"basic": False, "client_id": Sandbox.public_client_id}
    code = redirect_query(sandbox, client_id=Sandbox.public_client_id)["code"]
    token = exchange(sandbox, code, **public).json()
    assert refresh(sandbox, token, **public).status_code == 200


def test_code_of_another_client_is_refused(sandbox: RunningSandbox) -> None:
    """A code is good for the client it was issued to only."""
    code = redirect_query(sandbox, client_id=Sandbox.public_client_id)["code"]
    assert refusal(exchange(sandbox, code)) == (400, "invalid_client")


def test_basic_credentials_are_read_by_the_standard(sandbox: RunningSandbox) -> None:
    """Sent raw, the secret is a wrong one; in the body it is right."""
    code = redirect_query(sandbox)["code"]
    form = {"grant_type": "authorization_code", "code": code}
    raw = (sandbox.client_id, sandbox.client_secret)
    url = endpoint(sandbox, "token_endpoint")
    assert refusal(requests.post(url, data=form, auth=raw, timeout=TIMEOUT)) == (401, "invalid_client")
    body = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    assert exchange(sandbox, redirect_query(sandbox)["code"], basic=False, **body).status_code == 200


def test_access_token_is_a_jwt_of_this_issuer(sandbox: RunningSandbox) -> None:
    """The access token can be checked with the published key."""
    token = connected(sandbox)
    claims = claims_of(sandbox, token["access_token"])
    assert (claims["iss"], claims["client_id"]) == (sandbox.url, sandbox.client_id)
    assert (claims["scope"], claims["exp"] - claims["iat"]) == (SCOPE.split(), token["expires_in"])


def test_id_token_carries_the_nonce(sandbox: RunningSandbox) -> None:
    """With openid and a nonce, the response has an id_token with both sides' names in it."""
    token = connected(sandbox, nonce="n-1")
    claims = claims_of(sandbox, token["id_token"])
    assert (claims["nonce"], claims["iss"], claims["aud"]) == ("n-1", sandbox.url, sandbox.client_id)
    assert claims["sub"] == call(endpoint(sandbox, "userinfo_endpoint"), token).json()["sub"]


@pytest.mark.parametrize("scope", ["api", "openid api", "api offline_access"])
def test_tokens_are_those_of_the_scope(sandbox: RunningSandbox, scope: str) -> None:
    """An id_token needs openid, and a refresh token offline_access."""
    token = connected(sandbox, scope=scope)
    assert ("id_token" in token, "refresh_token" in token) == ("openid" in scope, "offline" in scope)


def test_scope_may_be_left_out(sandbox: RunningSandbox) -> None:
    """Without a scope the client gets all it is registered for."""
    query = query_of(sandbox.sandbox.consent_url(sandbox.authorization_url(**PKCE)))
    assert "openid profile offline_access api" in query["scope"]


def test_apis_take_the_token_by_scope(sandbox: RunningSandbox) -> None:
    """The users API takes tokens with `api`; userinfo those with `openid`."""
    token = connected(sandbox)
    assert call(f"{sandbox.url}/api/users/me", token).json()["Email"] == sandbox.practice.username
    assert call(endpoint(sandbox, "userinfo_endpoint"), token).json()["email"] == sandbox.practice.username
    narrow = connected(sandbox, scope="openid")
    assert call(f"{sandbox.url}/api/users/me", narrow).status_code == 403


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-4] + "AAAA", lambda t: "x", lambda t: t.rpartition(".")[0] + "."]
)
def test_forged_token_is_refused(sandbox: RunningSandbox, spoil: Callable[[str], str]) -> None:
    """A token that the published key did not sign is a bad bearer."""
    response = call(
        f"{sandbox.url}/api/users/me", {"access_token": spoil(connected(sandbox)["access_token"])}
    )
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (
        401,
        'Bearer error="invalid_token"',
    )


def test_revocation_kills_the_refresh_token_but_not_the_jwt(sandbox: RunningSandbox) -> None:
    """After RFC 7009 revocation, a refresh fails while the access token lives to its end."""
    token = connected(sandbox)
    own = (quote(sandbox.client_id, safe=""), quote(sandbox.client_secret, safe=""))
    for kind in ("access_token", "refresh_token"):
        form = {"token": token[kind], "token_type_hint": kind}
        url = endpoint(sandbox, "revocation_endpoint")
        assert requests.post(url, data=form, auth=own, timeout=TIMEOUT).status_code == 200
    assert refusal(refresh(sandbox, token)) == (400, "invalid_grant")
    assert call(f"{sandbox.url}/api/users/me", token).status_code == 200


def test_revocation_is_for_the_client_s_own_tokens(sandbox: RunningSandbox) -> None:
    """Another client cannot revoke."""
    token = connected(sandbox)
    form = {"token": token["refresh_token"], "client_id": Sandbox.public_client_id}
    url = endpoint(sandbox, "revocation_endpoint")
    assert requests.post(url, data=form, timeout=TIMEOUT).status_code == 400
    assert refresh(sandbox, token).status_code == 200
