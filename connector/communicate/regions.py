"""Where an account's cases are, and which lab accounts are Ormco's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from connector.communicate.client import origin
from connector.communicate.metadata import MetadataApi
from connector.communicate.users_api import UserAndPartners
from connector.connection import Account
from connector.errors import CaseNotFoundError, ProviderUnavailableError, SettingError
from connector.oauth.provider import Provider

__all__ = ["Place", "find_place", "own_address", "place_in"]

_ODD = re.compile(r"[\s\\\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one account's cases are read.

    Attributes:
        region: a key of the provider's `metadata_urls`.
        api_url: address of its metadata API, ending in "/api/".
        lab_ids: Communicate ids of Ormco's labs as this account knows them, case folded.
        lab_emails: their addresses, case folded.
    """

    region: str
    api_url: str
    lab_ids: frozenset[str]
    lab_emails: frozenset[str]


def find_place(
    api: MetadataApi,
    provider: Provider,
    *,
    me: UserAndPartners | None,
    stored: Account | None,
    labs: Mapping[str, str],
) -> Place:
    """Find out where an account's cases are; a region that cannot be made sure of is never guessed.

    Args:
        api: speaks as the account.
        provider: whose regions they are.
        me: the account as the users API has it now, or None where there is none to ask.
        stored: the account as it was when it was connected.
        labs: region → address of Ormco's lab account.

    Raises:
        connector.errors.SettingError: the region is not known, or two answers contradict each other.
        connector.errors.ProviderUnavailableError: it cannot be found out now.
    """
    told = (me.account.region if me else None) or (stored.region if stored else None)
    return place_in(_agreed_region(api, provider, told), provider, me=me, labs=labs)


def place_in(
    region: str, provider: Provider, *, me: UserAndPartners | None, labs: Mapping[str, str]
) -> Place:
    """Return the place in a region that somebody has named.

    Raises:
        connector.errors.SettingError: the provider has no such region.
    """
    emails = frozenset(email.casefold() for email in labs.values())
    sides = (
        [(me.account.id, me.account.email or ""), *((one.id, one.email) for one in me.partners)] if me else []
    )
    return Place(
        region=region,
        api_url=_api_url(provider, region),
        lab_ids=frozenset(id_.casefold() for id_, email in sides if id_ and email.casefold() in emails),
        lab_emails=emails,
    )


def own_address(address: str | None, base: str, origins: Collection[str]) -> str | None:
    """Return an address that a server named, if it leads to one of the provider's own origins.

    Args:
        address: absolute, or relative to `base`.
        base: where it was named.
        origins: the provider's own.
    """
    if not address or _ODD.search(address):
        return None
    try:
        url = urljoin(base, address)
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None or not parts.hostname:
            return None
        return url if origin(url) in {origin(own) for own in origins} else None
    except ValueError:
        return None


def _agreed_region(api: MetadataApi, provider: Provider, told: str | None) -> str:
    """Return the region that the account's own data and `/api/servers` agree on."""
    if not provider.metadata_urls:
        raise SettingError(
            f"{provider.name} has no metadata addresses, so its cases cannot be read",
            hint='Add the table metadata_urls to the provider file: region = "https://…".',
        )
    if told is None:
        return _only_region(_servers(api, provider, next(iter(provider.metadata_urls))), provider)
    if told not in provider.metadata_urls:
        raise SettingError(
            f"the account is in {told}, and no metadata address is known for that region",
            hint=f"Add {told} to metadata_urls in the provider file.",
        )
    try:
        named = _servers(api, provider, told)
    except (CaseNotFoundError, ProviderUnavailableError):
        named = set()  # an old server, or a passing fault: the account's own word stands
    if named and told not in named:
        raise SettingError(
            f"the account is in {told}, but its servers are those of {', '.join(sorted(named))}",
            hint="Say which is right: --region NAME.",
        )
    return told


def _only_region(named: set[str], provider: Provider) -> str:
    if len(named) != 1:
        raise SettingError(
            "it cannot be told in which region the account's cases are",
            hint=f"Say it: --region {'|'.join(sorted(provider.metadata_urls))}.",
        )
    return next(iter(named))


def _servers(api: MetadataApi, provider: Provider, region: str) -> set[str]:
    """Return the regions that `/api/servers` names; any other host counts for nothing."""
    answer = api.get(_api_url(provider, region) + "servers")
    addresses = [item for item in answer if isinstance(item, str)] if isinstance(answer, list) else []
    return {
        name
        for name, url in provider.metadata_urls.items()
        if any(_is_under(address, url.rstrip("/") + "/") for address in addresses)
    }


def _is_under(address: str, base: str) -> bool:
    own = own_address(address, base, [base])
    return own is not None and f"{urlsplit(own).path}/".startswith(urlsplit(base).path)


def _api_url(provider: Provider, region: str) -> str:
    if region not in provider.metadata_urls:
        raise SettingError(
            f"{provider.name} has no region {region!r}",
            hint=f"Use one of {', '.join(sorted(provider.metadata_urls))}.",
        )
    return provider.metadata_urls[region].rstrip("/").removesuffix("/api") + "/api/"
