"""The portal's Connections and the users API behind them: Ormco as a lab."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from connector.sandbox.accounts import LABS_OF_ORMCO
from tests.support.oauth_calls import connected as tokens_of
from tests.support.sandbox import TIMEOUT, RunningSandbox, SignIn, Visitor

AMERICAS = LABS_OF_ORMCO["americas"]
EUROPE = LABS_OF_ORMCO["europe"]


@pytest.fixture
def sandbox(classic: RunningSandbox) -> RunningSandbox:
    classic.control(approval_seconds=None)
    return classic


class Api:
    """The users API with one account's token."""

    def __init__(self, sandbox: RunningSandbox, who: SignIn) -> None:
        self.sandbox = sandbox
        self.headers = {"Authorization": f"Bearer {tokens_of(sandbox, who)['access_token']}"}
        self.me: str = self.call("GET", "me").json()["Id"]

    def call(self, method: str, path: str) -> requests.Response:
        url = f"{self.sandbox.url}/api/users/{path}"
        return requests.request(method, url, headers=self.headers, timeout=TIMEOUT)

    def request(self, account: str) -> requests.Response:
        return self.call("POST", f"{self.me}/requestconnection/{account}")

    def connections(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.call("GET", "me").json()["Connections"]
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


def test_add_connection_as_in_the_guide(sandbox: RunningSandbox) -> None:
    """Search, select, and the row says that the request waits."""
    person = Visitor(sandbox)
    assert "Add Connection" in person.sign_in(sandbox.portal_url).text
    results = find(person, "insignia.support@ormco.com")
    assert "Connect to a Practice or Lab" in results.text
    row = text_of(person.submit(results, user=AMERICAS.id))
    assert "Insignia.Support@ormco.com" in row
    assert "Request sent, waiting for approval" in row


def test_search_finds_neighbours_of_the_right_lab(sandbox: RunningSandbox) -> None:
    """As in the guide's picture, the e-mail address of one region finds the others' too."""
    person = Visitor(sandbox)
    person.sign_in(sandbox.portal_url)
    page = text_of(find(person, "insignia.support@ormco.com"))
    assert [account.email in page for account in LABS_OF_ORMCO.values()] == [True] * 3
    page = text_of(find(person, "insignia.supporteurope@ormco.com"))
    assert [account.email in page for account in (AMERICAS, EUROPE)] == [False, True]
    assert "Nobody was found." in find(person, "insignia", show="Clinic").text


def test_lab_approves_by_itself_after_a_while(sandbox: RunningSandbox) -> None:
    """After `approval_seconds` the row is Active."""
    sandbox.control(approval_seconds=0)
    person = Visitor(sandbox)
    person.sign_in(sandbox.portal_url)
    page = text_of(person.submit(find(person, "ormco"), user=AMERICAS.id))
    assert "Active" in page
    assert "waiting" not in page


def test_approval_can_be_changed_while_it_waits(sandbox: RunningSandbox) -> None:
    """The control sets the delay for requests that were sent before, too."""
    api = Api(sandbox, sandbox.practice)
    api.request(AMERICAS.id)
    assert [row["ConnectionAccepted"] for row in api.connections()] == [False]
    sandbox.control(approval_seconds=0)
    assert [row["ConnectionAccepted"] for row in api.connections()] == [True]


def test_pending_lab_never_approves_by_itself(sandbox: RunningSandbox) -> None:
    """With the scenario pending-lab, a connection waits until the lab itself approves it."""
    sandbox.control(approval_seconds=0, scenarios=["pending-lab"])
    api, lab = Api(sandbox, sandbox.practice), Api(sandbox, sandbox.lab)
    connection = api.request(AMERICAS.id).json()
    assert api.connections()[0]["ConnectionAccepted"] is False
    assert lab.call("POST", f"{lab.me}/connection/{connection['Id']}/approve").status_code == 200
    assert api.connections()[0]["ConnectionAccepted"] is True


def test_red_cross_removes_after_a_question(sandbox: RunningSandbox) -> None:
    """The red cross asks, then the row is gone on both sides."""
    person, api = Visitor(sandbox), Api(sandbox, sandbox.practice)
    connection = api.request(AMERICAS.id).json()["Id"]
    page = person.sign_in(sandbox.portal_url)
    assert 'aria-label="Remove Ormco Corporation"' in page.text
    asked = person.open(f"{sandbox.portal_url}/connections?remove={connection}")
    assert 'role="alertdialog"' in asked.text
    person.press(asked, f"/portal/connections/{connection}/remove").raise_for_status()
    assert api.connections() == Api(sandbox, sandbox.lab).connections() == []


def test_lab_accepts_in_the_portal(sandbox: RunningSandbox) -> None:
    """The lab sees the practice's request, accepts it, and both are active."""
    connection = Api(sandbox, sandbox.practice).request(AMERICAS.id).json()["Id"]
    lab = Visitor(sandbox)
    page = lab.sign_in(sandbox.portal_url, sandbox.lab)
    assert "Request received, waiting for your approval" in text_of(page)
    assert "Active" in text_of(lab.press(page, f"/portal/connections/{connection}/approve"))


def test_connection_object_names_both_sides(sandbox: RunningSandbox) -> None:
    """The API's connection has the documented keys."""
    api = Api(sandbox, sandbox.practice)
    connection = api.request(AMERICAS.id).json()
    sides = {f"{side}{key}" for side in ("Inviter", "Remote") for key in KEYS_OF_A_SIDE}
    assert connection.keys() == {"Id", "ConnectionAccepted", *sides}
    assert (connection["InviterUserId"], connection["RemoteUserEmail"]) == (api.me, AMERICAS.email)
    assert api.connections() == [connection]


KEYS_OF_A_SIDE = ("User", "UserId", "UserEmail", "UserName", "UserType")


def test_incoming_request_is_approved_by_the_practice(sandbox: RunningSandbox) -> None:
    """A lab may ask first; then the practice is the side that approves."""
    lab, practice = Api(sandbox, sandbox.lab), Api(sandbox, sandbox.practice)
    connection = lab.request(practice.me).json()["Id"]
    assert lab.call("POST", f"{lab.me}/connection/{connection}/approve").status_code == 400
    assert practice.call("POST", f"{practice.me}/connection/{connection}/approve").status_code == 200
    assert practice.connections()[0]["ConnectionAccepted"] is True


def test_either_side_may_delete(sandbox: RunningSandbox) -> None:
    """The lab rejects what it was asked; the practice can ask again."""
    lab, practice = Api(sandbox, sandbox.lab), Api(sandbox, sandbox.practice)
    connection = practice.request(lab.me).json()["Id"]
    assert lab.call("DELETE", f"{lab.me}/connection/{connection}").status_code == 200
    assert practice.connections() == []
    assert practice.request(lab.me).status_code == 200


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
    api = Api(sandbox, sandbox.practice)
    api.request(AMERICAS.id)
    answer = api.call("POST", path.format(me=api.me, lab=AMERICAS.id))
    assert (answer.status_code, list(answer.json())) == (400, ["Message"])


def test_strangers_see_less_of_a_user(sandbox: RunningSandbox) -> None:
    """Another user is found by id and e-mail address in any case, without connections."""
    api = Api(sandbox, sandbox.practice)
    by_mail = api.call("GET", "insignia.support@ORMCO.com").json()
    assert by_mail == api.call("GET", AMERICAS.id).json()
    assert "Connections" not in by_mail


def test_search_of_the_api(sandbox: RunningSandbox) -> None:
    """Each word begins a name, e-mail address or city; short words fail."""
    api = Api(sandbox, sandbox.practice)
    found = api.call("GET", "search?searchString=ormco glend").json()
    assert [user["Id"] for user in found] == [AMERICAS.id]
    assert api.call("GET", "search?searchString=or").status_code == 400
    assert api.call("GET", "search?searchString=corporation zzz").json() == []


def test_servers_name_the_account_s_region(sandbox: RunningSandbox) -> None:
    """The region's base address ends in /api/ and is one of the provider file's."""
    api = Api(sandbox, sandbox.other_practice)
    url = f"{sandbox.url}/metadata/americas/api/servers"
    servers = requests.get(url, headers=api.headers, timeout=TIMEOUT).json()
    assert servers == [f"{sandbox.url}/metadata/europe/api/"]
