"""The sandbox, described to a client: a TOML file with a `[provider]` table."""

from __future__ import annotations

from connector.sandbox.accounts import REGIONS
from connector.sandbox.clients import IDENTITY_SCOPES

__all__ = ["provider_toml"]


def provider_toml(generation: str, base_url: str) -> str:
    """Return the text of a provider file for a sandbox."""
    own = _classic(base_url) if generation == "classic" else _identity(base_url)
    shared = [
        f'users_url = "{base_url}"',
        f'applications_page = "{base_url}/User/Applications"',
        f'portal_url = "{base_url}/portal"',
        "",
        "[provider.metadata_urls]",
        *(f'{region} = "{base_url}/metadata/{region}"' for region in REGIONS),
    ]
    return "\n".join(["[provider]", *own, *shared, ""])


def _classic(base_url: str) -> list[str]:
    return [
        f'authorization_endpoint = "{base_url}/oauth/authorise"',
        f'token_endpoint = "{base_url}/oauth/token"',
        'code_format = "dotnetopenauth"',
        "pkce = false",
        'returns_state = "unknown"',
        'client_auth = "client_secret_basic"',
        'basic_encoding = "raw"',
    ]


def _identity(base_url: str) -> list[str]:
    return [
        f'issuer = "{base_url}"',
        f'scope = "{" ".join(IDENTITY_SCOPES[:4])}"',
        'code_format = "identityserver"',
        "pkce = true",
        "returns_state = true",
    ]
