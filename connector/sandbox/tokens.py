"""How the sandbox's tokens are made: data bags for classic, signed JWTs for identity."""

from __future__ import annotations

import secrets
import time
from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from connector.sandbox.accounts import Account
from connector.sandbox.clients import Client
from connector.sandbox.databag import new_access_token, new_data_bag
from connector.sandbox.world import World

__all__ = ["TokenGenerator", "account_of_jwt", "public_claims", "signing_key"]

_LIFETIME = 3600
_SHORT_LIFETIME = 5


@lru_cache(maxsize=1)
def signing_key() -> RSAKey:
    """Return the key that signs JWTs: one for a process, since making it takes a while."""
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": secrets.token_hex(16).upper()})


def public_claims(account: Account) -> dict[str, Any]:
    """Return what identity tells of an account."""
    return {
        "sub": account.id,
        "name": account.email,
        "email": account.email,
        "firstName": account.first_name,
        "lastName": account.last_name,
        "companyId": account.id,
        "role": account.role,
    }


def account_of_jwt(world: World, access_token: str) -> tuple[Account, list[str]] | None:
    """Return whose JWT this is, and its scopes; None if it is forged or too old.

    The grant is not asked: a JWT lives to its end, whatever was revoked meanwhile.
    """
    try:
        claims = jwt.decode(access_token, signing_key(), algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        return None
    if claims.get("iss") != world.base_url or claims.get("exp", 0) <= time.time():
        return None
    account = world.accounts.get(claims.get("sub", ""))
    return (account, claims["scope"]) if account else None


class TokenGenerator:
    """Make the token endpoint's answer; Authlib calls it for every grant."""

    def __init__(self, world: World) -> None:
        self._world = world

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
        lifetime = _SHORT_LIFETIME if self._world.on("short-lived") else _LIFETIME
        classic = self._world.generation == "classic"
        token: dict[str, Any] = {
            "access_token": new_access_token() if classic else self._jwt(client, user, scope, lifetime),
            "token_type": "bearer" if classic else "Bearer",
            "expires_in": lifetime,
            "scope": scope,
        }
        if include_refresh_token and self._may_renew(grant_type, scope):
            token["refresh_token"] = (
                new_data_bag(self._world.refresh_handle) if classic else secrets.token_hex(32).upper() + "-1"
            )
        return token

    def _granted(self, grant_type: str, scope: str) -> str:
        wanted = scope.split()
        if self._world.on("scope-shrinks") and wanted and grant_type != "refresh_token":
            wanted.remove("profile" if "profile" in wanted else wanted[-1])
        return " ".join(wanted)

    def _may_renew(self, grant_type: str, scope: str) -> bool:
        if grant_type == "refresh_token":
            return not self._world.on("no-rotation")
        if self._world.on("no-refresh-token"):
            return False
        return self._world.generation == "classic" or "offline_access" in scope.split()

    def _jwt(self, client: Client, user: Account, scope: str, lifetime: int) -> str:
        now = int(time.time())
        claims = {
            "iss": self._world.base_url,
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
