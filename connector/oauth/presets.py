"""Public facts about 3Shape: the only place that lists its hosts, regions and accounts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from connector.oauth.ormco import LABS, REDIRECT_URI
from connector.oauth.provider import ClientRegistration, Provider

__all__ = ["LABS", "PRESETS", "REDIRECT_URI", "region_at", "region_named"]


_METADATA = {
    "europe": "https://eumetadata.3shapecommunicate.com",
    "americas": "https://ammetadata.3shapecommunicate.com",
    "asia-pacific": "https://asmetadata.3shapecommunicate.com",
}
# No staging server of Asia is known.
_STAGING_METADATA = {
    "europe": "https://staging-eumetadata.3shapecommunicate.com",
    "americas": "https://staging-ammetadata.3shapecommunicate.com",
}
# A user's `RegionUri` is a key, not a host to call: these are the names of the oldest portal.
_REGION_HOSTS = {"www": "europe", "us": "americas"}
_REGION_WORDS = (("europe", "europe"), ("america", "americas"), ("asia", "asia-pacific"))
_REGION_LABEL = re.compile(r"(?:staging-)?(eu|am|as)(?:metadata|\d+)")
_REGION_CODES = {"eu": "europe", "am": "americas", "as": "asia-pacific"}

# Only the portal of production is known.
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


def _identity(name: str, prefix: str, metadata_urls: Mapping[str, str]) -> Provider:
    return Provider(
        name=name,
        issuer=f"https://{prefix}identity.3shape.com",
        users_url=f"https://{prefix}users.3shapecommunicate.com",
        metadata_urls=metadata_urls,
        portal_url=None if prefix else _PORTAL,
        code_format="identityserver",
        # Seen with every public client of this server; the scope of Ormco's registration is a setting.
        scope="openid profile offline_access api",
    )


# The sandbox's registration is made up and public; it is accepted by a sandbox only.
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
        client=ClientRegistration(
            client_id="ormco-sandbox",
            client_secret="made-up:sandbox/secret+1",  # noqa: S106
            redirect_uri=REDIRECT_URI,
        ),
    ),
}


def region_named(name: str) -> str | None:
    """Return the region with a name such as "Europe", or None."""
    lowered = name.lower()
    return next((region for word, region in _REGION_WORDS if word in lowered), None)


def region_at(address: str) -> str | None:
    """Return the region of one of 3Shape's hosts, with or without scheme and path, or None."""
    label = address.lower().rpartition("://")[2].partition("/")[0].partition(".")[0]
    coded = _REGION_LABEL.fullmatch(label)
    return _REGION_CODES[coded[1]] if coded else _REGION_HOSTS.get(label)
