"""Where an account's cases are: found out, never guessed, and no token to a strange host."""

from __future__ import annotations

import pytest

from connector.communicate.regions import find_place, own_address, place_in
from connector.communicate.users_api import Partner, UserAndPartners
from connector.connection import Account
from connector.errors import ProviderUnavailableError, SettingError
from connector.oauth.presets import PRESETS

PROVIDER = PRESETS["communicate"]
LABS = {"americas": "insignia.support@ormco.com", "europe": "Insignia.SupportEurope@ormco.com"}
EUROPE, AMERICAS = (
    "https://eumetadata.3shapecommunicate.com/api/",
    "https://ammetadata.3shapecommunicate.com/api/",
)


class FakeApi:
    """Answers `/api/servers`; notes what was asked."""

    def __init__(self, servers):
        self.servers = servers
        self.asked = []

    def get(self, url, params=None):
        self.asked.append(url)
        if isinstance(self.servers, Exception):
            raise self.servers
        return self.servers


def me(region, *partners, email="front@practice.test"):
    return UserAndPartners(account=Account(id="ME", email=email, region=region), partners=partners)


def partner(email, id_="LAB-9"):
    return Partner(connection_id="c", id=id_, email=email, name="", accepted=True, asked_us=False)


def find(servers, user, stored=None):
    return find_place(FakeApi(servers), PROVIDER, me=user, stored=stored, labs=LABS)


def test_account_and_servers_agree():
    """The region of the account is taken when its servers say the same."""
    place = find([EUROPE], me("europe"))
    assert (place.region, place.api_url) == ("europe", EUROPE)


@pytest.mark.parametrize(
    "servers", [[], None, "x", {"a": 1}, ["https://elsewhere.test/api/"], ProviderUnavailableError("x")]
)
def test_account_stands_where_servers_say_nothing(servers):
    """Servers that are missing, odd or not the provider's count for nothing."""
    assert find(servers, me("americas")).region == "americas"


def test_servers_tell_what_the_account_does_not():
    """Without a region of the account, its servers tell it."""
    assert find([AMERICAS], me(None)).region == "americas"


def test_present_account_before_the_stored_one():
    """What the account says now is believed before what it said when it was connected."""
    stored = Account(id="ME", region="europe")
    assert find([AMERICAS], me("americas"), stored).region == "americas"
    assert find([EUROPE], None, stored).region == "europe"


@pytest.mark.parametrize("servers", [[], [EUROPE, AMERICAS], ["https://elsewhere.test/api/"]])
def test_region_is_never_guessed(servers):
    """Where nothing tells the region, or too much does, a person has to."""
    with pytest.raises(SettingError, match="cannot be told") as refused:
        find(servers, me(None))
    assert "--region" in refused.value.hint


def test_contradiction_is_an_error():
    """An account in one region with servers in another is not read in either."""
    with pytest.raises(SettingError, match="europe, but its servers are those of americas"):
        find([AMERICAS], me("europe"))


def test_outage_is_not_taken_for_an_answer():
    """Where only the servers could tell the region, their outage is an outage."""
    with pytest.raises(ProviderUnavailableError):
        find(ProviderUnavailableError("down"), me(None))


def test_region_without_address():
    """Staging has no Asian host: that is said, and no other is asked."""
    with pytest.raises(SettingError, match="asia-pacific"):
        find_place(FakeApi([]), PRESETS["communicate-staging"], me=me("asia-pacific"), stored=None, labs=LABS)
    with pytest.raises(SettingError, match="no region 'atlantis'"):
        place_in("atlantis", PROVIDER, me=None, labs=LABS)


def test_labs_are_known_by_the_account_s_connections():
    """Ormco's ids are those behind its addresses among the connections, capitals aside; others' are not."""
    place = find(
        [EUROPE], me("europe", partner("INSIGNIA.supporteurope@ormco.com"), partner("x@y.test", "other"))
    )
    assert place.lab_ids == {"lab-9"}


def test_lab_s_own_account():
    """Ormco's own account is itself the lab."""
    assert find([EUROPE], me("europe", email="insignia.supportEurope@ormco.com")).lab_ids == {"me"}


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
def test_foreign_addresses_are_never_asked(address):
    """An address counts only if scheme, host and port are the provider's own, for every parser."""
    assert own_address(address, EUROPE, [EUROPE]) is None


def test_own_addresses():
    """Absolute or relative, an address on the provider's own host is used."""
    assert own_address("cases/1", EUROPE, [EUROPE]) == f"{EUROPE}cases/1"
    assert own_address(f"{AMERICAS}x", EUROPE, [EUROPE, AMERICAS]) == f"{AMERICAS}x"
