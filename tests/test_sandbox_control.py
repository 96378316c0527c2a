"""The sandbox's control: its access rules, its settings and counters, and consent without a browser."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.cases import MetadataApi
from tests.support.oauth_calls import code_of, connected, exchange, me, query_of, refresh
from tests.support.sandbox import TIMEOUT, RunningSandbox, Visitor

CALLS = ("/sandbox/control", "/sandbox/consent", "/sandbox/cases", "/sandbox/practices")


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "127.0.0.1:1", "localhost", ""])
def test_other_host_names_are_refused(classic: RunningSandbox, host: str) -> None:
    """A page whose name was made to point at this machine gets nothing (DNS rebinding)."""
    for path in ("/Account/Login", "/sandbox/control", "/static/style.css"):
        response = requests.get(classic.url + path, headers={"Host": host}, timeout=TIMEOUT)
        assert response.status_code == 400


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1.evil.test"])
def test_other_origins_are_refused(classic: RunningSandbox, path: str, origin: str) -> None:
    """A web page elsewhere controls nothing, whatever type it sends."""
    for method in ("GET", "POST", "DELETE"):
        response = requests.request(
            method, classic.url + path, json={}, headers={"Origin": origin}, timeout=TIMEOUT
        )
        assert response.status_code in (403, 405)
    assert classic.control()["counters"] == {}


@pytest.mark.parametrize("path", [*CALLS, "/sandbox/cases/any/receive"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_control_takes_json_alone(classic: RunningSandbox, path: str, kind: str) -> None:
    """A foreign page can send a form or text without asking; both are refused, an empty body too."""
    for body in ('{"scenarios": ["deny"]}', ""):
        headers = {"Content-Type": kind, "Origin": classic.url}
        response = requests.post(classic.url + path, data=body, headers=headers, timeout=TIMEOUT)
        assert response.status_code == 415


@pytest.mark.parametrize("origin", ["http://127.0.0.1:5000", "http://localhost:3000", "http://[::1]:1"])
def test_loopback_origins_are_accepted(classic: RunningSandbox, origin: str) -> None:
    """A page of this machine may use the control."""
    headers = {"Origin": origin}
    response = requests.post(classic.control_url, json={"scenarios": []}, headers=headers, timeout=TIMEOUT)
    assert response.status_code == 200


def test_control_sets_and_shows(classic: RunningSandbox) -> None:
    """POST replaces the settings that it names, zero included; GET shows the settings."""
    changes = {"scenarios": ["popup", "slow"], "approval_seconds": 0, "slow_seconds": 0, "late_seconds": 0}
    shown = classic.control(**changes)
    assert {key: shown[key] for key in changes} == changes


@pytest.mark.parametrize(
    "body",
    [
        {"scenarios": ["nonsense"], "approval_seconds": 9},
        {"scenarios": "deny"},
        {"scenarios": [{}]},
        {"approval_seconds": -1},
        {"approval_seconds": True},
        {"slow_seconds": None},
        {"late_seconds": None},
        {"reset": "no"},
        {"scenario": ["deny"]},
        [],
    ],
)
def test_control_refuses_invalid_settings(classic: RunningSandbox, body: object) -> None:
    """A mistake in the body is answered with 400 and changes nothing."""
    before = classic.control()
    response = requests.post(classic.control_url, json=body, timeout=TIMEOUT)
    assert (response.status_code, "Message" in response.json()) == (400, True)
    assert classic.control() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("cases", {"count": 0}),
        ("cases", {"count": True}),
        ("cases", {"practice": "nobody@x.test"}),
        ("cases", {"lab": "front.desk@maple-ortho.test"}),
        ("cases", {"attachments": [{"name": 7}]}),
        ("cases", {"attachments": [{"name": "a", "content": "!"}]}),
        ("cases", {"patient": "x"}),
        ("cases", []),
        ("practices", {"region": "mars"}),
        ("practices", {"region": ["europe"]}),
        ("consent", {}),
        ("consent", {"authorization_url": "https://evil.test/oauth/authorise"}),
    ],
)
def test_mistakes_are_refused_in_words(classic: RunningSandbox, path: str, body: object) -> None:
    """A wrong value is answered 400 with a sentence."""
    response = requests.post(f"{classic.url}/sandbox/{path}", json=body, timeout=TIMEOUT)
    assert (response.status_code, list(response.json())) == (400, ["Message"])


def test_reset_forgets_everything(classic: RunningSandbox) -> None:
    """Grants, sessions, cases, counters and settings are as at the start."""
    before, token, person = classic.control(), connected(classic), Visitor(classic)
    first = classic.sandbox.new_case()
    person.sign_in(classic.portal_url)
    shown = classic.control(reset=True, scenarios=["popup"])
    assert shown == before | {"scenarios": ["popup"]}
    assert refresh(classic, token).json()["error"] == "invalid_grant"
    assert "Log in to your account" in person.open(classic.portal_url).text
    assert MetadataApi(classic)("cases?page=0").json()["Count"] == 0
    assert classic.sandbox.new_case() == first


def test_access_tokens_end_and_grants_are_counted(classic: RunningSandbox) -> None:
    """An access token can be ended before its time; its grant lives on, and is counted."""
    token = connected(classic)
    shown = classic.control(end_access_tokens=True)
    assert shown["grants"][classic.practice.username] == 1
    assert me(classic, token).status_code == 401
    assert refresh(classic, token).status_code == 200


def consent(sandbox: RunningSandbox, **body: Any) -> requests.Response:
    body = {"authorization_url": sandbox.authorization_url(state="s1")} | body
    return requests.post(f"{sandbox.url}/sandbox/consent", json=body, timeout=TIMEOUT)


def test_consent_without_a_browser(classic: RunningSandbox) -> None:
    """One call signs in and allows access; its redirect URL is the one that a browser ends on."""
    url = consent(classic).json()["redirect_url"]
    assert url.startswith("https://ormco.com/?code=")
    assert "%2521" in url
    assert query_of(url)["state"] == "s1"
    assert exchange(classic, code_of(url)).status_code == 200


def test_consent_can_be_cancelled_and_given_by_others(classic: RunningSandbox) -> None:
    """`decision` and `username` are the person's."""
    cancelled = consent(classic, decision="cancel").json()["redirect_url"]
    assert query_of(cancelled)["error"] == "access_denied"
    other = consent(classic, username=classic.other_practice.username.upper())
    token = exchange(classic, code_of(other.json()["redirect_url"])).json()
    assert me(classic, token).json()["Email"] == classic.other_practice.username


@pytest.mark.parametrize("scenario", ["error-page", "outage"])
def test_consent_without_a_redirect_is_reported(classic: RunningSandbox, scenario: str) -> None:
    """If the provider does not redirect, the response is 409 with the reason."""
    classic.set_scenarios(scenario)
    response = consent(classic)
    assert response.status_code == 409
    assert "does not redirect" in response.json()["Message"]
    with pytest.raises(ValueError, match="does not redirect"):
        classic.sandbox.consent_url(classic.authorization_url())


@pytest.mark.parametrize("scenario", ["popup", "redirect-chain", "page-changed", "landing-frame"])
def test_consent_follows_the_scenarios(classic: RunningSandbox, scenario: str) -> None:
    """Windows, redirects and other words make no difference to it."""
    classic.set_scenarios(scenario)
    assert consent(classic).json()["redirect_url"].startswith("https://ormco.com/?code=")


def test_cases_from_a_test(classic: RunningSandbox) -> None:
    """A case is sent and its workflow is played without HTTP; mistakes are errors in words."""
    case_id = classic.sandbox.new_case(patient=["Ada", "Example"])
    assert classic.sandbox.act_on_case(case_id, "receive")["label"] == "Scanned received"
    with pytest.raises(ValueError, match="cannot receive"):
        classic.sandbox.act_on_case(case_id, "receive")
