"""Each scenario does as its line of description says."""

from __future__ import annotations

import html
import re
import socket
from urllib.parse import urlsplit

import pytest
import requests
from time_machine import TimeMachineFixture

from tests.support.applications import PageVisitor
from tests.support.oauth_calls import code_of, connected, exchange, me, query_of, redirect_url, refresh
from tests.support.sandbox import TIMEOUT, RunningSandbox, Visitor, running_sandbox


@pytest.fixture
def sandbox(classic: RunningSandbox) -> RunningSandbox:
    return classic


def test_deny(sandbox: RunningSandbox) -> None:
    """The response is access_denied, whichever button is pressed."""
    sandbox.set_scenarios("deny")
    query = query_of(redirect_url(sandbox, state="s"))
    assert (query["error"], query["state"]) == ("access_denied", "s")


def test_popup(sandbox: RunningSandbox) -> None:
    """The login form opens a new window, which shows the Authorize page."""
    sandbox.set_scenarios("popup")
    person = Visitor(sandbox)
    login = person.open(sandbox.authorization_url())
    assert 'target="communicate-consent"' in login.text
    page = person.sign_in(sandbox.authorization_url())
    assert "Do you wish to proceed?" in page.text
    again = person.open(sandbox.authorization_url())
    assert "Do you wish to proceed?" not in again.text
    assert "One more step" in again.text


def test_redirect_chain(sandbox: RunningSandbox) -> None:
    """303, 302 and 307 lead to the redirect URI, each once."""
    sandbox.set_scenarios("redirect-chain")
    person = Visitor(sandbox)
    response = person.submit(person.sign_in(sandbox.authorization_url()), follow=False, decision="allow")
    statuses = []
    while response.is_redirect and response.headers["Location"].startswith("/"):
        statuses.append(response.status_code)
        last = sandbox.url + response.headers["Location"]
        response = person.session.get(last, allow_redirects=False, timeout=TIMEOUT)
    assert [*statuses, response.status_code] == [303, 302, 302, 307]
    assert exchange(sandbox, code_of(response.headers["Location"])).status_code == 200
    assert person.open(last).status_code == 404


@pytest.mark.parametrize(
    ("generation", "path"), [("classic", "/oauth/authorise"), ("identity", "/home/error")]
)
def test_error_page(request: pytest.FixtureRequest, generation: str, path: str) -> None:
    """The provider's own page is the end."""
    sandbox: RunningSandbox = request.getfixturevalue(generation)
    sandbox.set_scenarios("error-page")
    page = requests.get(sandbox.authorization_url(), timeout=TIMEOUT)
    assert (urlsplit(page.url).path, ">Error</h1>" in page.text) == (path, True)


def test_outage(sandbox: RunningSandbox) -> None:
    """The provider returns 502 with HTML for everything; OrmcoDigital and the control stay up."""
    token = connected(sandbox)
    sandbox.set_scenarios("outage")
    pages = [sandbox.authorization_url(), sandbox.portal_url, sandbox.applications_page]
    responses = [requests.get(page, timeout=TIMEOUT) for page in pages]
    for response in [*responses, refresh(sandbox, token), me(sandbox, token)]:
        assert response.status_code == 502
        assert response.headers["Content-Type"].startswith("text/html")
    assert requests.get(sandbox.ormcodigital_url, timeout=TIMEOUT).status_code == 200
    sandbox.set_scenarios()
    assert refresh(sandbox, token).status_code == 200


def test_outage_of_identity_takes_discovery_down(identity: RunningSandbox) -> None:
    """The discovery document is part of the provider."""
    url = f"{identity.url}/.well-known/openid-configuration"
    identity.set_scenarios("outage")
    assert requests.get(url, timeout=TIMEOUT).status_code == 502
    identity.set_scenarios("text-500")
    assert requests.get(url, timeout=TIMEOUT).status_code == 200


@pytest.mark.parametrize(
    ("scenario", "status", "kind", "beginning"),
    [
        ("empty-401", 401, "text/plain", ""),
        ("text-500", 500, "text/plain", "An error has occurred."),
        ("captive-portal", 200, "text/html", "<!doctype html>"),
        ("rate-limited", 429, "application/json", "{"),
    ],
)
def test_bad_responses(
    sandbox: RunningSandbox, scenario: str, status: int, kind: str, beginning: str
) -> None:
    """Consent works; token endpoint and APIs return bad responses, and no code or token is spent."""
    token = connected(sandbox)
    sandbox.set_scenarios(scenario)
    location = redirect_url(sandbox)
    for response in (exchange(sandbox, code_of(location)), refresh(sandbox, token), me(sandbox, token)):
        assert (response.status_code, response.headers["Content-Type"].partition(";")[0]) == (status, kind)
        assert response.text.startswith(beginning)
        assert ("Retry-After" in response.headers) == (status == 429)
    assert scenario != "empty-401" or response.content == b""
    sandbox.set_scenarios()
    assert exchange(sandbox, code_of(location)).status_code == refresh(sandbox, token).status_code == 200


def test_slow(sandbox: RunningSandbox) -> None:
    """The token endpoint takes its time; pages do not, and the response is right."""
    sandbox.control(scenarios=["slow"], slow_seconds=0.5)
    location = redirect_url(sandbox)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{sandbox.url}/oauth/token", timeout=0.1)
    assert exchange(sandbox, code_of(location)).status_code == 200


def test_stop_does_not_wait_for_slow_responses() -> None:
    """A sandbox that is stopped drops the call that is waiting."""
    with running_sandbox() as slow:
        slow.control(scenarios=["slow"], slow_seconds=500)
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{slow.url}/oauth/token", timeout=0.2)


def test_lost_response(sandbox: RunningSandbox) -> None:
    """The refresh is done, the response is not sent, and the old refresh token is spent."""
    token = connected(sandbox)
    sandbox.set_scenarios("lost-answer")
    with pytest.raises(requests.ConnectionError):
        refresh(sandbox, token)
    sandbox.set_scenarios()
    assert refresh(sandbox, token).json()["error"] == "invalid_grant"
    assert me(sandbox, token).status_code == 200


def test_cut_response(sandbox: RunningSandbox) -> None:
    """Half of the response arrives, then the connection ends."""
    sandbox.set_scenarios("cut-answer")
    location = redirect_url(sandbox)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        exchange(sandbox, code_of(location))


def test_no_rotation(sandbox: RunningSandbox) -> None:
    """A refresh returns no refresh token, and the old one stays valid."""
    token = connected(sandbox)
    sandbox.set_scenarios("no-rotation")
    for _ in range(2):
        response = refresh(sandbox, token)
        assert (response.status_code, "refresh_token" in response.json()) == (200, False)


def test_reuse_revokes(sandbox: RunningSandbox) -> None:
    """An old refresh token, sent again, kills the new one."""
    sandbox.set_scenarios("reuse-revokes")
    first = connected(sandbox)
    second = refresh(sandbox, first).json()
    assert refresh(sandbox, first).json()["error"] == "invalid_grant"
    assert refresh(sandbox, second).json()["error"] == "invalid_grant"


def test_no_refresh_token(sandbox: RunningSandbox) -> None:
    """The exchange returns an access token alone."""
    sandbox.set_scenarios("no-refresh-token")
    token = connected(sandbox)
    assert me(sandbox, token).status_code == 200
    assert "refresh_token" not in token


def test_scope_shrinks(sandbox: RunningSandbox) -> None:
    """Less is granted than asked for; a refresh takes no more away."""
    sandbox.set_scenarios("scope-shrinks")
    token = connected(sandbox, scope="cases users")
    assert token["scope"] == "cases"
    assert refresh(sandbox, token).json()["scope"] == "cases"


def test_short_lived(sandbox: RunningSandbox, time_machine: TimeMachineFixture) -> None:
    """Access tokens end after five seconds."""
    sandbox.set_scenarios("short-lived")
    time_machine.move_to("2030-01-01T12:00:00Z")
    token = connected(sandbox)
    assert (token["expires_in"], me(sandbox, token).status_code) == (5, 200)
    time_machine.shift(5)
    assert me(sandbox, token).status_code == 401


def test_revoked(sandbox: RunningSandbox) -> None:
    """Setting it removes every grant permanently; one that is made later is removed at its first refresh."""
    token = connected(sandbox)
    sandbox.set_scenarios("revoked")
    later = connected(sandbox)
    assert me(sandbox, later).status_code == 200
    assert refresh(sandbox, later).json()["error"] == "invalid_grant"
    sandbox.set_scenarios()
    assert refresh(sandbox, token).json()["error"] == "invalid_grant"
    assert me(sandbox, token).status_code == 401


def test_other_account(sandbox: RunningSandbox) -> None:
    """The token is the other practice's, whichever account signs in."""
    sandbox.set_scenarios("other-account")
    assert me(sandbox, connected(sandbox)).json()["Email"] == sandbox.other_practice.username


def test_page_changed(sandbox: RunningSandbox) -> None:
    """The Authorize page has none of the words it should have, and still works."""
    sandbox.set_scenarios("page-changed")
    page = Visitor(sandbox).sign_in(sandbox.authorization_url())
    assert not [words for words in ("Allow access", ">Cancel<", "Ormco", ">Authorize<") if words in page.text]
    assert exchange(sandbox, code_of(redirect_url(sandbox))).status_code == 200


def test_no_cancel(sandbox: RunningSandbox) -> None:
    """The Authorize page has no Cancel button."""
    sandbox.set_scenarios("no-cancel")
    page = Visitor(sandbox).sign_in(sandbox.authorization_url())
    assert ("Allow access" in page.text, "Cancel" in page.text) == (True, False)


def test_scenarios_combine(sandbox: RunningSandbox) -> None:
    """Several scenarios hold at once."""
    sandbox.set_scenarios("other-account", "short-lived", "no-refresh-token", "redirect-chain")
    token = connected(sandbox)
    assert (token["expires_in"], "refresh_token" in token) == (5, False)
    assert me(sandbox, token).json()["Email"] == sandbox.other_practice.username


def test_landing_frame(sandbox: RunningSandbox) -> None:
    """Frames of the Authorize page load the landing host with errors and codes, one inside another."""
    sandbox.set_scenarios("landing-frame")
    page = Visitor(sandbox).sign_in(sandbox.authorization_url())
    frames = [html.unescape(found) for found in re.findall(r'<iframe src="([^"]+)"', page.text)]
    assert frames[:2] == ["https://ormco.com/?error=login_required", "https://ormco.com/?code=ATTACKERCODE"]
    assert "frame-src 'self' https://ormco.com" in page.headers["Content-Security-Policy"]
    inner = requests.get(sandbox.url + frames[-1], timeout=TIMEOUT)
    assert '<iframe src="https://ormco.com/?code=ATTACKERCODE' in inner.text
    assert "frame-ancestors 'self'" in inner.headers["Content-Security-Policy"]


def test_html_token(sandbox: RunningSandbox) -> None:
    """Only the token endpoint returns 200 with HTML, and no token is spent."""
    token = connected(sandbox)
    sandbox.set_scenarios("html-token")
    response = refresh(sandbox, token)
    assert (response.status_code, response.text[:15]) == (200, "<!doctype html>")
    assert me(sandbox, token).status_code == 200


def test_endless_401(sandbox: RunningSandbox) -> None:
    """The APIs refuse every access token, a fresh one too; refreshing works."""
    sandbox.set_scenarios("endless-401")
    fresh = refresh(sandbox, connected(sandbox))
    assert fresh.status_code == 200
    response = me(sandbox, fresh.json())
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_early_hints(sandbox: RunningSandbox) -> None:
    """A 103 comes before the response of pages and endpoints, but not of the control."""
    sandbox.set_scenarios("early-hints")
    for path, hinted in (("/Account/Login", True), ("/api/users/me", True), ("/sandbox/control", False)):
        with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0), 20) as connection:
            host = urlsplit(sandbox.url).netloc
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            response = b"".join(iter(lambda: connection.recv(65536), b""))
        assert response.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: ") is hinted
        assert response.count(b"HTTP/1.1 ") == 1 + hinted


def test_refused_codes(sandbox: RunningSandbox) -> None:
    """A good code is refused, and spent."""
    code = code_of(redirect_url(sandbox))
    sandbox.set_scenarios("refused-codes")
    assert exchange(sandbox, code).json()["error"] == "invalid_request"
    sandbox.set_scenarios()
    assert exchange(sandbox, code).json()["error"] == "invalid_request"


def test_stale_grant(sandbox: RunningSandbox) -> None:
    """Codes are refused until the application was removed on its page."""
    connected(sandbox)
    sandbox.set_scenarios("stale-grant")
    assert exchange(sandbox, code_of(redirect_url(sandbox))).status_code == 400
    PageVisitor(sandbox)(sandbox.applications_page, account=None)
    assert exchange(sandbox, code_of(redirect_url(sandbox))).status_code == 200
