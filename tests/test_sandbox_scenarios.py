"""The scenarios: each does what its line of description says."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import pytest
import requests

from tests.support.sandbox import TIMEOUT, Visitor, running_sandbox


@pytest.fixture
def sandbox():
    with running_sandbox() as running:
        yield running


def redirect_url(sandbox, **params):
    return Visitor(sandbox).authorize(sandbox.authorization_url(**params))


def token_call(sandbox, **form):
    auth = (sandbox.client_id, sandbox.client_secret)
    return requests.post(f"{sandbox.url}/oauth/token", data=form, auth=auth, timeout=TIMEOUT)


def exchange(sandbox, location):
    code = unquote(parse_qs(urlsplit(location).query)["code"][0])
    form = {"code": code, "redirect_uri": sandbox.redirect_uri}
    return token_call(sandbox, grant_type="authorization_code", **form)


def connected(sandbox, **params):
    return exchange(sandbox, redirect_url(sandbox, **params)).json()


def refresh(sandbox, token):
    return token_call(sandbox, grant_type="refresh_token", refresh_token=token["refresh_token"])


def me(sandbox, token):
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    return requests.get(f"{sandbox.url}/api/users/me", headers=headers, timeout=TIMEOUT)


def test_deny(sandbox):
    """Whatever is pressed, the answer is access_denied."""
    sandbox.set_scenarios("deny")
    query = dict(parse_qsl(urlsplit(redirect_url(sandbox, state="s")).query))
    assert (query["error"], query["state"]) == ("access_denied", "s")


def test_popup(sandbox):
    """The login form sends its answer to a new window, and that window shows the Authorize page."""
    sandbox.set_scenarios("popup")
    person = Visitor(sandbox)
    login = person.open(sandbox.authorization_url())
    assert 'target="communicate-consent"' in login.text
    page = person.sign_in(sandbox.authorization_url())
    assert "Do you wish to proceed?" in page.text
    again = person.open(sandbox.authorization_url())
    assert "Do you wish to proceed?" not in again.text
    assert "One more step" in again.text


def test_redirect_chain(sandbox):
    """303, 302 and 307 lead to the redirect URI, each once."""
    sandbox.set_scenarios("redirect-chain")
    person = Visitor(sandbox)
    answer = person.submit(person.sign_in(sandbox.authorization_url()), follow=False, decision="allow")
    statuses = []
    while answer.is_redirect and answer.headers["Location"].startswith("/"):
        statuses.append(answer.status_code)
        last = sandbox.url + answer.headers["Location"]
        answer = person.session.get(last, allow_redirects=False, timeout=TIMEOUT)
    assert [*statuses, answer.status_code] == [303, 302, 302, 307]
    assert exchange(sandbox, answer.headers["Location"]).status_code == 200
    assert person.open(last).status_code == 404


@pytest.mark.parametrize(
    ("generation", "path"), [("classic", "/oauth/authorise"), ("identity", "/home/error")]
)
def test_error_page(generation, path):
    """The provider's own page is the end."""
    with running_sandbox(generation, scenarios=["error-page"]) as sandbox:
        page = requests.get(sandbox.authorization_url(), timeout=TIMEOUT)
        assert (urlsplit(page.url).path, ">Error</h1>" in page.text) == (path, True)


def test_outage(sandbox):
    """Everything of the provider's answers 502 with HTML; OrmcoDigital and the control stay up."""
    token = connected(sandbox)
    sandbox.set_scenarios("outage")
    pages = [sandbox.authorization_url(), sandbox.portal_url, sandbox.applications_page]
    answers = [requests.get(page, timeout=TIMEOUT) for page in pages]
    for answer in [*answers, refresh(sandbox, token), me(sandbox, token)]:
        assert answer.status_code == 502
        assert answer.headers["Content-Type"].startswith("text/html")
    assert requests.get(sandbox.ormcodigital_url, timeout=TIMEOUT).status_code == 200
    sandbox.set_scenarios()
    assert refresh(sandbox, token).status_code == 200


def test_outage_of_identity_takes_discovery_down():
    """The discovery document is part of the provider."""
    with running_sandbox("identity", scenarios=["outage"]) as sandbox:
        url = f"{sandbox.url}/.well-known/openid-configuration"
        assert requests.get(url, timeout=TIMEOUT).status_code == 502
        sandbox.set_scenarios("text-500")
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
def test_bad_answers(sandbox, scenario, status, kind, beginning):
    """Consent works, then token endpoint and APIs answer badly; nothing is spent by it."""
    token = connected(sandbox)
    sandbox.set_scenarios(scenario)
    location = redirect_url(sandbox)
    for answer in (exchange(sandbox, location), refresh(sandbox, token), me(sandbox, token)):
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (status, kind)
        assert answer.text.startswith(beginning)
        assert ("Retry-After" in answer.headers) == (status == 429)
    assert scenario != "empty-401" or answer.content == b""
    sandbox.set_scenarios()
    assert exchange(sandbox, location).status_code == refresh(sandbox, token).status_code == 200


def test_slow(sandbox):
    """The token endpoint takes its time; pages do not, and the answer is right."""
    requests.post(sandbox.control_url, json={"scenarios": ["slow"], "slow_seconds": 1}, timeout=TIMEOUT)
    location = redirect_url(sandbox)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{sandbox.url}/oauth/token", timeout=0.5)
    assert exchange(sandbox, location).status_code == 200


def test_stop_does_not_wait_for_slow_answers(sandbox):
    """A sandbox that is stopped drops the call that is waiting."""
    with running_sandbox() as slow:
        requests.post(slow.control_url, json={"scenarios": ["slow"], "slow_seconds": 500}, timeout=TIMEOUT)
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{slow.url}/oauth/token", timeout=0.2)


def test_lost_answer(sandbox):
    """The refresh is done, the answer is not sent, and the old refresh token is spent."""
    token = connected(sandbox)
    sandbox.set_scenarios("lost-answer")
    with pytest.raises(requests.ConnectionError):
        refresh(sandbox, token)
    sandbox.set_scenarios()
    assert refresh(sandbox, token).json()["error"] == "invalid_grant"
    assert me(sandbox, token).status_code == 200


def test_cut_answer(sandbox):
    """Half of the answer comes, then the connection ends."""
    sandbox.set_scenarios("cut-answer")
    location = redirect_url(sandbox)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        exchange(sandbox, location)


def test_no_rotation(sandbox):
    """A refresh answers without a refresh token, and the old one goes on."""
    token = connected(sandbox)
    sandbox.set_scenarios("no-rotation")
    for _ in range(2):
        answer = refresh(sandbox, token)
        assert (answer.status_code, "refresh_token" in answer.json()) == (200, False)


def test_reuse_revokes(sandbox):
    """An old refresh token, sent again, kills the new one."""
    sandbox.set_scenarios("reuse-revokes")
    first = connected(sandbox)
    second = refresh(sandbox, first).json()
    assert refresh(sandbox, first).json()["error"] == "invalid_grant"
    assert refresh(sandbox, second).json()["error"] == "invalid_grant"


def test_no_refresh_token(sandbox):
    """The exchange answers an access token alone."""
    sandbox.set_scenarios("no-refresh-token")
    token = connected(sandbox)
    assert me(sandbox, token).status_code == 200
    assert "refresh_token" not in token


def test_scope_shrinks(sandbox):
    """Less is granted than asked for; a refresh takes no more away."""
    sandbox.set_scenarios("scope-shrinks")
    token = connected(sandbox, scope="cases users")
    assert token["scope"] == "cases"
    assert refresh(sandbox, token).json()["scope"] == "cases"


def test_short_lived(sandbox, time_machine):
    """Access tokens end after five seconds."""
    sandbox.set_scenarios("short-lived")
    time_machine.move_to("2030-01-01T12:00:00Z")
    token = connected(sandbox)
    assert (token["expires_in"], me(sandbox, token).status_code) == (5, 200)
    time_machine.shift(5)
    assert me(sandbox, token).status_code == 401


def test_revoked_while_it_runs(sandbox):
    """Setting it removes every grant for good."""
    token = connected(sandbox)
    sandbox.set_scenarios("revoked")
    sandbox.set_scenarios()
    assert refresh(sandbox, token).json()["error"] == "invalid_grant"
    assert me(sandbox, token).status_code == 401


def test_revoked_from_the_start(sandbox):
    """A connection can be made, and its first refresh finds the grant removed."""
    sandbox.set_scenarios("revoked")
    token = connected(sandbox)
    assert me(sandbox, token).status_code == 200
    assert refresh(sandbox, token).json()["error"] == "invalid_grant"


def test_other_account(sandbox):
    """Whoever signs in, the token is the other practice's."""
    sandbox.set_scenarios("other-account")
    assert me(sandbox, connected(sandbox)).json()["Email"] == sandbox.other_practice.username


def test_page_changed(sandbox):
    """The Authorize page has none of the words it should have, and still works."""
    sandbox.set_scenarios("page-changed")
    page = Visitor(sandbox).sign_in(sandbox.authorization_url())
    assert not [words for words in ("Allow access", ">Cancel<", "Ormco", ">Authorize<") if words in page.text]
    assert exchange(sandbox, redirect_url(sandbox)).status_code == 200


def test_no_cancel(sandbox):
    """The Authorize page has no Cancel button."""
    sandbox.set_scenarios("no-cancel")
    page = Visitor(sandbox).sign_in(sandbox.authorization_url())
    assert ("Allow access" in page.text, "Cancel" in page.text) == (True, False)


def test_scenarios_combine(sandbox):
    """Several scenarios hold at once."""
    sandbox.set_scenarios("other-account", "short-lived", "no-refresh-token", "redirect-chain")
    token = connected(sandbox)
    assert (token["expires_in"], "refresh_token" in token) == (5, False)
    assert me(sandbox, token).json()["Email"] == sandbox.other_practice.username
