"""An authorization server from a client's point of view: its addresses and its peculiarities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from connector.errors import SettingError

__all__ = ["ClientRegistration", "Provider", "is_loopback", "require_secure"]

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """Ormco's registration with the provider.

    Attributes:
        client_id: public name of the client.
        client_secret: its secret, or None for a public client.
        redirect_uri: the address to which the provider sends the browser; compared byte for byte.
        scope: space-separated, or None to request none.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str
    scope: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The addresses of an authorization server and its resources, and the server's peculiarities.

    Attributes:
        name: the preset's name, or the server's address if it comes from a file.
        issuer: OpenID issuer; endpoints that are None come from its discovery document.
        users_url: origin of the users API (`/api/users/me`).
        metadata_urls: region name → origin of that region's metadata API.
        applications_page: the page on which a person removes the grant.
        code_format: "dotnetopenauth", "identityserver" or "opaque" (decoded exactly once).
        pkce: whether to send a PKCE challenge (RFC 7636, S256).
        returns_state: True, False, or None if it is not known.
        client_auth: how the client authenticates at the token endpoint; None: with its secret, if it has one.
        basic_encoding: "rfc6749" percent-encodes id and secret (§2.3.1); "raw" sends them as they are.
        authorization_params: extra parameters of the authorization URL.
        scope: requested unless the settings name another; None if none is known.
        landing_hosts: further hosts from which a redirect URL may be pasted.
        download_hosts: further hosts that a download of a case may be redirected to, without the token.
        refresh_reuse_seconds: seconds after a refresh in which the old refresh token may be sent once more.
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
    download_hosts: tuple[str, ...] = ()
    refresh_reuse_seconds: float = 0.0
    returns_iss: bool = False
    client: ClientRegistration | None = None

    @property
    def complete(self) -> bool:
        """Whether all endpoints are known, so that no discovery is needed."""
        return self.authorization_endpoint is not None and self.token_endpoint is not None

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, like the sandbox."""
        return is_loopback(self.issuer or self.authorization_endpoint or "")

    @property
    def needs_secret(self) -> bool:
        """Whether a client needs a secret: a DotNetOpenAuth server requires one for codes."""
        classic = self.client_auth is None and self.code_format == "dotnetopenauth"
        return classic or self.client_auth not in (None, "none")

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
        what: the name of the address, for the error.

    Raises:
        connector.errors.SettingError: for any other URL.
    """
    # An address with a user name and password in it is not repeated.
    quoted = "" if "@" in url else f": {url!r}"
    if not _is_web_address(url):
        raise SettingError(f"{what} is not a web address{quoted}", hint="Give a full https:// address.")
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        raise SettingError(
            f"{what} is not encrypted{quoted}", hint="Use https://; http:// is for this machine only."
        )
    return url


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    # Parsers disagree about a backslash or white space, and so about the host.
    plain = url.isprintable() and not any(char in " \\" for char in url)
    return named and plain and parts.scheme in ("http", "https") and "@" not in parts.netloc
