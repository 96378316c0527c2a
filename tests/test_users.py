"""The users API as lab connections need it: spellings, refusals, and addresses that decide alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connector.clock import Clock
from connector.communicate.users import UsersApi, probe_token, read_account
from connector.errors import (
    ClientRefusedError,
    ConnectorError,
    LabConnectionNotFoundError,
    ProviderUnavailableError,
)
from connector.oauth.presets import PRESETS
from connector.oauth.provider import Provider
from tests.support.frames import secrets_in_frames
from tests.support.responses import ResponseServer, json_response, raw_response, serving
from tests.support.tokens import FakeTokens

LAB = "insignia.support@ormco.com"
ME = {"Id": "ME-1", "Email": "front.desk@practice.test", "Connections": []}


def api(server: ResponseServer, tokens: FakeTokens | None = None) -> UsersApi:
    provider = replace(PRESETS["sandbox"], users_url=server.url)
    return UsersApi(provider, tokens or FakeTokens(), clock=Clock())


def asked(server: ResponseServer) -> list[str]:
    return [request.line.removesuffix(" HTTP/1.1") for request in server.requests]


ROWS: list[tuple[dict[str, Any], tuple[str, str, bool, bool]]] = [
    (
        {"InviterUserId": "me-1", "RemoteUserId": "L", "RemoteUserEmail": LAB, "ConnectionAccepted": False},
        ("L", LAB, False, False),
    ),
    (
        {"inviterUserId": "L", "inviterUserEmail": LAB, "remoteUserId": "ME-1", "connectionAccepted": True},
        ("L", LAB, True, True),
    ),
    (
        {"InviterUserEmail": "Front.Desk@Practice.test", "RemoteUser": {"Id": "L", "Email": LAB}},
        ("L", LAB, False, False),
    ),
    ({"InviterUser": {"Id": "L", "Email": LAB}, "RemoteUserId": "ME-1"}, ("L", LAB, False, True)),
]


@pytest.mark.parametrize(("row", "seen"), ROWS)
def test_partner_of_a_connection(row: dict[str, Any], seen: tuple[str, str, bool, bool]) -> None:
    """The other side is found in every spelling and on either side of a connection."""
    with serving(json_response(ME | {"Connections": [row | {"Id": "c-1"}, {"odd": 1}, None]})) as server:
        (partner,) = api(server).me().connections
    assert (partner.id, partner.email, partner.accepted, partner.asked_us) == seen


@pytest.mark.parametrize("body", [[], "x", {}, {"Id": ""}, ME | {"Connections": None}])
def test_response_that_is_not_a_user(body: object) -> None:
    """A response that is no user is not taken for one; a user without connections has none."""
    with serving(json_response(body)) as server:
        if isinstance(body, dict) and body.get("Id"):
            assert api(server).me().connections == ()
            return
        with pytest.raises(ProviderUnavailableError, match="not a user"):
            api(server).me()


def test_lab_by_exact_address() -> None:
    """Of several labs of one name the address decides, whatever its case; a name never does."""
    found = [
        {"Id": "1", "Name": "Ormco Corporation", "Email": "Insignia.SupportAsia@ormco.com", "Roles": ["Lab"]},
        {"Id": "2", "Name": "Ormco Corporation", "Email": "Insignia.Support@ormco.com", "Roles": ["Clinic"]},
        {"Id": "3", "Name": "Ormco Corporation", "Email": "Insignia.Support@ormco.com", "Roles": ["Lab"]},
    ]
    with serving(raw_response("not here", 404), json_response(found)) as server:
        assert api(server).lab_id(LAB) == "3"
    assert asked(server) == [
        f"GET /api/users/{LAB}",
        "GET /api/users/search?searchString=insignia.support%40ormco.com",
    ]


@pytest.mark.parametrize("found", [[], {}, None, [{"Id": "1", "Email": "other@ormco.com"}], [{"Email": LAB}]])
def test_lab_that_is_not_found(found: object) -> None:
    """A response about another user is not accepted."""
    with serving(json_response({"Id": "9", "Email": "other@ormco.com"}), json_response(found)) as server:
        assert api(server).lab_id(LAB) is None


REFUSALS: list[tuple[bytes, type[ConnectorError], str]] = [
    (
        json_response({"Message": "The connection already exists."}, 400),
        LabConnectionNotFoundError,
        "already exists",
    ),
    (raw_response("<html>", 404), LabConnectionNotFoundError, "status 404"),
    (raw_response("nope", 405), LabConnectionNotFoundError, "refused: nope"),
    (json_response({"message": "No."}, 403), ClientRefusedError, "does not allow this: No."),
    (raw_response("", 429, Retry_After="7"), ProviderUnavailableError, "429"),
    (raw_response("", 302, Location="https://other.test/"), ProviderUnavailableError, "302"),
    (raw_response("", 502), ProviderUnavailableError, "502"),
    (b"", ProviderUnavailableError, "cut"),
]


@pytest.mark.parametrize(("refusal", "error", "words"), REFUSALS)
def test_refused_request(refusal: bytes, error: type[ConnectorError], words: str) -> None:
    """A request that is refused, or whose fate is not known, says so and is not sent again."""
    with serving(refusal) as server, pytest.raises(error, match=words) as caught:
        api(server).request_connection("a/b", "c")
    assert asked(server) == ["POST /api/users/a%2Fb/requestconnection/c"]
    assert getattr(caught.value, "retry_after", None) in (None, 7)


@pytest.mark.parametrize("status", [401, 500])
def test_expired_token(status: int) -> None:
    """A token that is not taken any more is refreshed once; some hosts say 500 to it."""
    tokens = FakeTokens()
    with serving(raw_response("", status), json_response(ME)) as server:
        assert api(server, tokens).me().account.id == "ME-1"
    assert tokens.refreshed == 1
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer AT-0", "Bearer AT-1"]


def test_html_is_no_response() -> None:
    """The login page of a network is not taken for an account."""
    with serving(raw_response("<html>Welcome</html>")) as server:
        with pytest.raises(ProviderUnavailableError, match="not JSON"):
            api(server).me()


@pytest.mark.parametrize(
    ("call", "given"),
    [
        *(
            (read_account, given)
            for given in (b"", raw_response(status=401), raw_response("x", 500), json_response({}))
        ),
        *((probe_token, given) for given in (b"", raw_response(status=429), raw_response(status=503))),
    ],
)
def test_no_local_variable_holds_the_token_when_an_error_is_raised(call: Any, given: bytes) -> None:
    """A reporter that collects local variables does not get the token that was shown to the API."""
    with serving(given) as server, pytest.raises(ConnectorError) as caught:
        call(Provider(name="test", users_url=server.url), "AT-made-up", clock=Clock())
    assert secrets_in_frames(caught.value, "AT-made-up") == []
