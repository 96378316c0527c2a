"""The region of an account: found out, never guessed, and no token to a strange host."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from connector.clock import Clock
from connector.communicate.client import ApiClient
from connector.communicate.regions import api_region, own_address, resolve_region
from connector.errors import ProviderUnavailableError, SettingError
from connector.oauth.presets import PRESETS
from connector.oauth.provider import Provider

PROVIDER = PRESETS["communicate"]
EUROPE, AMERICAS = (
    "https://eumetadata.3shapecommunicate.com/api/",
    "https://ammetadata.3shapecommunicate.com/api/",
)


def resolve(stated: Any, provider: Any = PROVIDER, **response: Any) -> Any:
    """Resolve a region whose `/api/servers` answers so."""
    api = ApiClient(lambda rejected: "AT", origins=provider.metadata_urls.values(), clock=Clock())
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for base in provider.metadata_urls.values():
            mock.get(f"{base}/api/servers", **response)
        return resolve_region(api, provider, stated)


def test_account_and_servers_agree() -> None:
    """The region of the account is taken if its servers say the same."""
    region = resolve("europe", json=[EUROPE])
    assert (region.name, region.api_url) == ("europe", EUROPE)


@pytest.mark.parametrize(
    "response",
    [{"json": value} for value in ([], None, "x", {"a": 1}, [7], ["https://elsewhere.test/api/"])]
    + [{"status": 404}, {"status": 502}, {"body": "<html>"}],
)
def test_account_names_the_region_if_servers_do_not(response: Any) -> None:
    """Servers that are missing, odd or not the provider's count for nothing."""
    assert resolve("americas", **response).name == "americas"


def test_servers_name_the_region_if_the_account_does_not() -> None:
    """Without a region of the account, its servers name it."""
    assert resolve(None, json=[AMERICAS]).name == "americas"


@pytest.mark.parametrize("servers", [[], [EUROPE, AMERICAS], ["https://elsewhere.test/api/"]])
def test_region_is_never_guessed(servers: Any) -> None:
    """If nothing names the region, or too much does, a person has to."""
    with pytest.raises(SettingError, match="cannot be determined") as refused:
        resolve(None, json=servers)
    assert "Name the region" in refused.value.hint


def test_contradiction_is_an_error() -> None:
    """An account in one region with servers in another is not read in either."""
    with pytest.raises(SettingError, match="europe, but its servers are those of americas"):
        resolve("europe", json=[AMERICAS])


def test_outage_is_not_taken_for_a_response() -> None:
    """If only the servers could name the region, their outage is an outage."""
    with pytest.raises(ProviderUnavailableError):
        resolve(None, status=502)


def test_region_without_address() -> None:
    """Staging has no Asian host: the error says so, and no other host is asked."""
    with pytest.raises(SettingError, match="asia-pacific"):
        resolve("asia-pacific", PRESETS["communicate-staging"], json=[])
    with pytest.raises(SettingError, match="no region 'atlantis'"):
        api_region("atlantis", PROVIDER)
    with pytest.raises(SettingError, match="no metadata addresses"):
        api_region("europe", Provider(name="own"))


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.test/x",
        "http://eumetadata.3shapecommunicate.com/x",
        "https://eumetadata.3shapecommunicate.com:8443/x",
        "https://eumetadata.3shapecommunicate.com@evil.test/x",
        "https://user:pw@eumetadata.3shapecommunicate.com/x",
        "https://evil.test\\@eumetadata.3shapecommunicate.com/x",
        "//evil.test/x",
        "https://eumetadata.3shapecommunicate.com.evil.test/x",
        "https://eumetadata.3shapecommunicate.com\n.evil.test/x",
        "https://[::1",
        "javascript:alert(1)",
        "",
        None,
    ],
)
def test_foreign_addresses_are_never_requested(address: str | None) -> None:
    """An address counts only if scheme, host and port are the provider's own, for every parser."""
    assert own_address(address, EUROPE, [EUROPE]) is None


def test_own_addresses() -> None:
    """Absolute or relative, an address on the provider's own host is used."""
    assert own_address("cases/1", EUROPE, [EUROPE]) == f"{EUROPE}cases/1"
    assert own_address(f"{AMERICAS}x", EUROPE, [EUROPE, AMERICAS]) == f"{AMERICAS}x"
