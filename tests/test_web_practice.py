"""The practice's page in a Flask application, and the requests that it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug import Request

from connector import Connector
from connector.web import practice_pages
from tests.support.connecting import connect, kill_grant, stored
from tests.support.sandbox import RunningSandbox, hidden_value

PRACTICE = "practice-42"
Browser = Callable[..., FlaskClient]


@pytest.fixture
def browser(connector: Connector, classic: RunningSandbox) -> Browser:
    """Makes browsers; the login of the application is a header here."""
    return browsers(connector, callback_url=classic.redirect_uri)


def browsers(connector: Connector, **options: Any) -> Browser:
    app = Flask("backend")
    app.secret_key = "a server secret"
    app.register_blueprint(practice_pages(connector, practice_of=signed_in, **options), url_prefix="/3shape")

    def make(practice: str | None = PRACTICE) -> FlaskClient:
        client = app.test_client()
        if practice is not None:
            client.environ_base["HTTP_X_PRACTICE"] = practice
        return client

    return make


def signed_in(request: Request) -> str | None:
    return request.headers.get("X-Practice")


def press(client: FlaskClient, action: str, **fields: str) -> Any:
    """Send one of the page's forms; redirects to the page itself are followed."""
    token = hidden_value(client.get("/3shape/"))
    sent = client.post(f"/3shape/{action}", data={"form_token": token, **fields})
    is_ours = sent.status_code == 303 and not sent.location.startswith("http")
    return client.get(sent.location) if is_ours else sent


def come_back(client: FlaskClient, redirect_url: str) -> Any:
    """Open the callback with the query that 3Shape's redirect has."""
    return client.get(f"/3shape/connected?{urlsplit(redirect_url).query}", follow_redirects=True)


def response_for(client: FlaskClient, sandbox: RunningSandbox) -> str:
    """Press *Connect* and allow access; return the redirect URL."""
    return sandbox.authorize(press(client, "connect").location)


def without_state(url: str) -> str:
    return re.sub(r"&?state=[^&]*", "", url)


# --- actions of a practice


def test_page_of_a_new_practice(browser: Browser) -> None:
    """A new practice sees the first step."""
    page = browser().get("/3shape/")
    assert page.status_code == 200
    assert "Not connected" in page.text
    assert "Connect with a code" in page.text


def test_connect_by_callback(browser: Browser, classic: RunningSandbox) -> None:
    """The callback connects, and leads to an address without the code."""
    client = browser()
    page = come_back(client, response_for(client, classic))
    assert page.request.path == "/3shape/"
    assert f"Connected to {classic.practice.username}." in page.text
    assert "The account was confirmed" not in page.text


def test_connect_by_paste(browser: Browser, classic: RunningSandbox) -> None:
    """Any copy of the address from the other tab is accepted, within a sentence too."""
    client = browser()
    url = press(client, "connect-elsewhere").location
    page = press(client, "paste", answer=f"It says <{classic.authorize(url)}>, ok?")
    assert f"Connected to {classic.practice.username}." in page.text


def test_cancel(browser: Browser, classic: RunningSandbox) -> None:
    """*Cancel* at 3Shape is reported in words."""
    client = browser()
    page = come_back(client, classic.authorize(press(client, "connect").location, decision="cancel"))
    assert "did not allow access" in page.text
    assert page.request.path == "/3shape/"


def test_without_callback_a_code_is_pasted(connector: Connector) -> None:
    """A backend without a registered callback offers the paste alone."""
    page = browsers(connector)().get("/3shape/")
    assert 'action="/3shape/connect"' not in page.text
    assert "Connect with a code" in page.text


def test_repair_and_test_of_a_sound_connection(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """Both report that nothing is wrong, without a question to a person."""
    connect(connector, classic, PRACTICE)
    client = browser()
    assert "Checked: nothing is wrong." in press(client, "repair").text
    assert "knows you as" in press(client, "test").text


def test_dead_connection_is_repaired_by_consent(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """*Test* reports the error, and *Repair* leads to 3Shape."""
    connect(connector, classic, PRACTICE)
    kill_grant(connector, classic)
    client = browser()
    assert "Something is wrong" in press(client, "test").text
    assert "Needs repair" in client.get("/3shape/").text
    assert press(client, "repair").location.startswith(classic.url)


def test_damaged_record_has_no_button(
    browser: Browser, connector: Connector, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """Nothing that a person can press on the page repairs stored data."""
    connect(connector, classic, PRACTICE)
    with stored(env) as store:
        store.database.apply([("UPDATE ormco_connections SET state = 'odd'", ())])
    page = browser().get("/3shape/").text
    assert "tell Ormco support" in page
    assert re.search(r'action="/3shape/(repair|connect)"|/3shape/disconnect', page) is None


def test_disconnect_with_proof(browser: Browser, connector: Connector, classic: RunningSandbox) -> None:
    """The steps are shown; "removed", if pressed too early, is refused; then the tokens are deleted."""
    connect(connector, classic, PRACTICE)
    client = browser()
    asked = client.get("/3shape/disconnect").text
    assert "Click the square icon next to Ormco." in asked
    assert "loses access" in asked
    assert "still honours the grant" in press(client, "disconnect", removed="yes").text
    classic.set_scenarios("revoked")
    assert "the tokens are deleted" in press(client, "disconnect", removed="yes").text
    assert client.get("/3shape/disconnect").status_code == 303


def test_events_since(browser: Browser, connector: Connector, classic: RunningSandbox) -> None:
    """The page asks for new events, and gets those of its own practice alone."""
    connect(connector, classic, PRACTICE)
    found = browser().get("/3shape/events").get_json()
    assert found["state"] == "connected"
    assert "Connected" in [event["text"] for event in found["events"]]
    last = found["events"][-1]["sequence"]
    assert browser().get(f"/3shape/events?after={last}").get_json()["events"] == []
    assert browser("practice-77").get("/3shape/events").get_json() == {"state": "none", "events": []}


def test_actor_is_the_person(connector: Connector, classic: RunningSandbox) -> None:
    """The audit record names the person who was signed in."""
    client = browsers(connector, actor_of=lambda request: "alex@maple.test")()
    response = classic.authorize(press(client, "connect-elsewhere").location)
    come_back(client, response)
    assert {event.actor for event in connector.events(practice_id=PRACTICE)} == {"alex@maple.test"}


# --- confirming the account


def test_response_without_state_needs_confirmation(
    browser: Browser, connector: Connector, classic: RunningSandbox
) -> None:
    """A code without a state connects nothing before the person who came with it has seen the account."""
    client = browser()
    page = come_back(client, without_state(response_for(client, classic)))
    assert f"Connect as {classic.practice.username}?" in page.text or "Connect as Maple" in page.text
    assert "Connected to" not in page.text
    yes = {"answer": "yes", "account_id": hidden_value(page, "account_id")}
    assert "Connected to" not in press(browser(), "confirm", **yes).text
    assert "Connected to" in press(client, "confirm", **yes).text
    assert connector.status(PRACTICE).state == "connected"


def test_rejected_account_is_dropped(browser: Browser, classic: RunningSandbox) -> None:
    """After "no" nothing is connected, and the question is gone."""
    client = browser()
    come_back(client, without_state(response_for(client, classic)))
    page = press(client, "confirm", answer="no")
    assert "The account was not connected." in page.text
    assert "Connect as" not in page.text
    assert "Not connected" in page.text


@pytest.mark.parametrize("practice", [PRACTICE, "practice-77"])
def test_response_of_another_session(browser: Browser, classic: RunningSandbox, practice: str) -> None:
    """It is refused before it is sent to 3Shape, for the same practice and for another one."""
    page = come_back(browser(practice), response_for(browser(), classic))
    assert "another practice, session or provider" in page.text
    assert classic.counters().get("token:authorization_code", 0) == 0


# --- refusals

FORMS = ["connect", "connect-elsewhere", "paste", "confirm", "repair", "test", "disconnect"]


@pytest.mark.parametrize("action", FORMS)
def test_form_without_token(browser: Browser, action: str) -> None:
    """No form is taken that this session's page did not send."""
    client = browser()
    client.get("/3shape/")
    assert client.post(f"/3shape/{action}").status_code == 400
    assert client.post(f"/3shape/{action}", data={"form_token": "0" * 64}).status_code == 400


@pytest.mark.parametrize(
    "header",
    [("Origin", "https://evil.test"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
    ids=lambda header: "-".join(header),
)
def test_form_of_another_origin(browser: Browser, header: tuple[str, str]) -> None:
    """Even the right token is of no use to another site's page."""
    client = browser()
    token = hidden_value(client.get("/3shape/"))
    sent = client.post("/3shape/connect", data={"form_token": token}, headers=dict([header]))
    assert sent.status_code == 400


def test_token_of_another_session_or_person(browser: Browser) -> None:
    """A form token is good for one session and one person."""
    client = browser()
    token = hidden_value(client.get("/3shape/"))
    for other in (browser(), client):
        if other is client:
            client.environ_base["HTTP_X_PRACTICE"] = "practice-77"
        other.get("/3shape/")
        assert other.post("/3shape/connect", data={"form_token": token}).status_code == 400


def test_other_host(connector: Connector) -> None:
    """With `hosts`, a name that was made to point here gets nothing."""
    client = browsers(connector, hosts={"app.test"})()
    assert client.get("/3shape/", base_url="http://app.test").status_code == 200
    refused = client.get("/3shape/", base_url="http://evil.test")
    assert refused.status_code == 400
    assert "Not connected" not in refused.text


def test_without_a_signed_in_person(browser: Browser, classic: RunningSandbox) -> None:
    """Without a signed-in person the callback spends no code, and every page is refused."""
    response = response_for(browser(), classic)
    stranger = browser(None)
    refused = stranger.get(f"/3shape/connected?{urlsplit(response).query}")
    assert refused.status_code == 401
    assert "Sign in and try again" in refused.text
    assert refused.headers["Referrer-Policy"] == "no-referrer"
    assert [stranger.get(f"/3shape/{path}").status_code for path in ("", "events", "disconnect")] == [401] * 3
    assert classic.counters().get("token:authorization_code", 0) == 0


def test_headers_and_cookies(browser: Browser) -> None:
    """Pages are neither cached nor framed; over TLS the cookie is this host's alone."""
    page = browser().get("/3shape/", base_url="https://localhost")
    assert page.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    cookie = page.headers["Set-Cookie"]
    assert cookie.startswith("__Host-ormco_practice=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert page.headers["Strict-Transport-Security"].startswith("max-age=")


def test_missing_secret_is_a_setting(connector: Connector) -> None:
    """The error for an application without a secret key names the setting."""
    app = Flask("backend")
    app.register_blueprint(practice_pages(connector, practice_of=lambda request: PRACTICE))
    page = app.test_client().get("/")
    assert page.status_code == 503
    assert "server secret" in page.text


def test_error_of_a_paste_is_shown(browser: Browser) -> None:
    """The page shows the error and its hint, and nothing that was pasted."""
    page = press(browser(), "paste", answer="https://evil.test/?code=made-up")
    assert 'role="alert"' in page.text
    assert "made-up" not in page.text
