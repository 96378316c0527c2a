"""A registered application's calls to a sandbox by plain HTTP, without the product."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import requests

from tests.support.sandbox import TIMEOUT, RunningSandbox, SignIn

VERIFIER = "made-up-verifier-0123456789-0123456789-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
SCOPE = "openid profile offline_access api"

Tokens = dict[str, Any]


def token_endpoint(sandbox: RunningSandbox) -> str:
    """The token endpoint's address."""
    return f"{sandbox.url}{'/oauth/token' if sandbox.generation == 'classic' else '/connect/token'}"


def redirect_url(
    sandbox: RunningSandbox, who: SignIn | None = None, /, *, decision: str = "allow", **params: str
) -> str:
    """The redirect URL of a consent, by default the practice's, as the provider wrote it."""
    usual = {"scope": SCOPE, "state": "s1", **PKCE} if sandbox.generation == "identity" else {}
    url = sandbox.authorization_url(**(usual | params))
    return sandbox.authorize(url, who=who, decision=decision)


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address, in their order."""
    return dict(parse_qsl(urlsplit(url).query))


def code_of(url: str) -> str:
    """The code in a redirect URL; classic's is percent-encoded once more."""
    return unquote(query_of(url)["code"])


def fresh_code(sandbox: RunningSandbox, who: SignIn | None = None, /, **params: str) -> str:
    """A code that has not been spent."""
    return code_of(redirect_url(sandbox, who, **params))


def token_call(
    sandbox: RunningSandbox, *, auth: tuple[str, str] | None = None, basic: bool = True, **form: str
) -> requests.Response:
    """A call of the token endpoint, with the client's credentials in a header unless `basic` is false."""
    own = (sandbox.client_id, sandbox.client_secret)
    if sandbox.generation == "identity":
        own = (quote(own[0], safe=""), quote(own[1], safe=""))
    header = (auth or own) if basic else None
    return requests.post(token_endpoint(sandbox), data=form, auth=header, timeout=TIMEOUT)


def exchange(sandbox: RunningSandbox, code: str, **changes: Any) -> requests.Response:
    """The exchange of a code."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": sandbox.redirect_uri}
    verifier = {"code_verifier": VERIFIER} if sandbox.generation == "identity" else {}
    return token_call(sandbox, **(form | verifier | changes))


def refresh(sandbox: RunningSandbox, token: Tokens, **changes: Any) -> requests.Response:
    """A refresh."""
    return token_call(sandbox, grant_type="refresh_token", refresh_token=token["refresh_token"], **changes)


def connected(sandbox: RunningSandbox, who: SignIn | None = None, /, **params: str) -> Tokens:
    """A token response, by consent and exchange, without a browser or the product's calls."""
    response = exchange(sandbox, fresh_code(sandbox, who, **params))
    assert response.status_code == 200, response.text
    tokens: Tokens = response.json()
    return tokens


def call(url: str, token: Tokens) -> requests.Response:
    """A call of an API with an access token."""
    return requests.get(url, headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=TIMEOUT)


def me(sandbox: RunningSandbox, token: Tokens) -> requests.Response:
    """The account of a token."""
    return call(f"{sandbox.url}/api/users/me", token)


def refusal(response: requests.Response) -> tuple[int, str]:
    """The status and the OAuth error of a response."""
    return response.status_code, response.json()["error"]
