"""Read the provider's missing endpoints from its OpenID Connect discovery document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from connector.clock import Clock
from connector.errors import ProviderUnavailableError, SettingError
from connector.oauth.http import call, json_object, open_session, retry_after
from connector.oauth.provider import Provider, require_secure

__all__ = ["discover", "probe"]

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "revocation_endpoint", "userinfo_endpoint")
# Scopes that a lasting connection needs, if the server lists them.
_USEFUL_SCOPES = ("openid", "profile", "email", "offline_access")


def discover(provider: Provider) -> Provider:
    """Return the provider with its missing endpoints filled in; explicit settings are kept.

    Raises:
        connector.errors.ProviderUnavailableError: if the document is not available now.
        connector.errors.SettingError: if it names another issuer, or lacks an endpoint.
    """
    if provider.issuer is None:
        return provider
    document = _fetch(provider.issuer, needed=not provider.complete)
    if document is None:
        return provider
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or issuer.rstrip("/") != provider.issuer.rstrip("/"):
        # OpenID Connect Discovery §4.3: anything else could be an attacker's mix-up.
        raise SettingError(
            f"the discovery document of {provider.issuer} names another issuer",
            hint="Set the issuer exactly as the provider writes it.",
        )
    found: dict[str, Any] = {
        name: require_secure(value, f"{name} of {issuer}")
        for name in _ENDPOINTS
        if getattr(provider, name) is None and isinstance(value := document.get(name), str)
    }
    provider = replace(
        provider,
        **found,
        issuer=issuer,  # its own spelling, with or without a slash: `iss` is compared exactly
        scope=provider.scope or _scope(document.get("scopes_supported")),
        returns_iss=document.get("authorization_response_iss_parameter_supported") is True,
    )
    if not provider.complete:
        raise SettingError(
            f"the discovery document of {issuer} lacks the authorization or the token endpoint",
            hint="Set authorization_endpoint and token_endpoint in the provider file.",
        )
    return provider


def probe(url: str) -> None:
    """Check that a server responds to an empty request; any response except a gateway's error is sufficient.

    Raises:
        connector.errors.ProviderUnavailableError: if there is no response, or only a gateway's.
    """
    with open_session() as session:
        response = call(session, "HEAD", url)
    if response.status_code in (502, 503, 504):
        raise ProviderUnavailableError(
            f"{urlsplit(url).netloc} is down ({response.status_code})",
            hint="Nothing was started. Try again in a few minutes.",
            retry_after=retry_after(response, Clock().time()),
        )


def _fetch(issuer: str, *, needed: bool) -> dict[str, Any] | None:
    """Return the discovery document; None if there is none and it is not needed."""
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    with open_session() as session:
        try:
            response = call(session, "GET", url)
        except ProviderUnavailableError as exc:
            exc.sent = False  # the request that needs the endpoint was not sent
            raise
    if response.status_code == 404 and not needed:
        return None
    document = json_object(response)
    if response.status_code != 200 or document is None:
        raise ProviderUnavailableError(
            f"{url} gave no discovery document ({response.status_code})",
            hint="Check the issuer in the provider's settings, or try again in a few minutes.",
            sent=False,
            retry_after=retry_after(response, Clock().time()),
        )
    return document


def _scope(supported: object) -> str | None:
    if not isinstance(supported, list):
        return None
    return " ".join(scope for scope in _USEFUL_SCOPES if scope in supported) or None
