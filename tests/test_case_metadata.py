"""The metadata API's errors: told apart by their text, tokens renewed once, nothing of a patient in words."""

from __future__ import annotations

import pytest
import responses

from connector.clock import Clock
from connector.communicate.client import AuthorizedSession
from connector.communicate.metadata import MetadataApi, Renewal
from connector.errors import CaseNotFoundError, ClientRefusedError, NeedsRepairError, ProviderUnavailableError

URL = "https://eumetadata.3shapecommunicate.com/api/cases/1"


class Tokens:
    """Hands out token-1, and the next when it has to be refreshed."""

    def __init__(self):
        self.number = 1
        self.refreshed = 0
        self.failure = None

    def __call__(self, refreshed):
        if refreshed and self.failure:
            raise self.failure
        self.number += refreshed
        self.refreshed += refreshed
        return f"token-{self.number}"


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def api(tokens):
    renewal = Renewal(tokens)
    return MetadataApi(AuthorizedSession(renewal.token, origins=[URL]), renewal, clock=Clock())


@pytest.fixture
def server():
    with responses.RequestsMock() as server:
        yield server


def test_500_to_an_old_token_renews_it_once(api, tokens, server):
    """A 500 is met with one forced refresh, since some hosts answer so to a token that has ended."""
    server.get(URL, status=500, body="An error has occurred.")
    server.get(
        URL, json={"Id": "1"}, match=[responses.matchers.header_matcher({"Authorization": "Bearer token-2"})]
    )
    assert api.get(URL) == {"Id": "1"}
    assert tokens.refreshed == 1


def test_500_to_a_fresh_token_is_the_server_s_own(api, tokens, server):
    """A 500 that stays is taken as it is, and later ones renew nothing until the token is another."""
    server.get(URL, status=500, body="An error has occurred.")
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError, match="answered 500"):
            api.get(URL)
    assert tokens.refreshed == 1
    tokens.number += 1
    with pytest.raises(ProviderUnavailableError):
        api.get(URL)
    assert tokens.refreshed == 2


def test_500_while_the_provider_is_down(api, tokens, server):
    """A refresh that cannot be had leaves the 500 as it is; a dead grant is said instead."""
    server.get(URL, status=500)
    tokens.failure = ProviderUnavailableError("down")
    with pytest.raises(ProviderUnavailableError, match="answered 500"):
        api.get(URL)
    tokens.failure = NeedsRepairError("dead")
    with pytest.raises(NeedsRepairError):
        api.get(URL)


def test_401_is_renewed(api, tokens, server):
    """A 401 is answered once with a refreshed token; one that stays renews nothing more."""
    server.get(URL, status=401)
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError, match="401 to a fresh token"):
            api.get(URL)
    assert tokens.refreshed == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"Message": "No case with Id 7 could be found"}, "knows nothing"),
        (400, {"message": "Comment not found"}, "knows nothing"),
        (404, {}, "knows nothing"),
        (400, {"Message": "You don't have permission to access case 7"}, "does not show"),
        (400, {"Message": "You don't have permission to access this resource."}, "does not show"),
        (403, {"Message": "No permission for you"}, "does not show"),
    ],
)
def test_refusals_are_told_apart_by_their_text(api, server, status, body, words):
    """Missing and forbidden are both 400: the sentence tells which."""
    server.get(URL, status=status, json=body)
    with pytest.raises(CaseNotFoundError, match=words):
        api.get(URL)


@pytest.mark.parametrize(
    "body", ["", "<html>Bad Request</html>", '{"Message": "Mr Secret has a cold"}', '{"Message": 7}']
)
def test_other_refusals_are_not_shown(api, server, body):
    """A 400 for another reason is an error without the provider's words, which may name a person."""
    server.get(URL, status=400, body=body)
    with pytest.raises(ProviderUnavailableError) as refused:
        api.get(URL)
    assert "Secret" not in str(refused.value) + refused.value.hint


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>Welcome to the hotel</html>"),
        (200, ""),
        (200, "{"),
        (302, ""),
        (502, "<html>"),
        (204, ""),
    ],
)
def test_answers_that_are_not_the_api_s(api, server, status, body):
    """A captive portal, a redirect and a gateway are outages, not cases."""
    server.get(
        URL, status=status, body=body, headers={"Location": "https://evil.test/"} if status == 302 else {}
    )
    with pytest.raises(ProviderUnavailableError):
        api.get(URL)
    assert [call.request.url for call in server.calls] == [URL]


def test_retry_after_is_passed_on(api, server):
    """Whoever has to wait is told how long."""
    server.get(URL, status=429, headers={"Retry-After": "7"})
    with pytest.raises(ProviderUnavailableError) as limited:
        api.get(URL)
    assert limited.value.retry_after == 7


def test_scope_that_is_too_small(api, server):
    """A token without the scope for cases is a matter of settings."""
    server.get(URL, status=403, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
    with pytest.raises(ClientRefusedError):
        api.get(URL)


def test_connection_that_was_just_closed_is_tried_again(api, server):
    """One cut of a kept-alive connection is no outage; two are."""
    from requests.exceptions import ConnectionError as Cut

    server.get(URL, body=Cut("reset"))
    server.get(URL, json={"Id": "1"})
    assert api.get(URL) == {"Id": "1"}
    server.get(URL, body=Cut("reset"))
    server.get(URL, body=Cut("reset"))
    with pytest.raises(ProviderUnavailableError):
        api.get(URL)


def test_server_s_time_is_known(api, server):
    """The server's own time is that of its last answer."""
    server.get(URL, json={}, headers={"Date": "Tue, 03 Mar 2026 12:00:00 GMT"})
    api.get(URL)
    assert api.server_time.isoformat() == "2026-03-03T12:00:00+00:00"
