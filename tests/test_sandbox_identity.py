"""The identity generation: OpenID Connect in the manner of IdentityServer, seen over HTTP."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from connector.sandbox import Sandbox
from tests.support.sandbox import TIMEOUT, Visitor, running_sandbox

VERIFIER = "made-up-verifier-0123456789-0123456789-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
SCOPE = "openid profile offline_access api"


@pytest.fixture
def sandbox():
    with running_sandbox("identity") as running:
        yield running


def endpoint(sandbox, name):
    document = requests.get(f"{sandbox.url}/.well-known/openid-configuration", timeout=TIMEOUT).json()
    return document[name]


def redirect_query(sandbox, *, decision="allow", **params):
    url = sandbox.authorization_url(**({"scope": SCOPE, "state": "s1", **PKCE} | params))
    return dict(parse_qsl(urlsplit(Visitor(sandbox).authorize(url, decision=decision)).query))


def token_call(sandbox, *, basic=True, **form):
    own = (quote(sandbox.client_id, safe=""), quote(sandbox.client_secret, safe=""))
    url = endpoint(sandbox, "token_endpoint")
    return requests.post(url, data=form, auth=own if basic else None, timeout=TIMEOUT)


def exchange(sandbox, code, **changes):
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": sandbox.redirect_uri,
        "code_verifier": VERIFIER,
    }
    return token_call(sandbox, **(form | changes))


def connected(sandbox, **params):
    answer = exchange(sandbox, redirect_query(sandbox, **params)["code"])
    assert answer.status_code == 200, answer.text
    return answer.json()


def refresh(sandbox, token, **changes):
    return token_call(sandbox, grant_type="refresh_token", refresh_token=token["refresh_token"], **changes)


def call(url, token):
    return requests.get(url, headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=TIMEOUT)


def refusal(answer):
    return answer.status_code, answer.json()["error"]


def test_discovery_is_consistent(sandbox):
    """The document has the issuer it is fetched from, and its endpoints are there."""
    assert endpoint(sandbox, "issuer") == sandbox.url
    assert endpoint(sandbox, "authorization_response_iss_parameter_supported") is True
    assert endpoint(sandbox, "code_challenge_methods_supported") == ["S256"]
    for name in ("authorization_endpoint", "jwks_uri", "userinfo_endpoint"):
        assert requests.get(endpoint(sandbox, name), timeout=TIMEOUT).status_code != 404


def test_authorize_leads_to_the_login_page_with_a_nested_return_address(sandbox):
    """The login page's ReturnUrl is the callback, with the redirect URI encoded twice inside it."""
    page = requests.get(sandbox.authorization_url(scope=SCOPE, **PKCE), timeout=TIMEOUT)
    assert urlsplit(page.url).path == "/Account/Login"
    assert "redirect_uri%3Dhttps%253A%252F%252Formco.com%252F" in page.url


def test_response_has_code_scope_state_session_and_issuer(sandbox):
    """The redirect carries what IdentityServer sends, the code encoded once."""
    query = redirect_query(sandbox)
    assert list(query) == ["code", "state", "scope", "session_state", "iss"]
    assert re.fullmatch("[0-9A-F]{64}(-1)?", query["code"])
    assert (query["state"], query["scope"], query["iss"]) == ("s1", SCOPE, sandbox.url)


def test_cancel_answers_access_denied_with_issuer(sandbox):
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
        {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
        {"response_type": "token"},
    ],
)
def test_bad_request_ends_on_the_error_page(sandbox, change):
    """Whatever is wrong with a request, the browser ends on /home/error and does not come back."""
    url = sandbox.authorization_url(**({"scope": SCOPE, **PKCE} | change))
    page = requests.get(url, timeout=TIMEOUT)
    assert urlsplit(page.url).path == "/home/error"


@pytest.mark.parametrize("who", ["ormco", "public"])
def test_pkce_is_required_of_every_client(sandbox, who):
    """A request without a challenge fails for the confidential client as for the public one."""
    client_id = sandbox.client_id if who == "ormco" else Sandbox.public_client_id
    page = requests.get(sandbox.authorization_url(client_id=client_id, scope=SCOPE), timeout=TIMEOUT)
    assert urlsplit(page.url).path == "/home/error"


@pytest.mark.parametrize("verifier", ["", VERIFIER + "x", CHALLENGE])
def test_wrong_verifier_burns_the_code(sandbox, verifier):
    """A code is refused without its verifier, and is spent."""
    code = redirect_query(sandbox)["code"]
    assert exchange(sandbox, code, code_verifier=verifier).status_code == 400
    assert refusal(exchange(sandbox, code)) == (400, "invalid_grant")


def test_public_client_needs_no_secret(sandbox):
    """The public client exchanges and refreshes with its id in the body."""
    public = {"basic": False, "client_id": Sandbox.public_client_id}
    code = redirect_query(sandbox, client_id=Sandbox.public_client_id)["code"]
    token = exchange(sandbox, code, **public).json()
    assert refresh(sandbox, token, **public).status_code == 200


def test_code_of_another_client_is_refused(sandbox):
    """A code is good for the client it was issued to only."""
    code = redirect_query(sandbox, client_id=Sandbox.public_client_id)["code"]
    assert refusal(exchange(sandbox, code)) == (400, "invalid_client")


def test_basic_credentials_are_read_by_the_standard(sandbox):
    """Sent raw, the secret is a wrong one; in the body it is right."""
    code = redirect_query(sandbox)["code"]
    form = {"grant_type": "authorization_code", "code": code}
    raw = (sandbox.client_id, sandbox.client_secret)
    url = endpoint(sandbox, "token_endpoint")
    assert refusal(requests.post(url, data=form, auth=raw, timeout=TIMEOUT)) == (401, "invalid_client")
    body = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    assert exchange(sandbox, redirect_query(sandbox)["code"], basic=False, **body).status_code == 200


def test_access_token_is_a_jwt_of_this_issuer(sandbox):
    """The access token can be checked with the published key."""
    token = connected(sandbox)
    keys = KeySet.import_key_set(requests.get(endpoint(sandbox, "jwks_uri"), timeout=TIMEOUT).json())
    claims = jwt.decode(token["access_token"], keys, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["client_id"]) == (sandbox.url, sandbox.client_id)
    assert (claims["scope"], claims["exp"] - claims["iat"]) == (SCOPE.split(), token["expires_in"])


def test_id_token_carries_the_nonce(sandbox):
    """Asked with openid and a nonce, the answer has an id_token with both sides' names in it."""
    token = connected(sandbox, nonce="n-1")
    keys = KeySet.import_key_set(requests.get(endpoint(sandbox, "jwks_uri"), timeout=TIMEOUT).json())
    claims = jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims
    assert (claims["nonce"], claims["iss"], claims["aud"]) == ("n-1", sandbox.url, sandbox.client_id)
    assert claims["sub"] == call(endpoint(sandbox, "userinfo_endpoint"), token).json()["sub"]


def test_without_openid_there_is_no_id_token(sandbox):
    """Only what was asked for is answered."""
    token = connected(sandbox, scope="api")
    assert not {"id_token", "refresh_token"} & token.keys()


def test_refresh_token_needs_offline_access(sandbox):
    """A refresh token is answered if and only if offline_access was asked for."""
    assert "refresh_token" not in connected(sandbox, scope="openid api")
    assert "refresh_token" in connected(sandbox, scope="openid api offline_access")


def test_scope_may_be_left_out(sandbox):
    """Without a scope the client gets all it is registered for."""
    url = sandbox.authorization_url(**PKCE)
    query = dict(parse_qsl(urlsplit(Visitor(sandbox).authorize(url)).query))
    assert "openid profile offline_access api" in query["scope"]


def test_apis_take_the_token_by_scope(sandbox):
    """The users API takes tokens with `api`; userinfo those with `openid`."""
    token = connected(sandbox)
    assert call(f"{sandbox.url}/api/users/me", token).json()["Email"] == sandbox.practice.username
    assert call(endpoint(sandbox, "userinfo_endpoint"), token).json()["email"] == sandbox.practice.username
    narrow = connected(sandbox, scope="openid")
    assert call(f"{sandbox.url}/api/users/me", narrow).status_code == 403


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-4] + "AAAA", lambda t: "x", lambda t: t.rpartition(".")[0] + "."]
)
def test_forged_token_is_refused(sandbox, spoil):
    """A token that the published key did not sign is a bad bearer."""
    answer = call(f"{sandbox.url}/api/users/me", {"access_token": spoil(connected(sandbox)["access_token"])})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_revocation_kills_the_refresh_token_but_not_the_jwt(sandbox):
    """After RFC 7009 revocation, a refresh fails while the access token lives to its end."""
    token = connected(sandbox)
    own = (quote(sandbox.client_id, safe=""), quote(sandbox.client_secret, safe=""))
    for kind in ("access_token", "refresh_token"):
        form = {"token": token[kind], "token_type_hint": kind}
        url = endpoint(sandbox, "revocation_endpoint")
        assert requests.post(url, data=form, auth=own, timeout=TIMEOUT).status_code == 200
    assert refusal(refresh(sandbox, token)) == (400, "invalid_grant")
    assert call(f"{sandbox.url}/api/users/me", token).status_code == 200


def test_revocation_is_for_the_client_s_own_tokens(sandbox):
    """Another client cannot revoke."""
    token = connected(sandbox)
    form = {"token": token["refresh_token"], "client_id": Sandbox.public_client_id}
    url = endpoint(sandbox, "revocation_endpoint")
    assert requests.post(url, data=form, timeout=TIMEOUT).status_code == 400
    assert refresh(sandbox, token).status_code == 200


def test_jwt_ends_with_its_exp(sandbox, time_machine):
    """Past `exp`, the JWT is refused."""
    time_machine.move_to("2030-01-01T12:00:00Z")
    token = connected(sandbox)
    time_machine.shift(3601)
    assert call(f"{sandbox.url}/api/users/me", token).status_code == 401


def test_refresh_rotates(sandbox):
    """A refresh answers a new refresh token and the old one is dead."""
    first = connected(sandbox)
    second = refresh(sandbox, first).json()
    assert second["scope"] == SCOPE
    assert refusal(refresh(sandbox, first)) == (400, "invalid_grant")
    assert refresh(sandbox, second).status_code == 200
