"""The Communicate user behind a token."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from connector.connection import Account
from connector.errors import ProviderUnavailableError
from connector.oauth.http import BearerAuth, call, json_object, open_session, retry_after
from connector.oauth.presets import region_at, region_named
from connector.oauth.provider import Provider
from connector.redact import shown

__all__ = ["account_from", "account_url", "read_account"]


def account_url(provider: Provider) -> str | None:
    """Return the address that names the account behind a token, or None where the provider has none."""
    if provider.users_url is None:
        return provider.userinfo_endpoint
    origin = provider.users_url.rstrip("/")
    return origin.removesuffix("/users").removesuffix("/api") + "/api/users/me"


def read_account(provider: Provider, access_token: str, *, now: float) -> Account:
    """Read the account behind an access token from the users API, or from OpenID userinfo.

    Args:
        provider: one that tells accounts.
        access_token: a good one.
        now: seconds since 1970, for a `Retry-After` date.

    Raises:
        connector.errors.ProviderUnavailableError: if it cannot be read now.
    """
    auth = BearerAuth(access_token)
    del access_token
    url = account_url(provider) or ""
    host = urlsplit(url).netloc
    with open_session() as session:
        response = call(session, "GET", url, auth=auth)
    account = account_from(json_object(response) or {}) if response.status_code == 200 else None
    if account is None:
        raise ProviderUnavailableError(
            f"{host} did not tell the account behind the token ({response.status_code})",
            hint="The tokens are kept, and handed out as soon as the account can be read: try again later.",
            retry_after=retry_after(response, now),
        )
    return account


def account_from(user: dict[str, Any]) -> Account | None:
    """Read a Communicate user object, or OpenID claims; None without an id."""
    fields = _lowered(user)
    identifier = _text(fields.get("id")) or _text(fields.get("sub"))
    if identifier is None:
        return None
    return Account(
        id=identifier,
        email=_text(fields.get("email")),
        name=_text(fields.get("name")) or _text(fields.get("preferred_username")),
        region=_region(fields.get("region")) or region_at(_text(fields.get("regionuri")) or ""),
    )


def _region(region: object) -> str | None:
    if isinstance(region, dict):
        fields = _lowered(region)
        return _region(fields.get("regionname")) or region_at(_text(fields.get("url")) or "")
    return region_named(_text(region) or "")


def _lowered(table: dict[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in table.items()}


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    # An OpenID `sub` has up to 255 characters; cut short, two accounts could look like one.
    return shown(value, 512) or None if isinstance(value, str) else None
