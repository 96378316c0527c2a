"""The metadata API's errors: distinguished by their text, one refresh each, no patient data in a message."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from connector.clock import Clock
from connector.communicate.case_reader import CaseReader
from connector.communicate.client import ApiClient
from connector.communicate.regions import ApiRegion
from connector.errors import CaseNotFoundError, ClientRefusedError, NeedsRepairError, ProviderUnavailableError
from tests.support.cases import sound_case
from tests.support.tokens import FakeTokens

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
URL = "https://eumetadata.3shapecommunicate.com/api/cases/1"


@pytest.fixture
def tokens() -> Any:
    return FakeTokens()


@pytest.fixture
def reader(tokens: Any) -> Any:
    api = ApiClient(tokens, origins=[URL], clock=Clock())
    region = ApiRegion(name="europe", api_url=URL.removesuffix("cases/1"))
    return CaseReader(api, region, lab_emails={"lab@x.test"}, find_lab_ids=lambda: {"lab-1"})


@pytest.fixture
def server() -> Iterator[Any]:
    with responses.RequestsMock() as server:
        yield server


def test_500_to_an_old_token_renews_it_once(reader: Any, tokens: Any, server: Any) -> None:
    """A 500 leads to one forced refresh, since some hosts return it for a token that has expired."""
    server.get(URL, status=500, body="An error has occurred.")
    server.get(
        URL, json={"Id": "1"}, match=[responses.matchers.header_matcher({"Authorization": "Bearer AT-1"})]
    )
    assert reader.get("1").id == "1"
    assert tokens.refreshed == 1


def test_500_to_a_fresh_token_is_passed_on(reader: Any, tokens: Any, server: Any) -> None:
    """A 500 that stays is passed on, and later ones renew nothing until there is another token."""
    server.get(URL, status=500, body="An error has occurred.")
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError, match="answered with 500"):
            reader.get("1")
    assert tokens.refreshed == 1
    tokens.number += 1
    with pytest.raises(ProviderUnavailableError):
        reader.get("1")
    assert tokens.refreshed == 2


def test_500_while_the_provider_is_down(reader: Any, tokens: Any, server: Any) -> None:
    """If a refresh is not possible the 500 is passed on; a dead grant is reported instead."""
    server.get(URL, status=500)
    tokens.failure = ProviderUnavailableError("down")
    with pytest.raises(ProviderUnavailableError, match="answered with 500"):
        reader.get("1")
    tokens.failure = NeedsRepairError("dead")
    with pytest.raises(NeedsRepairError):
        reader.get("1")


def test_401_is_renewed(reader: Any, tokens: Any, server: Any) -> None:
    """A 401 is answered once with a refreshed token; one that stays renews nothing more."""
    server.get(URL, status=401)
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError, match="401 to a fresh token"):
            reader.get("1")
    assert tokens.refreshed == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"Message": "No case with Id 7 could be found"}, "does not know"),
        (400, {"message": "Comment not found"}, "does not know"),
        (404, {}, "does not know"),
        (400, {"Message": "You don't have permission to access case 7"}, "does not show"),
        (400, {"Message": "You don't have permission to access this resource."}, "does not show"),
        (403, {"Message": "No permission for you"}, "does not show"),
    ],
)
def test_refusals_are_distinguished_by_their_text(
    reader: Any, server: Any, status: int, body: Any, words: str
) -> None:
    """Missing and forbidden are both 400: the sentence distinguishes them."""
    server.get(URL, status=status, json=body)
    with pytest.raises(CaseNotFoundError, match=words):
        reader.get("1")


@pytest.mark.parametrize(
    "body", ["", "<html>Bad Request</html>", '{"Message": "Mr Secret has a cold"}', '{"Message": 7}']
)
def test_other_refusals_are_not_shown(reader: Any, server: Any, body: str) -> None:
    """A 400 for another reason is an error without the provider's words, which may name a person."""
    server.get(URL, status=400, body=body)
    with pytest.raises(ProviderUnavailableError) as refused:
        reader.get("1")
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
def test_responses_of_other_servers_are_outages(reader: Any, server: Any, status: int, body: str) -> None:
    """A captive portal, a redirect and a gateway are outages, not cases."""
    server.get(
        URL, status=status, body=body, headers={"Location": "https://evil.test/"} if status == 302 else {}
    )
    with pytest.raises(ProviderUnavailableError):
        reader.get("1")
    assert [call.request.url for call in server.calls] == [URL]


def test_retry_after_is_passed_on(reader: Any, server: Any) -> None:
    """The error has the number of seconds to wait."""
    server.get(URL, status=429, headers={"Retry-After": "7"})
    with pytest.raises(ProviderUnavailableError) as limited:
        reader.get("1")
    assert limited.value.retry_after == 7


def test_scope_that_is_too_small(reader: Any, server: Any) -> None:
    """A token without the scope for cases is a matter of settings."""
    server.get(URL, status=403, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
    with pytest.raises(ClientRefusedError):
        reader.get("1")


def test_a_request_is_not_repeated_in_an_outage(reader: Any, server: Any) -> None:
    """Only a kept connection that turns out to be closed is no outage; without one nothing is sent again."""
    server.get(URL, body=requests.ConnectionError("reset"))
    with pytest.raises(ProviderUnavailableError):
        reader.get("1")
    assert len(server.calls) == 1


def test_servers_time_is_that_of_its_last_response(reader: Any, server: Any) -> None:
    """The server's own time is that of its last response."""
    server.get(URL, json={"Id": "1"}, headers={"Date": "Tue, 03 Mar 2026 12:00:00 GMT"})
    reader.get("1")
    assert reader.api.server_time.isoformat() == "2026-03-03T12:00:00+00:00"


@pytest.mark.parametrize("response", ["null", "{}", '{"Cases": {}}', '"text"'])
def test_response_that_is_not_a_list(reader: Any, server: Any, response: str) -> None:
    """A response that is not a page of cases is reported as the server's fault."""
    server.get(f"{reader.region.api_url}cases", body=response)
    with pytest.raises(ProviderUnavailableError, match="not a case"):
        reader.page(0, None, None)
    server.get(f"{reader.region.api_url}updatedcases", body=response)
    with pytest.raises(ProviderUnavailableError, match="not a case"):
        reader.updated(NOON)


def test_version_other_than_the_requested_one_is_ignored(reader: Any, server: Any) -> None:
    """A server that gives its newest version for every number does not make one event of it for each."""
    server.get(f"{URL}/version/2", json={"Id": "1", "Version": 7})
    assert reader.find("1", 2) is None
    server.replace("GET", f"{URL}/version/2", json={"Id": "1"})
    assert reader.find("1", 2).version == 0


@pytest.mark.parametrize("case_id", ["", "..", "a/b", "a?b", "a b", "%2e", "é"])
def test_ids_that_would_change_the_address(reader: Any, case_id: str) -> None:
    """An invalid id is refused before it becomes part of an address."""
    with pytest.raises(CaseNotFoundError):
        reader.get(case_id)


@pytest.mark.parametrize("ahead", [True, False])
def test_now_is_never_ahead_of_either_clock(reader: Any, server: Any, ahead: bool) -> None:
    """The provider's time counts if it is behind ours; a wrong one from the future does not."""
    date = "Tue, 03 Mar 2099 12:00:00 GMT" if ahead else "Tue, 03 Mar 2026 12:00:00 GMT"
    server.get(URL, json={"Id": "1"}, headers={"Date": date})
    reader.get("1")
    assert (reader.now() == NOON) is not ahead
    assert reader.now() <= datetime.now(UTC)
    assert reader.latest() > NOON


PRACTICE = {"Id": "p", "Email": "front@practice.test"}


@pytest.mark.parametrize(
    ("actors", "creator", "shared", "asked"),
    [
        ([PRACTICE, {"Id": "L", "Email": "Lab@x.test"}], "p", True, 0),
        ([PRACTICE, {"Id": "other", "Email": "other@lab.test"}], "p", False, 0),
        ([PRACTICE, {"Id": "LAB-1", "Email": ""}], "p", True, 1),
        ([PRACTICE, {"Id": "other"}], "p", False, 1),
        ([PRACTICE], "lab-1", True, 1),
        ([], None, False, 0),
    ],
)
def test_lab_is_recognised_by_address_or_id(
    tokens: Any, actors: Any, creator: str | None, shared: bool, asked: int
) -> None:
    """The users API is asked for the labs' ids only if an address cannot decide, and once."""
    calls = iter(range(1, 9))
    reader = CaseReader(
        ApiClient(tokens, origins=[], clock=Clock()),
        ApiRegion(name="europe", api_url=URL),
        lab_emails={"lab@x.test"},
        find_lab_ids=lambda: {f"lab-{next(calls)}"},
    )
    case = sound_case({"Id": "c", "Actors": actors, "CreatorId": creator})
    assert [reader.is_shared(case) for _ in range(2)] == [shared] * 2
    assert next(calls) == asked + 1


def test_region_is_confirmed_if_nothing_is_found(tokens: Any, server: Any) -> None:
    """A wrong region responds like an empty one: the current one is looked up once, and used instead."""
    asked: list[ApiRegion] = []
    other = ApiRegion(name="americas", api_url="https://am.test/api/")
    api = ApiClient(tokens, origins=[URL, other.api_url], clock=Clock())
    region = ApiRegion(name="europe", api_url=URL.removesuffix("cases/1"))

    def resolve() -> ApiRegion:
        asked.append(other)
        return other

    reader = CaseReader(api, region, lab_emails=set(), find_lab_ids=set, resolve=resolve)
    server.get(f"{region.api_url}updatedcases", json=[])
    server.get(f"{other.api_url}updatedcases", json=[{"Id": "7"}])
    assert [case.id for case in reader.updated(NOON)] == ["7"]
    server.replace("GET", f"{other.api_url}updatedcases", json=[])
    assert reader.updated(NOON) == []
    assert (len(asked), reader.region.name) == (1, "americas")
