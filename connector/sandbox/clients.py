"""The applications that are registered with the sandbox. Authlib reads them through these names."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

__all__ = [
    "CLIENT_ID",
    "IDENTITY_SCOPES",
    "PUBLIC_CLIENT_ID",
    "Client",
    "client_secret",
    "registered_clients",
]

CLIENT_ID = "ormco-sandbox"
PUBLIC_CLIENT_ID = "ormco-sandbox-public"

# Made up. Each tells whether the client encodes it as this generation's server reads it: raw for classic
# (percent-encoded, it is wrong), by RFC 6749 for identity (raw, its %2F is read as a slash).
_SECRETS = {"classic": "made-up:sandbox/secret+1", "identity": "made-up%2Fsandbox:secret+2"}

IDENTITY_SCOPES = (
    "openid",
    "profile",
    "offline_access",
    "api",
    "communicate.connections.read_only",
    "communicate.connections.manage",
    "data.companies.read_only",
    "data.users.read_only",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One registered application."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    name: str
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...] | None
    grant_types: frozenset[str]

    def get_client_id(self) -> str:
        """Return the public name of the client."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Return no default: the redirect URI has to be sent."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the scope this client gets for what it asked, or None if it may not ask so."""
        if self.scopes is None:
            return scope or ""
        if not scope:
            return " ".join(self.scopes)
        return scope if set(scope.split()) <= set(self.scopes) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Return whether this is, byte for byte, a registered redirect URI."""
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether the secret is right."""
        return self.secret is not None and secrets.compare_digest(
            self.secret.encode(), client_secret.encode("utf-8", "surrogateescape")
        )

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Return whether the client may authenticate in this way: with a secret if and only if it has one."""
        return (method == "none") == (self.secret is None)

    def check_response_type(self, response_type: str) -> bool:
        """Return whether the client may use this flow."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client may use this grant."""
        return grant_type in self.grant_types


def client_secret(generation: str) -> str:
    """Return the made-up secret of the sandbox's client."""
    return _SECRETS[generation]


def registered_clients(generation: str, redirect_uris: tuple[str, ...]) -> dict[str, Client]:
    """Return the clients of a generation by id: Ormco, and for identity a public one too."""
    code_and_refresh = frozenset({"authorization_code", "refresh_token"})
    ormco = Client(
        client_id=CLIENT_ID,
        secret=client_secret(generation),
        name="Ormco",
        redirect_uris=redirect_uris,
        scopes=None if generation == "classic" else IDENTITY_SCOPES,
        grant_types=code_and_refresh | {"password"} if generation == "classic" else code_and_refresh,
    )
    if generation == "classic":
        return {CLIENT_ID: ormco}
    public = Client(
        client_id=PUBLIC_CLIENT_ID,
        name="Ormco",
        redirect_uris=redirect_uris,
        scopes=IDENTITY_SCOPES,
        grant_types=code_and_refresh,
    )
    return {CLIENT_ID: ormco, PUBLIC_CLIENT_ID: public}
