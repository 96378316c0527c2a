"""The portal's Connections and the users API behind them: Ormco as a lab."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from connector.sandbox.accounts import LABS_OF_ORMCO
from tests.support.lab import UsersApi
from tests.support.sandbox import TIMEOUT, RunningSandbox, Visitor

AMERICAS = LABS_OF_ORMCO["americas"]
EUROPE = LABS_OF_ORMCO["europe"]


@pytest.fixture
def sandbox(classic: RunningSandbox) -> RunningSandbox:
    classic.control(approval_seconds=None)
    return classic


def request(api: UsersApi, account: str) -> requests.Response:
    return api.send("POST", f"/{api.id}/requestconnection/{account}")


def connections(api: UsersApi) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = api.me()["Connections"]
    return rows


def text_of(page: requests.Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def find(person: Visitor, words: str, show: str = "Lab") -> requests.Response:
    params = {"search": words, "show": show}
    return person.session.get(f"{person.sandbox.portal_url}/connections/add", params=params, timeout=TIMEOUT)


def test_portal_asks_to_log_in(sandbox: RunningSandbox) -> None:
    """The portal opens with the login page in the guide's words, then shows Connections."""
    person = Visitor(sandbox)
    page = text_of(person.open(sandbox.portal_url))
    for words in ("Log in to your account", "I forgot my password", "Or create new account"):
        assert words in page
    assert "You have no connections yet." in text_of(person.sign_in(sandbox.portal_url))


def test_search_finds_neighbours_of_the_right_lab(sandbox: RunningSandbox) -> None:
    """As in the guide's picture, the e-mail address of one region finds the others' too."""
    person = Visitor(sandbox)
    person.sign_in(sandbox.portal_url)
    page = text_of(find(person, "insignia.support@ormco.com"))
    assert [account.email in page for account in LABS_OF_ORMCO.values()] == [True] * 3
    page = text_of(find(person, "insignia.supporteurope@ormco.com"))
    assert [account.email in page for account in (AMERICAS, EUROPE)] == [False, True]
    assert "Nobody was found." in find(person, "insignia", show="Clinic").text


def test_approval_can_be_changed_while_it_waits(sandbox: RunningSandbox) -> None:
    """The control sets the delay for requests that were sent before, too."""
    api = UsersApi(sandbox, sandbox.practice)
    request(api, AMERICAS.id)
    assert [row["ConnectionAccepted"] for row in connections(api)] == [False]
    sandbox.control(approval_seconds=0)
    assert [row["ConnectionAccepted"] for row in connections(api)] == [True]


def test_pending_lab_never_approves_by_itself(sandbox: RunningSandbox) -> None:
    """With the scenario pending-lab, a connection waits until the lab itself approves it."""
    sandbox.control(approval_seconds=0, scenarios=["pending-lab"])
    api, lab = UsersApi(sandbox, sandbox.practice), UsersApi(sandbox, sandbox.lab)
    connection = request(api, AMERICAS.id).json()
    assert connections(api)[0]["ConnectionAccepted"] is False
    assert lab.send("POST", f"/{lab.id}/connection/{connection['Id']}/approve").status_code == 200
    assert connections(api)[0]["ConnectionAccepted"] is True


def test_red_cross_removes_after_a_question(sandbox: RunningSandbox) -> None:
    """The red cross asks, then the row is gone on both sides."""
    person, api = Visitor(sandbox), UsersApi(sandbox, sandbox.practice)
    connection = request(api, AMERICAS.id).json()["Id"]
    page = person.sign_in(sandbox.portal_url)
    assert 'aria-label="Remove Ormco Corporation"' in page.text
    asked = person.open(f"{sandbox.portal_url}/connections?remove={connection}")
    assert 'role="alertdialog"' in asked.text
    person.press(asked, f"/portal/connections/{connection}/remove").raise_for_status()
    assert connections(api) == connections(UsersApi(sandbox, sandbox.lab)) == []


def test_lab_accepts_in_the_portal(sandbox: RunningSandbox) -> None:
    """The lab sees the practice's request, accepts it, and both are active."""
    connection = request(UsersApi(sandbox, sandbox.practice), AMERICAS.id).json()["Id"]
    lab = Visitor(sandbox)
    page = lab.sign_in(sandbox.portal_url, sandbox.lab)
    assert "Request received, waiting for your approval" in text_of(page)
    assert "Active" in text_of(lab.press(page, f"/portal/connections/{connection}/approve"))


def test_connection_object_names_both_sides(sandbox: RunningSandbox) -> None:
    """The API's connection has the documented keys."""
    api = UsersApi(sandbox, sandbox.practice)
    connection = request(api, AMERICAS.id).json()
    sides = {f"{side}{key}" for side in ("Inviter", "Remote") for key in KEYS_OF_A_SIDE}
    assert connection.keys() == {"Id", "ConnectionAccepted", *sides}
    assert (connection["InviterUserId"], connection["RemoteUserEmail"]) == (api.id, AMERICAS.email)
    assert connections(api) == [connection]


KEYS_OF_A_SIDE = ("User", "UserId", "UserEmail", "UserName", "UserType")


def test_incoming_request_is_approved_by_the_practice(sandbox: RunningSandbox) -> None:
    """A lab may ask first; then the practice is the side that approves."""
    lab, practice = UsersApi(sandbox, sandbox.lab), UsersApi(sandbox, sandbox.practice)
    connection = request(lab, practice.id).json()["Id"]
    assert lab.send("POST", f"/{lab.id}/connection/{connection}/approve").status_code == 400
    assert practice.send("POST", f"/{practice.id}/connection/{connection}/approve").status_code == 200
    assert connections(practice)[0]["ConnectionAccepted"] is True


def test_either_side_may_delete(sandbox: RunningSandbox) -> None:
    """The lab rejects a request; the practice can ask again."""
    lab, practice = UsersApi(sandbox, sandbox.lab), UsersApi(sandbox, sandbox.practice)
    connection = request(practice, lab.id).json()["Id"]
    assert lab.send("DELETE", f"/{lab.id}/connection/{connection}").status_code == 200
    assert connections(practice) == []
    assert request(practice, lab.id).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "{me}/requestconnection/{me}",
        "{me}/requestconnection/no-such-user",
        "{lab}/requestconnection/{me}",
        "{me}/requestconnection/{lab}",
        "{me}/connection/no-such-connection/approve",
    ],
)
def test_refusals_of_the_connections_api(sandbox: RunningSandbox, path: str) -> None:
    """An impossible request is answered with 400 and a sentence."""
    api = UsersApi(sandbox, sandbox.practice)
    request(api, AMERICAS.id)
    response = api.send("POST", "/" + path.format(me=api.id, lab=AMERICAS.id))
    assert (response.status_code, list(response.json())) == (400, ["Message"])


def test_strangers_see_less_of_a_user(sandbox: RunningSandbox) -> None:
    """Another user is found by id and e-mail address in any case, without connections."""
    api = UsersApi(sandbox, sandbox.practice)
    by_mail = api.send("GET", "/insignia.support@ORMCO.com").json()
    assert by_mail == api.send("GET", f"/{AMERICAS.id}").json()
    assert "Connections" not in by_mail


def test_search_of_the_api(sandbox: RunningSandbox) -> None:
    """Each word begins a name, e-mail address or city; short words fail."""
    api = UsersApi(sandbox, sandbox.practice)
    found = api.send("GET", "/search?searchString=ormco glend").json()
    assert [user["Id"] for user in found] == [AMERICAS.id]
    assert api.send("GET", "/search?searchString=or").status_code == 400
    assert api.send("GET", "/search?searchString=corporation zzz").json() == []


def test_servers_name_the_account_s_region(sandbox: RunningSandbox) -> None:
    """The region's base address ends in /api/ and is one of the provider file's."""
    api = UsersApi(sandbox, sandbox.other_practice)
    url = f"{sandbox.url}/metadata/americas/api/servers"
    servers = requests.get(url, headers=api.headers, timeout=TIMEOUT).json()
    assert servers == [f"{sandbox.url}/metadata/europe/api/"]
