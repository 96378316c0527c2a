"""The sandbox's codes and tokens: DotNetOpenAuth's data bags for classic, signed JWTs for identity.

A data bag is `handle ! payload`: the name of a key, then base64url (no padding) of a length-prefixed
HMAC-SHA256 and a length-prefixed, encrypted body of 1 version byte, 16 bytes IV and whole AES blocks.
"""

from __future__ import annotations

import base64
import secrets
import string
import time
from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from connector.sandbox.accounts import Account
from connector.sandbox.clients import Client
from connector.sandbox.state import State

__all__ = [
    "TokenGenerator",
    "account_of_jwt",
    "new_access_token",
    "new_data_bag",
    "new_handle",
    "public_claims",
    "signing_key",
]

_LIFETIME = 3600
_SHORT_LIFETIME = 5
_HANDLE_LETTERS = string.ascii_letters + string.digits + "-_"
_SIGNATURE_LENGTH = 32
_VERSION = b"\x01"
_BLOCK = 16
_BLOCKS = 13  # with version and IV 225 bytes: the size of the code in the guide's picture


def new_handle() -> str:
    """Return the name of a signing key: four random letters, as the real server chooses them."""
    return "".join(secrets.choice(_HANDLE_LETTERS) for _ in range(4))


def new_data_bag(handle: str) -> str:
    """Return an authorization code or refresh token with the form of a real one."""
    body = _VERSION + secrets.token_bytes(_BLOCK + _BLOCKS * _BLOCK)
    return f"{handle}!{_text(_sized(secrets.token_bytes(_SIGNATURE_LENGTH)) + _sized(body))}"


def new_access_token() -> str:
    """Return an access token, which has no handle and begins with `AAEAA`."""
    return _text(b"\x00\x01\x00\x00" + secrets.token_bytes(160))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


@lru_cache(maxsize=1)
def signing_key() -> RSAKey:
    """Return the key that signs JWTs: one for a process, because creating it is slow."""
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": secrets.token_hex(16).upper()})


def public_claims(account: Account) -> dict[str, Any]:
    """Return the claims about an account."""
    return {
        "sub": account.id,
        "name": account.email,
        "email": account.email,
        "firstName": account.first_name,
        "lastName": account.last_name,
        "companyId": account.id,
        "role": account.role,
    }


def account_of_jwt(state: State, access_token: str) -> tuple[Account, list[str]] | None:
    """Return the account and scopes of a JWT; None if it is forged or expired.

    The grant is not checked: a JWT is valid until it expires, even if the grant was revoked.
    """
    try:
        claims = jwt.decode(access_token, signing_key(), algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        return None
    if claims.get("iss") != state.base_url or claims.get("exp", 0) <= time.time():
        return None
    account = state.accounts.get(claims.get("sub", ""))
    return (account, claims["scope"]) if account else None


class TokenGenerator:
    """Creates the token endpoint's response; Authlib calls it for every grant."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._handle = new_handle()

    def __call__(
        self,
        *,
        grant_type: str,
        client: Client,
        user: Account,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        """Return a new token set as it is sent to the client."""
        scope = self._granted(grant_type, scope or "")
        lifetime = _SHORT_LIFETIME if self._state.on("short-lived") else _LIFETIME
        classic = self._state.generation == "classic"
        token: dict[str, Any] = {
            "access_token": new_access_token() if classic else self._jwt(client, user, scope, lifetime),
            "token_type": "bearer" if classic else "Bearer",
            "expires_in": lifetime,
            "scope": scope,
        }
        if include_refresh_token and self._may_renew(grant_type, scope):
            token["refresh_token"] = (
                new_data_bag(self._handle) if classic else secrets.token_hex(32).upper() + "-1"
            )
        return token

    def _granted(self, grant_type: str, scope: str) -> str:
        wanted = scope.split()
        if self._state.on("scope-shrinks") and wanted and grant_type != "refresh_token":
            wanted.remove("profile" if "profile" in wanted else wanted[-1])
        return " ".join(wanted)

    def _may_renew(self, grant_type: str, scope: str) -> bool:
        if grant_type == "refresh_token":
            return not self._state.on("no-rotation")
        if self._state.on("no-refresh-token"):
            return False
        return self._state.generation == "classic" or "offline_access" in scope.split()

    def _jwt(self, client: Client, user: Account, scope: str, lifetime: int) -> str:
        now = int(time.time())
        claims = {
            "iss": self._state.base_url,
            "aud": ["api"],
            "nbf": now,
            "iat": now,
            "exp": now + lifetime,
            "client_id": client.client_id,
            "scope": scope.split(),
            "jti": secrets.token_hex(16).upper(),
            **public_claims(user),
        }
        header = {"alg": "RS256", "kid": signing_key().kid, "typ": "at+jwt"}
        return jwt.encode(header, claims, signing_key())
