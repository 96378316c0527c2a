"""The account behind a token, from the users API or from OpenID userinfo."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import responses

from connector.clock import Clock
from connector.communicate.users import account_url, read_account
from connector.connection import Account
from connector.errors import AccountMismatchError, ProviderUnavailableError
from connector.oauth.presets import PRESETS
from connector.oauth.provider import Provider
from tests.support.responses import raw_response, serving

ME = "https://users.example.test/api/users/me"
USERS = Provider(name="users", users_url="https://users.example.test")
USER = {
    "Id": "0e6c",
    "Email": "Office@Practice.test",
    "Name": "Practice",
    "RegionUri": "us.3shapecommunicate.com",
}


def read(user: Any, provider: Provider = USERS, *, subject: str | None = None) -> Account:
    """Read an account from an API with this response."""
    with responses.RequestsMock() as mock:
        mock.get(account_url(provider) or "", json=user)
        return read_account(provider, "AT", clock=Clock(), subject=subject)


@pytest.mark.parametrize(
    "users_url",
    ["https://users.example.test", "https://users.example.test/", "https://users.example.test/api/users/"],
)
def test_the_account_is_read_from_the_users_api(users_url: str) -> None:
    """The users API's origin is enough, and its full address is not doubled."""
    assert account_url(Provider(name="x", users_url=users_url)) == ME


def test_userinfo_replaces_a_missing_users_api() -> None:
    """A provider with neither tells no account."""
    userinfo = Provider(name="x", userinfo_endpoint="https://as.example.test/userinfo")
    assert account_url(userinfo) == "https://as.example.test/userinfo"
    assert account_url(Provider(name="x")) is None
    assert account_url(PRESETS["identity"]) == "https://users.3shapecommunicate.com/api/users/me"


def test_a_communicate_user_is_read() -> None:
    """Id, e-mail address, name and region are read from 3Shape's own keys."""
    assert read(USER) == Account(id="0e6c", email="Office@Practice.test", name="Practice", region="americas")


@pytest.mark.parametrize("claims", [{"sub": "another", "email": "a@practice.test"}, {"id": "subject-1"}])
def test_userinfo_of_another_subject_than_the_id_tokens(claims: dict[str, str]) -> None:
    """An access token that was exchanged on its way is refused (OpenID Connect §5.3.2)."""
    userinfo = Provider(name="x", userinfo_endpoint="https://as.example.test/userinfo")
    with pytest.raises(AccountMismatchError, match="another account than its id_token"):
        read(claims, userinfo, subject="subject-1")
    assert read({"sub": "subject-1"}, userinfo, subject="subject-1").id == "subject-1"
    assert read(USER, subject="subject-1").id == "0e6c"  # 3Shape's ids are not OpenID's


def test_openid_claims_are_read() -> None:
    """Userinfo's `sub`, `email` and `name` do as well."""
    claims = {"sub": "248289761001", "email": "office@practice.test", "preferred_username": "office"}
    account = Account(id="248289761001", email="office@practice.test", name="office")
    assert read(claims) == account


@pytest.mark.parametrize(
    ("fields", "region"),
    [
        ({"RegionUri": "www.3shapecommunicate.com"}, "europe"),
        ({"RegionUri": "https://US.3shapecommunicate.com/"}, "americas"),
        ({"RegionUri": "as1.3shapecommunicate.com"}, "asia-pacific"),
        ({"RegionUri": "staging-eumetadata.3shapecommunicate.com"}, "europe"),
        ({"RegionUri": "am15.3shapecommunicate.com"}, "americas"),
        ({"Region": {"RegionName": "Europe"}, "RegionUri": "us.3shapecommunicate.com"}, "europe"),
        ({"Region": {"regionName": None, "Url": "as1.3shapecommunicate.com"}}, "asia-pacific"),
        ({"Region": "Asia-Pacific"}, "asia-pacific"),
        ({"Region": None, "RegionUri": None}, None),
        ({"Region": 7, "RegionUri": "mars.3shapecommunicate.com"}, None),
        ({}, None),
    ],
)
def test_the_region_is_recognised(fields: dict[str, object], region: str | None) -> None:
    """Region and RegionUri in all their seen forms name one of three regions, or none."""
    assert read({"Id": "1", **fields}).region == region


def test_ids_are_kept_whole() -> None:
    """Long or numeric identifiers are kept exactly, so that no two accounts are taken for one."""
    assert read({"sub": "s" * 255}).id == "s" * 255
    assert read({"id": 12345678901234567890}).id == "12345678901234567890"


def test_foreign_text_is_made_safe_for_a_terminal() -> None:
    """A name cannot move the cursor of a terminal that lists the connections."""
    account = read({"Id": "1", "Name": "A\x1b[2J\nB", "Email": ""})
    assert (account.name, account.email) == ("A [2J B", None)


@pytest.mark.parametrize(
    "user", [{}, {"Id": None}, {"Id": ""}, {"Id": True}, {"id": {}}, [USER], None, "user"]
)
def test_a_response_without_an_id_names_no_account(user: object) -> None:
    """A response that does not identify the account is not taken for an account."""
    with pytest.raises(ProviderUnavailableError, match="not a user|answered with"):
        read(user)


@pytest.mark.parametrize(
    "given",
    [
        {"status": 401},
        {"status": 500, "body": "An error has occurred."},
        {"status": 200, "body": "<html>sign in</html>"},
        {"status": 302, "headers": {"Location": "https://login.example.test/"}},
        {"body": requests.ConnectionError("cut")},
    ],
    ids=["401", "500", "portal", "302", "cut"],
)
def test_an_account_that_cannot_be_read_now_may_be_read_later(given: dict[str, Any]) -> None:
    """Every failure names the host, and not the token."""
    with responses.RequestsMock() as mock:
        mock.get(ME, **given)
        with pytest.raises(ProviderUnavailableError) as caught:
            read_account(USERS, "AT-made-up", clock=Clock())
    assert caught.value.message.startswith("users.example.test")
    assert "AT-made-up" not in f"{caught.value.message}{caught.value.hint}"


def test_retry_after_of_a_busy_users_api_is_passed_on() -> None:
    """Retry-After is passed on."""
    with responses.RequestsMock() as mock:
        mock.get(ME, status=429, headers={"Retry-After": "5"})
        with pytest.raises(ProviderUnavailableError) as caught:
            read_account(USERS, "AT", clock=Clock())
    assert caught.value.retry_after == 5


def test_the_token_is_a_bearer_header_and_follows_no_redirect() -> None:
    """The token is sent to the users API alone, in the header and not in the address."""
    with serving(raw_response()) as trap, serving(raw_response(status=302, Location=trap.url)) as server:
        with pytest.raises(ProviderUnavailableError):
            read_account(Provider(name="x", users_url=server.url), "AT-made-up", clock=Clock())
    assert server.requests[0].headers["Authorization"] == "Bearer AT-made-up"
    assert server.requests[0].line == "GET /api/users/me HTTP/1.1"
    assert trap.requests == []
