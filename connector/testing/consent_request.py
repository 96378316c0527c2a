"""The authorization request of a consent whose code is not exchanged."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from connector.clock import Clock
from connector.config import Config
from connector.errors import SettingError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.provider import ClientRegistration, Provider, require_secure
from connector.resources import Resources

__all__ = ["client_id_of", "new_request", "redirect_uri_in"]

_NOBODY = "consent-test"


def client_id_of(config: Config, provider: Provider) -> str | None:
    """Return the configured client id, or the provider's built-in one, or None."""
    return config.client_id or (provider.client.client_id if provider.client else None)


def new_request(config: Config, provider: Provider | None = None) -> AuthorizationRequest:
    """Make an authorization request as Ormco's application would.

    It is not stored, and needs no client secret.

    Args:
        config: the settings.
        provider: their provider, if it is discovered already.

    Raises:
        connector.errors.ConfigurationError: the provider or the redirect URI is wrong.
        connector.errors.ProviderUnavailableError: the provider has to be discovered and cannot be.
    """
    provider = provider or Resources(config).provider
    client = ClientRegistration(
        client_id=client_id_of(config, provider) or "",
        redirect_uri=require_secure(config.redirect_uri, "the redirect URI"),
        scope=config.scope or provider.scope,
    )
    return AuthorizationRequest.new(_NOBODY, provider=provider, client=client, now=Clock().utc_now())


def redirect_uri_in(url: str) -> str:
    """Return the redirect URI of an authorization URL.

    Raises:
        connector.errors.SettingError: it names none, or several.
    """
    values = parse_qs(urlsplit(url).query).get("redirect_uri", [])
    if len(values) != 1:
        raise SettingError(
            "the authorization URL does not name one redirect_uri",
            hint="Open a request of Connector.begin, or a whole authorization URL.",
        )
    return values[0]
