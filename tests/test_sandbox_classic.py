"""The classic generation over HTTP, as 3Shape's server is documented."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests
from time_machine import TimeMachineFixture

from tests.support.oauth_calls import (
    code_of,
    connected,
    exchange,
    fresh_code,
    me,
    refresh,
    refusal,
    token_call,
)
from tests.support.sandbox import TIMEOUT, RunningSandbox, SignIn, Visitor, running_sandbox
from tests.support.threads import at_once


@pytest.fixture
def sandbox(classic: RunningSandbox) -> RunningSandbox:
    return classic


def test_redirect_carries_the_code_encoded_twice(sandbox: RunningSandbox) -> None:
    """The redirect goes to the registered address, "!" in the code is there as %2521."""
    location = Visitor(sandbox).authorize(sandbox.authorization_url())
    assert re.fullmatch(r"https://ormco\.com/\?code=[\w-]{4}%2521[\w-]{354}", location, re.ASCII)


def test_code_is_shaped_like_dotnetopenauth(sandbox: RunningSandbox) -> None:
    """The code is handle, "!", then a 32-byte signature and a 225-byte body, each behind its length."""
    handle, payload = fresh_code(sandbox).split("!")
    data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert (len(handle), len(payload)) == (4, 354)
    assert (data[:4], data[36:40], len(data)) == (b"\x20\0\0\0", b"\xe1\0\0\0", 265)
    assert data[40] == 1


def test_state_is_echoed(sandbox: RunningSandbox) -> None:
    """A state that was sent comes back, and only then."""
    location = Visitor(sandbox).authorize(sandbox.authorization_url(state="a b&c=%21/é"))
    assert dict(parse_qsl(urlsplit(location).query))["state"] == "a b&c=%21/é"


def test_cancel_returns_access_denied(sandbox: RunningSandbox) -> None:
    """Cancel goes back with error=access_denied and the state."""
    url = sandbox.authorization_url(state="s1")
    query = dict(parse_qsl(urlsplit(Visitor(sandbox).authorize(url, decision="cancel")).query))
    assert (query["error"], query["state"]) == ("access_denied", "s1")
    assert "code" not in query


def test_consent_page_has_the_words_of_the_guide(sandbox: RunningSandbox) -> None:
    """The page has the guide's words and the application's name."""
    page = Visitor(sandbox).sign_in(sandbox.authorization_url())
    text = re.sub(r"<[^>]+>", "", page.text)
    assert "You are hereby allowing the Ormco application to access your 3Shape Communicate™ cases" in text
    assert "Do you wish to proceed?" in text


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "somebody-else"},
        {"redirect_uri": "https://ormco.com"},
        {"redirect_uri": "http://ormco.com/"},
        {"redirect_uri": "https://ormco.com/?x=1"},
        {"redirect_uri": "https://evil.test/"},
    ],
)
def test_unregistered_request_ends_on_an_error_page(sandbox: RunningSandbox, change: dict[str, str]) -> None:
    """An unknown application or address is never sent back to."""
    response = requests.get(sandbox.authorization_url(**change), allow_redirects=False, timeout=TIMEOUT)
    assert response.status_code == 400
    assert "Location" not in response.headers


def test_missing_redirect_uri_ends_on_an_error_page(sandbox: RunningSandbox) -> None:
    """The redirect URI has to be sent."""
    url = f"{sandbox.url}/oauth/authorise?client_id={sandbox.client_id}&response_type=code"
    assert requests.get(url, timeout=TIMEOUT).status_code == 400


def test_further_redirect_uris_can_be_registered() -> None:
    """A web application's own loopback address works when it is registered."""
    own = "http://127.0.0.1:9/callback?x=1"
    with running_sandbox(redirect_uris=[own]) as sandbox:
        code_url = Visitor(sandbox).authorize(sandbox.authorization_url(redirect_uri=own))
        assert code_url.startswith(f"{own}&code=")
        assert exchange(sandbox, code_of(code_url), redirect_uri=own).status_code == 200


def test_exchange_returns_a_token_set(sandbox: RunningSandbox) -> None:
    """The exchange returns 200 with a bearer token, an hour and a refresh token."""
    token = connected(sandbox, scope="cases")
    assert token["access_token"].startswith("AAEAA")
    assert "!" not in token["access_token"]
    assert re.fullmatch(r"[\w-]{4}!IAAAA[\w-]{349}", token["refresh_token"])
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("bearer", 3600, "cases")


def test_code_works_once(sandbox: RunningSandbox) -> None:
    """A second exchange of a code is an invalid request, as DotNetOpenAuth says."""
    code = fresh_code(sandbox)
    assert exchange(sandbox, code).status_code == 200
    assert refusal(exchange(sandbox, code)) == (400, "invalid_request")


def test_code_works_once_for_many_at_once(sandbox: RunningSandbox) -> None:
    """Of many exchanges of one code at the same time, one succeeds."""
    code = fresh_code(sandbox)
    statuses = at_once(8, lambda number: exchange(sandbox, code).status_code)
    assert sorted(statuses) == [200] + [400] * 7


def test_code_dies_after_three_minutes(sandbox: RunningSandbox, time_machine: TimeMachineFixture) -> None:
    """A code that is older than three minutes is refused."""
    time_machine.move_to("2030-01-01T12:00:00Z")
    young, old = fresh_code(sandbox), fresh_code(sandbox)
    time_machine.shift(179)
    assert exchange(sandbox, young).status_code == 200
    time_machine.shift(2)
    assert refusal(exchange(sandbox, old)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ({"redirect_uri": "https://ormco.com"}, (400, "invalid_request")),
        ({"redirect_uri": "https%3A%2F%2Formco.com%2F"}, (400, "invalid_request")),
        ({"auth": ("ormco-sandbox", "wrong")}, (401, "invalid_client")),
    ],
)
def test_failed_exchange_burns_the_code(
    sandbox: RunningSandbox, spoil: dict[str, Any], expected: tuple[int, str]
) -> None:
    """After any failed exchange the code is spent."""
    code = fresh_code(sandbox)
    assert refusal(exchange(sandbox, code, **spoil)) == expected
    assert refusal(exchange(sandbox, code)) == (400, "invalid_request")


@pytest.mark.parametrize("damage", [lambda code: code[:-1], quote, str.swapcase, lambda code: code + "."])
def test_damaged_code_is_an_invalid_request(sandbox: RunningSandbox, damage: Callable[[str], str]) -> None:
    """Anything but the code itself is refused, and the code stays valid."""
    code = fresh_code(sandbox)
    assert refusal(exchange(sandbox, damage(code))) == (400, "invalid_request")
    assert exchange(sandbox, code).status_code == 200


def test_wrong_secret_is_challenged(sandbox: RunningSandbox) -> None:
    """A wrong secret in a Basic header, as is one percent-encoded, is answered 401 with WWW-Authenticate."""
    for secret in ("wrong", quote(sandbox.client_secret, safe="")):
        assert secret != sandbox.client_secret
        response = exchange(sandbox, fresh_code(sandbox), auth=(sandbox.client_id, secret))
        assert refusal(response) == (401, "invalid_client")
        assert response.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"auth": ("ormco-sandbox", "wrong")}, (401, "invalid_client")),
        ({"scope": "cases users"}, (400, "invalid_scope")),
    ],
)
def test_refused_refresh_costs_nothing(
    sandbox: RunningSandbox, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A refresh with a wrong secret, or for more than was granted, does not cost the refresh token."""
    token = connected(sandbox, scope="cases")
    assert refusal(refresh(sandbox, token, **change)) == expected
    assert refresh(sandbox, token).status_code == 200


def test_users_me_is_the_whole_user_object(sandbox: RunningSandbox) -> None:
    """The token's account is reported with its region and connections."""
    user = me(sandbox, connected(sandbox)).json()
    assert user["Email"] == sandbox.practice.username
    assert (user["RegionUri"], user["Roles"]) == ("us.3shapecommunicate.com", ["Clinic"])
    assert set(user["Region"]) == {"Id", "RegionName", "Url", "Servers", "Services"}
    assert user["Connections"] == user["ConnectedUsers"] == []


@pytest.mark.parametrize(
    ("header", "challenge"),
    [("Bearer x", 'Bearer error="invalid_token"'), ("Basic eDp5", "Bearer"), ("", "Bearer")],
)
def test_users_me_without_a_valid_token(sandbox: RunningSandbox, header: str, challenge: str) -> None:
    """A bad bearer is answered 401 with a Bearer challenge."""
    headers = {"Authorization": header}
    response = requests.get(f"{sandbox.url}/api/users/me", headers=headers, timeout=TIMEOUT)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, challenge)


def test_removed_application_is_dead(sandbox: RunningSandbox) -> None:
    """The square icon and its confirmation end every grant of the application, and its open codes."""
    tokens, code = [connected(sandbox), connected(sandbox)], fresh_code(sandbox)
    person = Visitor(sandbox)
    page = person.sign_in(sandbox.applications_page)
    assert 'aria-label="Remove Ormco"' in page.text
    asked = person.open(f"{sandbox.applications_page}?remove={sandbox.client_id}")
    page = person.submit(asked, application=sandbox.client_id)
    assert "You have not authorized any application." in page.text
    for token in tokens:
        assert refusal(refresh(sandbox, token)) == (400, "invalid_grant")
        assert me(sandbox, token).status_code == 401
    assert refusal(exchange(sandbox, code)) == (400, "invalid_grant")


def test_applications_are_the_account_s_own(sandbox: RunningSandbox) -> None:
    """Another account neither sees nor removes the application."""
    token, person = connected(sandbox), Visitor(sandbox)
    page = person.sign_in(sandbox.applications_page, sandbox.other_practice)
    assert "You have not authorized any application." in page.text
    assert refresh(sandbox, token).status_code == 200


def test_wrong_password_stays_on_the_login_page(sandbox: RunningSandbox) -> None:
    """A wrong password is reported on the page, and no person is signed in."""
    person = Visitor(sandbox)
    page = person.sign_in(sandbox.authorization_url(), SignIn(sandbox.practice.username, "wrong"))
    assert "The email or password is not correct." in page.text
    assert urlsplit(person.open(sandbox.authorization_url()).url).path == "/Account/Login"


@pytest.mark.parametrize(
    "away", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)"]
)
def test_login_is_no_open_redirect(sandbox: RunningSandbox, away: str) -> None:
    """The login page is no open redirect."""
    url = f"{sandbox.url}/Account/Login?ReturnUrl={quote(away, safe='')}"
    page = Visitor(sandbox).sign_in(url)
    assert page.url == f"{sandbox.url}/portal/connections"


def test_unknown_grant_type_is_refused(sandbox: RunningSandbox) -> None:
    """A grant that the server does not have is named as such; the password grant is one of them."""
    for grant_type in ("client_credentials", "password"):
        assert refusal(token_call(sandbox, grant_type=grant_type)) == (400, "unsupported_grant_type")


def test_missing_case_is_a_400(sandbox: RunningSandbox) -> None:
    """A case that is not there is answered 400 with the documented sentence."""
    headers = {"Authorization": f"Bearer {connected(sandbox)['access_token']}"}
    response = requests.get(f"{sandbox.url}/metadata/americas/api/cases/17", headers=headers, timeout=TIMEOUT)
    assert (response.status_code, response.json()["Message"]) == (400, "No case with Id 17 could be found")


def test_calls_are_counted(sandbox: RunningSandbox) -> None:
    """The control page counts token calls by grant type, without any secret."""
    token = connected(sandbox)
    refresh(sandbox, token)
    shown = requests.get(sandbox.control_url, timeout=TIMEOUT).text
    counters = sandbox.counters()
    assert (counters["token:authorization_code"], counters["token:refresh_token"]) == (1, 1)
    assert token["access_token"] not in shown


def test_unsupported_response_type_goes_back(sandbox: RunningSandbox) -> None:
    """A mistake of a known application goes back to it as an error."""
    url = sandbox.authorization_url(response_type="token", state="s1")
    response = requests.get(url, allow_redirects=False, timeout=TIMEOUT)
    query = dict(parse_qsl(urlsplit(response.headers["Location"]).query))
    assert (query["error"], query["state"]) == ("unsupported_response_type", "s1")


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic /w==", "Bearer b3JtY28tc2FuZGJveDp4"])
def test_malformed_credentials_are_refused(sandbox: RunningSandbox, header: str) -> None:
    """Any malformed header is answered with invalid_client."""
    form = {"grant_type": "authorization_code", "code": "x"}
    url, headers = f"{sandbox.url}/oauth/token", {"Authorization": header}
    assert refusal(requests.post(url, data=form, headers=headers, timeout=TIMEOUT)) == (401, "invalid_client")


def test_logging_out_ends_the_session(sandbox: RunningSandbox) -> None:
    """After Log out the next authorization asks to log in again."""
    person = Visitor(sandbox)
    page = person.sign_in(sandbox.portal_url)
    person.press(page, "/Account/Logout")
    assert "Log in to your account" in person.open(sandbox.authorization_url()).text


def test_start_page_leads_to_the_portal(sandbox: RunningSandbox) -> None:
    """The origin itself is a good place to begin."""
    assert "Log in to your account" in requests.get(sandbox.url, timeout=TIMEOUT).text
