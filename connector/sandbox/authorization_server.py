"""The authorization server: Authlib's, with the behaviour of 3Shape's two generations."""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
import time
from functools import partial
from typing import Any
from urllib.parse import quote

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
)
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, g

from connector.sandbox.accounts import Account
from connector.sandbox.clients import Client
from connector.sandbox.state import Code, IssuedToken, State
from connector.sandbox.tokens import TokenGenerator, new_data_bag, new_handle, public_claims, signing_key

__all__ = ["authorization_server"]

# Authlib writes tokens to its loggers at DEBUG. These are made up, but tokens are never logged here.
logging.getLogger("authlib").setLevel(logging.INFO)


def authorization_server(app: Flask, state: State) -> AuthorizationServer:
    """Return the authorization server of a sandbox."""
    server = AuthorizationServer(app, query_client=state.clients.get, save_token=partial(_save_token, state))
    server.state = state
    server.code_handle = new_handle()
    server.register_token_generator("default", TokenGenerator(state))
    server.register_grant(_RefreshTokenGrant)
    if state.generation == "classic":
        server.register_client_auth_method("client_secret_basic", _raw_basic)
        server.register_grant(_ClassicCodeGrant)
    else:
        server.register_grant(_IdentityCodeGrant, [_S256(required=True), _OpenID(state)])
        server.register_endpoint(_Revocation)
        server.register_hook("after_create_authorization_response", _add_issuer)
    return server


def _save_token(state: State, token: dict[str, Any], request: Any) -> None:
    source = request.authorization_code or request.refresh_token
    issued = IssuedToken(
        access_token=token["access_token"],
        refresh_token=token.get("refresh_token"),
        grant=source.grant,
        scope=token["scope"],
        lifetime=token["expires_in"],
    )
    state.add_token(issued)


def _add_issuer(server: AuthorizationServer, response: Response) -> None:
    # RFC 9207 §2: in every authorization response, refusals included.
    response.location = f"{response.location}&iss={quote(server.state.base_url, safe='')}"


def _raw_basic(query_client: Any, request: Any) -> Client | None:
    # DotNetOpenAuth does not percent-decode the id and the secret.
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        client_id, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    client: Client | None = query_client(client_id) if scheme.lower() == "basic" else None
    return client if client and client.check_client_secret(secret) else None


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """The code grant of both generations. A code is spent before anything else is checked."""

    def save_authorization_code(self, code: str, request: Any) -> None:
        state: State = self.server.state
        state.codes[code] = Code(
            value=code,
            grant=state.add_grant(request.client, request.user, request.scope),
            redirect_uri=request.payload.redirect_uri,
            code_challenge=request.payload.data.get("code_challenge"),
            code_challenge_method=request.payload.data.get("code_challenge_method"),
            nonce=request.payload.data.get("nonce"),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        taken: Code | None = g.get("code")
        if taken is None or taken.expired:
            return None
        if taken.grant.client is not client:
            raise InvalidClientError("The code was issued to another client.", status_code=400)
        if taken.grant.revoked:
            raise InvalidGrantError("The authorization was removed.")
        return taken

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Do nothing: it is spent already."""

    def authenticate_user(self, authorization_code: Code) -> Account:
        return authorization_code.grant.account


class _ClassicCodeGrant(_CodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def generate_authorization_code(self) -> str:
        return new_data_bag(self.server.code_handle)

    def create_authorization_response(
        self, redirect_uri: str, grant_user: Account | None
    ) -> tuple[int, str, list[tuple[str, str]]]:
        status, body, headers = super().create_authorization_response(redirect_uri, grant_user)
        handle = self.server.code_handle
        # Seen with the real provider: the code is percent-encoded once more, "!" arrives as "%2521".
        location = dict(headers)["Location"].replace(f"code={handle}%21", f"code={handle}%2521")
        return status, body, [("Location", location)]

    def query_authorization_code(self, code: str, client: Client) -> Code:
        taken = super().query_authorization_code(code, client)
        # DotNetOpenAuth calls a bad code invalid_request; only a removed authorization is invalid_grant.
        if taken is None or taken.redirect_uri != self.request.payload.redirect_uri:
            raise InvalidRequestError("Error occurred while sending a direct message: code.")
        return taken


class _IdentityCodeGrant(_CodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

    def generate_authorization_code(self) -> str:
        return secrets.token_hex(32).upper() + "-1"

    def create_authorization_response(
        self, redirect_uri: str, grant_user: Account | None
    ) -> tuple[int, str, list[tuple[str, str]]]:
        status, body, headers = super().create_authorization_response(redirect_uri, grant_user)
        session_state = f"{secrets.token_urlsafe(32)}.{secrets.token_hex(16).upper()}"
        scope = quote(self.request.scope, safe="")
        location = f"{dict(headers)['Location']}&scope={scope}&session_state={session_state}"
        return status, body, [("Location", location)]


class _S256(CodeChallenge):  # type: ignore[misc]
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        # Authlib requires it only of public clients, at the token endpoint; this server of all clients, here.
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code challenge required")
        super().validate_code_challenge(grant, redirect_uri)


class _OpenID(OpenIDCode):  # type: ignore[misc]
    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False  # IdentityServer leaves it to the client to detect a repeated nonce

    def resolve_client_private_key(self, client: Client) -> Any:
        return signing_key()

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        return {"alg": "RS256", "kid": signing_key().kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self._state.base_url, "aud": client.client_id, "nbf": int(time.time())}

    def generate_user_info(self, user: Account, scope: str) -> dict[str, Any]:
        return public_claims(user) if "profile" in scope.split() else {"sub": user.id}


class _RefreshTokenGrant(RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> IssuedToken | None:
        state: State = self.server.state
        token = state.refresh_tokens.get(refresh_token)
        if token is None:
            return None
        if state.on("revoked") or (token.spent and state.on("reuse-revokes")):
            token.grant.revoked = True
        return None if token.spent or token.grant.revoked else token

    def authenticate_user(self, refresh_token: IssuedToken) -> Account:
        return refresh_token.grant.account

    def revoke_old_credential(self, refresh_token: IssuedToken) -> None:
        refresh_token.spent = not self.server.state.on("no-rotation")


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    """RFC 7009 as in IdentityServer: refresh tokens are revoked; a JWT is valid until it expires."""

    CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

    def query_token(self, token_string: str, token_type_hint: str | None) -> IssuedToken | None:
        state: State = self.server.state
        return state.refresh_tokens.get(token_string)

    def revoke_token(self, token: IssuedToken, request: Any) -> None:
        token.grant.revoked = True
