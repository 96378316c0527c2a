"""The applications registered with the sandbox, and the provider file that describes it to them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace

from connector.sandbox.accounts import REGIONS

__all__ = [
    "CLIENT_ID",
    "IDENTITY_SCOPES",
    "PUBLIC_CLIENT_ID",
    "Client",
    "client_secret",
    "provider_toml",
    "registered_clients",
]

CLIENT_ID = "ormco-sandbox"
PUBLIC_CLIENT_ID = "ormco-sandbox-public"

# Made-up secrets, accepted only if the client encodes them as this generation's server expects: raw for
# classic (percent-encoded, it is wrong), by RFC 6749 for identity (raw, its %2F is read as a slash).
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
    """One registered application. Authlib reads it through these names."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    name: str
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...] | None

    def get_client_id(self) -> str:
        """Return the client id."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Return no default: the redirect URI has to be sent."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the scope that the client gets for a requested one, or None if that is not allowed."""
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
        return grant_type in ("authorization_code", "refresh_token")


def client_secret(generation: str) -> str:
    """Return the made-up secret of the sandbox's client."""
    return _SECRETS[generation]


def registered_clients(generation: str, client_id: str, redirect_uris: tuple[str, ...]) -> dict[str, Client]:
    """Return the clients of a generation by id: Ormco first, and for identity a public one too."""
    ormco = Client(
        client_id=client_id,
        secret=client_secret(generation),
        name="Ormco",
        redirect_uris=redirect_uris,
        scopes=None if generation == "classic" else IDENTITY_SCOPES,
    )
    if generation == "classic":
        return {client_id: ormco}
    public = replace(ormco, client_id=PUBLIC_CLIENT_ID, secret=None)
    return {client_id: ormco, PUBLIC_CLIENT_ID: public}


def provider_toml(generation: str, base_url: str, scope: str | None) -> str:
    """Return the text of a provider file for a sandbox.

    Args:
        generation: "classic" or "identity".
        base_url: the sandbox's origin.
        scope: the scope that a client requests; None: the generation's usual scopes.

    Raises:
        ValueError: the generation has no such scope.
    """
    if scope is None:
        scope = "" if generation == "classic" else " ".join(IDENTITY_SCOPES[:4])
    unknown = sorted(set(scope.split()) - set(IDENTITY_SCOPES))
    if (unknown and generation == "identity") or not re.fullmatch(r"[ !#-\[\]-~]*", scope):
        raise ValueError(f"there is no scope {' '.join(unknown)!r}")
    own = (_CLASSIC if generation == "classic" else _IDENTITY) + (f'scope = "{scope}"\n' if scope else "")
    metadata_urls = "".join(f'{region} = "{base_url}/metadata/{region}"\n' for region in REGIONS)
    return (own + _SHARED).replace("{base_url}", base_url) + metadata_urls


_CLASSIC = """\
[provider]
authorization_endpoint = "{base_url}/oauth/authorise"
token_endpoint = "{base_url}/oauth/token"
code_format = "dotnetopenauth"
pkce = false
returns_state = "unknown"
client_auth = "client_secret_basic"
basic_encoding = "raw"
"""
_IDENTITY = """\
[provider]
issuer = "{base_url}"
code_format = "identityserver"
pkce = true
returns_state = true
"""
_SHARED = """\
users_url = "{base_url}"
applications_page = "{base_url}/User/Applications"
portal_url = "{base_url}/portal"

[provider.metadata_urls]
"""
