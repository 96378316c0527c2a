"""Find the region of an account: the users API names it, and `/api/servers` confirms it.

The regions and their hosts are the provider's `metadata_urls`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from connector.communicate.client import ApiClient, origin
from connector.communicate.models import lowered
from connector.errors import ProviderUnavailableError, SettingError
from connector.oauth.presets import region_at, region_named
from connector.oauth.provider import Provider

__all__ = ["ApiRegion", "api_region", "own_address", "read_region", "resolve_region"]

_NOT_IN_ADDRESSES = re.compile(r"[\s\\\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRegion:
    """A region of the metadata API.

    Attributes:
        name: a key of the provider's `metadata_urls`.
        api_url: address of its metadata API, ending in "/api/".
    """

    name: str
    api_url: str


def api_region(name: str, provider: Provider) -> ApiRegion:
    """Return a region by its name.

    Raises:
        connector.errors.SettingError: the provider has no such region.
    """
    if not provider.metadata_urls:
        raise SettingError(
            f"{provider.name} has no metadata addresses, so its cases cannot be read",
            hint='Add the table metadata_urls to the provider file: region = "https://…".',
        )
    if name not in provider.metadata_urls:
        raise SettingError(
            f"{provider.name} has no region {name!r}",
            hint=f"Use one of {', '.join(sorted(provider.metadata_urls))}, or add it to metadata_urls.",
        )
    base = provider.metadata_urls[name].rstrip("/").removesuffix("/api")
    return ApiRegion(name=name, api_url=f"{base}/api/")


def resolve_region(api: ApiClient, provider: Provider, stated: str | None) -> ApiRegion:
    """Find the region on which an account's own data and `/api/servers` agree; it is never guessed.

    Args:
        api: the account's API client.
        provider: its `metadata_urls` are the regions.
        stated: the region that the users API names, or None.

    Raises:
        connector.errors.SettingError: nothing names the region, or two responses contradict each other.
        connector.errors.ProviderUnavailableError: the API does not respond now.
    """
    first = stated or next(iter(provider.metadata_urls), "")
    region = api_region(first, provider)
    try:
        servers = _regions_of_servers(api, provider, region)
    except ProviderUnavailableError:
        if stated is None:
            raise
        servers = set()  # an old server, or a temporary fault: the account's own data decide
    if stated is None and len(servers) == 1:
        return api_region(servers.pop(), provider)
    if stated is None:
        raise SettingError(
            "the region of the account's cases cannot be determined",
            hint=f"Name the region: {', '.join(sorted(provider.metadata_urls))}.",
        )
    if servers and stated not in servers:
        raise SettingError(
            f"the account is in {stated}, but its servers are those of {', '.join(sorted(servers))}",
            hint="Name the correct region.",
        )
    return region


def read_region(user: Mapping[str, Any]) -> str | None:
    """Return the region that a user object (with lower-case keys) names in any known form, or None."""
    region, addresses = user.get("region"), [user.get("regionuri")]
    if isinstance(region, dict):
        fields = lowered(region)
        region, addresses = fields.get("regionname"), [fields.get("url"), *addresses]
    named = region_named(region) if isinstance(region, str) else None
    found = (region_at(address.strip()) for address in addresses if isinstance(address, str))
    return named or next(filter(None, found), None)


def own_address(address: str | None, base: str, origins: Collection[str]) -> str | None:
    """Return an address that a server named, if it leads to one of the provider's own origins.

    Args:
        address: absolute, or relative to `base`.
        base: the address of the response that named it.
        origins: the provider's own origins.
    """
    if not address or _NOT_IN_ADDRESSES.search(address):
        return None
    try:
        url = urljoin(base, address)
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None or not parts.hostname:
            return None
        return url if origin(url) in {origin(own) for own in origins} else None
    except ValueError:
        return None


def _regions_of_servers(api: ApiClient, provider: Provider, region: ApiRegion) -> set[str]:
    """Return the regions that `/api/servers` names; any other host is ignored."""
    received = api.get(f"{region.api_url}servers")
    addresses = [item for item in received if isinstance(item, str)] if isinstance(received, list) else []
    return {
        name
        for name, base in provider.metadata_urls.items()
        if any(_is_under(address, base.rstrip("/") + "/") for address in addresses)
    }


def _is_under(address: str, base: str) -> bool:
    own = own_address(address, base, [base])
    return own is not None and f"{urlsplit(own).path}/".startswith(urlsplit(base).path)
