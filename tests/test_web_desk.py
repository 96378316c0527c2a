"""The support desk: all practices, the next step as a button, and the roles."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug import Request

from connector import Connector
from connector.errors import SettingError
from connector.web import Role, SupportPerson, desk_pages
from tests.support.connecting import connect, kill_grant, stored
from tests.support.sandbox import RunningSandbox, hidden_value

PRACTICE = "Maple & Söhne / 42"
Browser = Callable[..., FlaskClient]


@pytest.fixture
def browser(connector: Connector) -> Browser:
    """Makes browsers of support people with some roles; none: of a stranger."""
    app = Flask("company")
    app.secret_key = "a server secret"
    app.register_blueprint(desk_pages(connector, authorize=authorize), url_prefix="/desk")

    def make(roles: Collection[Role] = tuple(Role)) -> FlaskClient:
        client = app.test_client()
        client.environ_base["HTTP_X_ROLES"] = ",".join(roles)
        return client

    return make


def authorize(request: Request) -> SupportPerson | None:
    roles = request.headers.get("X-Roles")
    return SupportPerson(name="Sam", roles={Role(role) for role in roles.split(",")}) if roles else None


def page_of(client: FlaskClient, practice: str = PRACTICE) -> Any:
    return client.get("/desk/practice", query_string={"id": practice})


def press(client: FlaskClient, action: str, practice: str = PRACTICE, **fields: str) -> Any:
    """Send one of the practice's forms, with this session's token."""
    data = {"form_token": hidden_value(page_of(client, "not connected")), "practice": practice, **fields}
    return client.post(f"/desk/practice/{action}", data=data, follow_redirects=True)


def link_in(page: Any) -> str:
    found = re.search(r'<textarea id="link-url"[^>]*>([^<]+)', page.text)
    assert found is not None
    return found[1].replace("&amp;", "&")


# --- all practices


def test_list_begins_with_practices_that_need_help(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """Each row has the state, its start and the reason in words."""
    connect(connector, classic, "a-sound-one")
    connect(connector, classic, "broken", who=classic.other_practice)
    kill_grant(connector, classic, "broken")
    text = browser().get("/desk/").text
    assert text.index(">broken<") < text.index(">a-sound-one<")
    assert "3Shape does not accept the grant any more" in text
    assert "2 practices · 1 needs attention" in text


def test_search(browser: Browser, connector: Connector, classic: RunningSandbox) -> None:
    """Rows are found by parts of the id or the account; an unknown id can be connected."""
    connect(connector, classic)
    client = browser()
    assert ">practice-42<" in client.get("/desk/list?q=TICE-4").text
    assert ">practice-42<" in client.get(f"/desk/list?q={classic.practice.username[:6]}").text
    assert "Connect “&lt;new&gt;” as a new practice" in client.get("/desk/list?q=<new>").text


def test_changes_name_the_practices(browser: Browser, connector: Connector, classic: RunningSandbox) -> None:
    """An open page gets the changes of other people and processes."""
    client = browser()
    connect(connector, classic)
    found = client.get("/desk/changes").get_json()
    assert found["practices"] == ["practice-42"]
    assert client.get(f"/desk/changes?after={10**20}").get_json()["practices"] == []
    assert client.get(f"/desk/changes?after={-(10**20)}").get_json() == found
    assert client.get(f"/desk/changes?after={found['after']}").get_json() == {
        "after": found["after"],
        "practices": [],
    }


# --- one practice


def test_link_and_paste_connect(browser: Browser, connector: Connector, classic: RunningSandbox) -> None:
    """A link to copy or mail, with a text, and the response pasted from a mail; recorded with the name."""
    client = browser()
    page = press(client, "link")
    assert "mailto:?subject=" in page.text
    assert "I will send you a link" in page.text
    response = classic.authorize(link_in(page))
    assert "is connected to" in press(client, "paste", answer=f"Here: <{response}>").text
    assert {event.actor for event in connector.events(practice_id=PRACTICE)} == {"Sam"}


def test_account_is_confirmed_at_the_desk(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """A response without state connects only the account that a person has confirmed."""
    client = browser()
    response = classic.authorize(link_in(press(client, "link")))
    page = press(client, "paste", answer=re.sub(r"&?state=[^&]*", "", response))
    assert "Ask the practice whether it is theirs" in page.text
    account = hidden_value(page, "account_id")
    listed = client.get("/desk/").text
    who = classic.practice.username.replace("@", "<wbr>@")
    assert f'{who} <span class="soft">not confirmed</span>' in listed
    assert "1 practice · 1 needs attention" in listed
    assert "is connected to" in press(client, "confirm", answer="yes", account_id=account).text
    assert connector.status(PRACTICE).state == "connected"


def test_rejected_account_is_dropped(browser: Browser, classic: RunningSandbox) -> None:
    """The grant is given back, and the question is gone."""
    client = browser()
    response = classic.authorize(link_in(press(client, "link")))
    press(client, "paste", answer=re.sub(r"&?state=[^&]*", "", response))
    page = press(client, "confirm", answer="no")
    assert "The account was not connected." in page.text
    assert "Ask the practice whether" not in page.text


def test_repair_of_a_dead_connection_is_a_link(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """A repair that needs the practice's consent gives the link to send at once."""
    connect(connector, classic, PRACTICE)
    assert "Checked: nothing is wrong." in press(browser(), "repair").text
    kill_grant(connector, classic, PRACTICE)
    page = press(browser(), "repair")
    assert "Send the practice this link." in page.text
    assert link_in(page).startswith(classic.url)


def test_revoke_with_consequences_and_proof(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """The consequences and the practice's steps first, without a command; done only when 3Shape proves it."""
    connect(connector, classic, PRACTICE)
    client = browser()
    asked = client.get("/desk/practice/revoke", query_string={"id": PRACTICE}).text
    assert "loses access" in asked
    assert "Click the square icon next to Ormco." in asked
    refused = press(client, "removed").text
    assert "still honours the grant" in refused
    assert "Click the square icon next to Ormco" in refused
    assert re.search(r"\bormco [a-z]", refused) is None
    classic.set_scenarios("revoked")
    assert "the tokens are deleted" in press(client, "removed").text


def test_lab_and_cases(browser: Browser, connector: Connector, classic: RunningSandbox) -> None:
    """The lab connection and the last cases are on the practice's page."""
    connect(connector, classic, PRACTICE)
    client = browser()
    assert "Lab connection: " in press(client, "lab").text
    cases = client.get("/desk/practice/cases", query_string={"id": PRACTICE})
    assert cases.status_code == 200
    assert "<li>" in cases.text or "No cases" in cases.text


def test_errors_are_shown_on_the_page(
    browser: Browser, connector: Connector, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """The page shows an error and its hint without the command, no pasted text, and no unknown date."""
    page = press(browser(), "paste", answer="https://evil.test/?code=made-up")
    assert 'role="alert"' in page.text
    assert "made-up" not in page.text
    connect(connector, classic, PRACTICE)
    with stored(env) as store:
        store.database.apply([("UPDATE ormco_connections SET state = 'odd'", ())])
    page = press(browser(), "repair")
    assert "delete this data and connect the practice again." in page.text
    assert "1970" not in page.text + browser().get("/desk/").text
    assert not re.search(r"/(repair|link|revoke|paste)\"", page.text)


# --- permissions


def test_stranger_is_refused(browser: Browser) -> None:
    """A person whom `authorize` does not know sees no page and can do nothing."""
    client = browser(())
    for path in ("", "list", "changes", "practice?id=x", "practice/cases?id=x", "practice/revoke?id=x"):
        assert client.get(f"/desk/{path}").status_code == 403
    for action in ("link", "paste", "confirm", "repair", "lab", "revoke", "removed"):
        assert client.post(f"/desk/practice/{action}").status_code == 403


@pytest.mark.parametrize(
    ("roles", "refused"),
    [
        ((Role.VIEW,), ["link", "paste", "confirm", "repair", "lab", "revoke", "removed"]),
        ((Role.VIEW, Role.MEND), ["revoke", "removed"]),
    ],
    ids=["view", "mend"],
)
def test_roles(
    browser: Browser, connector: Connector, classic: RunningSandbox, roles: tuple[Role], refused: list[str]
) -> None:
    """An action that a person may not take has no button, and is refused if it is sent anyway."""
    connect(connector, classic, PRACTICE)
    client = browser()
    token = hidden_value(page_of(client))
    client.environ_base["HTTP_X_ROLES"] = ",".join(roles)
    page = page_of(client).text
    for action in refused:
        assert f'action="/desk/practice/{action}"' not in page
        data = {"form_token": token, "practice": PRACTICE}
        assert client.post(f"/desk/practice/{action}", data=data).status_code == 403
    assert "practice/revoke" not in page
    assert client.get("/desk/practice/revoke?id=x").status_code == 403
    assert connector.status(PRACTICE).state == "connected"


def test_form_of_another_origin_or_session(browser: Browser) -> None:
    """Only this session's own pages send forms."""
    client = browser()
    data = {"form_token": hidden_value(page_of(client)), "practice": PRACTICE}
    for headers in ({"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "same-site"}):
        assert client.post("/desk/practice/link", data=data, headers=headers).status_code == 400
    assert browser().post("/desk/practice/link", data=data).status_code == 400
    assert client.post("/desk/practice/link", data={"practice": PRACTICE}).status_code == 400
    assert client.post("/desk/practice/link", data=data).status_code == 200


def test_response_to_a_practice_s_own_session_is_refused(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """A request that a practice's own browser began cannot be completed at the desk."""
    begun = connector.begin(PRACTICE, binding="a session's own secret")
    response = classic.authorize(begun.url)
    page = press(browser(), "paste", answer=response)
    assert "another practice, session or provider" in page.text
    assert urlsplit(response).query not in page.text


# --- reconnect


def test_reconnect_revokes_and_gives_a_new_link(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """The consequences first; once 3Shape proves that the old access is gone, the link for the practice."""
    connect(connector, classic, PRACTICE)
    client = browser()
    asked = client.get("/desk/practice/revoke", query_string={"id": PRACTICE, "then": "connect"}).text
    assert "from the start?" in asked
    assert "loses access" in asked
    classic.set_scenarios("revoked")
    page = press(client, "removed", then="connect")
    assert connector.status(PRACTICE).state == "revoked"
    response = classic.authorize(link_in(page))
    assert "is connected to" in press(client, "paste", answer=response).text


def test_reconnect_needs_both_roles(browser: Browser, connector: Connector, classic: RunningSandbox) -> None:
    """A person who may only revoke gets no link."""
    connect(connector, classic, PRACTICE)
    client = browser()
    token = hidden_value(page_of(client))
    client.environ_base["HTTP_X_ROLES"] = "view,revoke"
    assert "Reconnect" not in page_of(client).text
    classic.set_scenarios("revoked")
    data = {"form_token": token, "practice": PRACTICE, "then": "connect"}
    assert client.post("/desk/practice/removed", data=data).status_code == 403
    assert connector.status(PRACTICE).state == "connected"


def test_list_has_the_next_step_as_a_button(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """Each practice that needs something has its button in the list, for those who may press it."""
    connect(connector, classic, PRACTICE)
    kill_grant(connector, classic, PRACTICE)
    pressed = re.search(r'name="practice" value="([^"]+)" formaction="([^"]+)"', browser().get("/desk/").text)
    assert pressed is not None
    assert (unescape(pressed[1]), pressed[2]) == (PRACTICE, "/desk/practice/repair")
    assert "formaction" not in browser((Role.VIEW,)).get("/desk/").text


@pytest.mark.parametrize(
    "wrong", [{"roles": "preview,revoked"}, {"roles": None}, {"roles": 7}, {"name": None}, {"name": ""}]
)
def test_invalid_support_person(wrong: dict[str, Any]) -> None:
    """A role is not found as a part of a text, and a person needs a name."""
    with pytest.raises(SettingError):
        SupportPerson(**{"name": "Sam"} | wrong)


@pytest.mark.parametrize("odd", [True, "Sam", {"name": "Sam", "roles": ["view"]}])
def test_unexpected_result_of_authorize_is_a_refusal(connector: Connector, odd: Any) -> None:
    """A result that is no person has no roles."""
    app = Flask("company")
    app.secret_key = "a server secret"
    app.register_blueprint(desk_pages(connector, authorize=lambda request: odd), url_prefix="/desk")
    assert app.test_client().get("/desk/").status_code == 403


def test_body_that_is_far_too_large(browser: Browser) -> None:
    """Refused unread, whatever limit the application around the pages has."""
    client = browser()
    data = {"form_token": hidden_value(page_of(client)), "practice": PRACTICE, "answer": "a" * 1_000_000}
    assert client.post("/desk/practice/paste", data=data).status_code == 413
