"""3Shape Communicate as authorization server: its addresses and its habits.

The presets hold what is publicly known of 3Shape; a TOML file with a `[provider]` table describes any
other server.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from connector.errors import SettingError
from connector.ormco import REDIRECT_URI

__all__ = [
    "PRESETS",
    "ClientRegistration",
    "Provider",
    "is_loopback",
    "require_secure",
]

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """What the provider knows of Ormco.

    Attributes:
        client_id: public name of the client.
        client_secret: its secret, or None for a public client.
        redirect_uri: where the provider sends the browser; compared byte for byte.
        scope: space-separated, or None to ask for none.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str = REDIRECT_URI
    scope: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where the authorization server and its resources are, and how this one differs from others.

    Attributes:
        name: the preset's name, or the address for one from a file.
        issuer: OpenID issuer; endpoints that are None come from its discovery document.
        users_url: origin of the users API (`/api/users/me`).
        metadata_urls: region name → origin of that region's metadata API.
        applications_page: where a person removes the grant.
        code_format: "dotnetopenauth", "identityserver" or "opaque" (decoded exactly once).
        pkce: whether to send a PKCE challenge (RFC 7636, S256).
        returns_state: True, False, or None where it is not known.
        client_auth: how the client authenticates at the token endpoint; None: by what it has.
        basic_encoding: "rfc6749" percent-encodes id and secret (§2.3.1); "raw" sends them as they are.
        authorization_params: extra parameters of the authorization URL.
        scope: asked for unless the settings say otherwise; None where none is known.
        landing_hosts: further hosts on which the redirect may be pasted from.
        returns_iss: whether discovery promises `iss` in the response (RFC 9207).
        client: a built-in registration (the sandbox's made-up one), or None.
    """

    name: str
    issuer: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    revocation_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    users_url: str | None = None
    metadata_urls: Mapping[str, str] = field(default_factory=dict)
    applications_page: str | None = None
    portal_url: str | None = None
    code_format: str = "opaque"
    pkce: bool = True
    returns_state: bool | None = True
    client_auth: str | None = None
    basic_encoding: str = "rfc6749"
    authorization_params: Mapping[str, str] = field(default_factory=dict)
    scope: str | None = None
    landing_hosts: tuple[str, ...] = ()
    returns_iss: bool = False
    client: ClientRegistration | None = None

    @classmethod
    def load(cls, setting: str) -> Provider:
        """Return a preset by name, or read a TOML file.

        Args:
            setting: the name of one of `PRESETS`, or the path of a TOML file.

        Raises:
            connector.errors.SettingError: if there is no such preset or file, or the file is not right.
        """
        if setting in PRESETS:
            return PRESETS[setting]
        if setting.endswith(".toml") or os.path.isfile(os.path.expanduser(setting)):
            from connector.oauth.provider_file import read_provider_file  # it needs this module

            return read_provider_file(os.path.expanduser(setting))
        raise SettingError(
            f"there is no provider {setting!r}",
            hint=f"Use one of {', '.join(PRESETS)}, or the path of a TOML file with a [provider] table.",
        )

    @property
    def complete(self) -> bool:
        """Whether nothing has to be discovered any more."""
        return self.authorization_endpoint is not None and self.token_endpoint is not None

    @property
    def tells_account(self) -> bool:
        """Whether there is an API that names the account behind a token."""
        return self.users_url is not None or self.userinfo_endpoint is not None


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK_HOSTS


def require_secure(url: str, what: str) -> str:
    """Return a URL that is https, or http on this machine.

    Args:
        url: the address.
        what: what it is the address of, for the error.

    Raises:
        connector.errors.SettingError: for any other.
    """
    # What holds user name and password is not repeated.
    quoted = "" if "@" in url else f": {url!r}"
    if not _is_web_address(url):
        raise SettingError(f"{what} is not a web address{quoted}", hint="Give a full https:// address.")
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        raise SettingError(
            f"{what} is not encrypted{quoted}", hint="Use https://; http:// is for this machine alone."
        )
    return url


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    # Parsers disagree on a backslash or white space, and so on the host.
    plain = url.isprintable() and not any(char in " \\" for char in url)
    return named and plain and parts.scheme in ("http", "https") and "@" not in parts.netloc


# Production's alone: staging's is not known.
_PORTAL = "https://portal.3shapecommunicate.com"


def _classic(name: str, prefix: str, metadata_urls: Mapping[str, str]) -> Provider:
    return Provider(
        name=name,
        authorization_endpoint=f"https://{prefix}auth.3shapecommunicate.com/oauth/authorise",
        token_endpoint=f"https://{prefix}auth.3shapecommunicate.com/oauth/token",
        users_url=f"https://{prefix}users.3shapecommunicate.com",
        metadata_urls=metadata_urls,
        applications_page=f"https://{prefix}users.3shapecommunicate.com/User/Applications",
        portal_url=None if prefix else _PORTAL,
        code_format="dotnetopenauth",
        pkce=False,
        returns_state=None,
        basic_encoding="raw",
    )


_METADATA = {
    "europe": "https://eumetadata.3shapecommunicate.com",
    "americas": "https://ammetadata.3shapecommunicate.com",
    "asia-pacific": "https://asmetadata.3shapecommunicate.com",
}
# No Asian staging is known.
_STAGING_METADATA = {
    "europe": "https://staging-eumetadata.3shapecommunicate.com",
    "americas": "https://staging-ammetadata.3shapecommunicate.com",
}


def _identity(name: str, prefix: str, metadata_urls: Mapping[str, str]) -> Provider:
    return Provider(
        name=name,
        issuer=f"https://{prefix}identity.3shape.com",
        users_url=f"https://{prefix}users.3shapecommunicate.com",
        metadata_urls=metadata_urls,
        portal_url=None if prefix else _PORTAL,
        code_format="identityserver",
        # Seen with every public client of this server; what Ormco's registration may ask for is a setting.
        scope="openid profile offline_access api",
    )


# The sandbox's registration is made up and public; it opens nothing but a sandbox.
_SANDBOX = "http://127.0.0.1:8042"

PRESETS: Mapping[str, Provider] = {
    "communicate": _classic("communicate", "", _METADATA),
    "communicate-staging": _classic("communicate-staging", "staging-", _STAGING_METADATA),
    "identity": _identity("identity", "", _METADATA),
    "identity-staging": _identity("identity-staging", "staging-", _STAGING_METADATA),
    "sandbox": Provider(
        name="sandbox",
        authorization_endpoint=f"{_SANDBOX}/oauth/authorise",
        token_endpoint=f"{_SANDBOX}/oauth/token",
        users_url=_SANDBOX,
        metadata_urls={region: f"{_SANDBOX}/metadata/{region}" for region in _METADATA},
        applications_page=f"{_SANDBOX}/User/Applications",
        portal_url=f"{_SANDBOX}/portal",
        code_format="dotnetopenauth",
        pkce=False,
        returns_state=None,
        basic_encoding="raw",
        client=ClientRegistration(client_id="ormco-sandbox", client_secret="made-up:sandbox/secret+1"),  # noqa: S106
    ),
}
