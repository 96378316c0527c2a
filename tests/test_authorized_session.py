"""The session that stays authorized as one practice."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.exceptions import InvalidSchema, RequestException

from connector.authorized_session import AuthorizedSession
from connector.calls import Scope
from connector.communicate.client import origin
from connector.errors import NeedsRepairError
from connector.observers import Observers
from tests.support.forks import fork
from tests.support.responses import ResponseServer, json_response, numbered, raw_response, serving
from tests.support.tokens import FakeTokens

UNAUTHORIZED = raw_response(status=401, WWW_Authenticate="Bearer")


def session(*origins: str, tokens: Any = None) -> AuthorizedSession:
    """A session that may show its token to these origins."""
    return AuthorizedSession(
        tokens or FakeTokens(), origins=origins, scope=Scope("session", "p", Observers("an observer"))
    )


def shown(server: ResponseServer) -> list[str | None]:
    """The Authorization header of each request."""
    return [request.headers.get("Authorization") for request in server.requests]


def test_the_token_goes_to_the_providers_origins() -> None:
    """A request to one of the origins carries the bearer token, whatever its path."""
    found = json_response({"Id": "1"}, Set_Cookie="seen=1")
    with serving(found) as server, session(f"{server.url}/metadata/europe") as http:
        response = http.get(f"{server.url}/api/users/me")
        assert (response.json(), response.cookies.get_dict()) == ({"Id": "1"}, {"seen": "1"})
        assert http.request("GET", f"{server.url}/api/cases", params={"page": 0}).ok
    assert shown(server) == ["Bearer AT-0"] * 2


def test_no_other_origin_gets_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another origin, if only another port, gets an ordinary request, and nothing of .netrc."""
    (tmp_path / "netrc").write_text("default login somebody password private\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(raw_response()) as own, serving(UNAUTHORIZED) as other, session(own.url) as http:
        assert http.get(other.url).status_code == 401
    assert shown(other) == [None]


@pytest.mark.parametrize(
    "form", ["http://127.0.0.1:{0}\\@127.0.0.1:{1}/", "http://127.0.0.1:{0}#@127.0.0.1:{1}/"]
)
def test_an_address_with_two_meanings_does_not_leak_the_token(form: str) -> None:
    """If parsers disagree on the host, the one that is connected to decides."""
    with serving(raw_response()) as own, serving(raw_response()) as trap, session(own.url) as http:
        ports = [server.server_address[1] for server in (trap, own)]
        try:
            http.get(form.format(*ports))
        except RequestException:
            assert trap.requests == []
    assert shown(trap) in ([], [None])


def test_a_redirect_within_the_origin_is_followed_without_the_token() -> None:
    """A redirect of the provider's leads to no authorized request, nor to a renewed token after a 401."""
    tokens = FakeTokens()
    with serving(UNAUTHORIZED, raw_response(status=302, Location="/x"), UNAUTHORIZED) as own:
        with session(own.url, tokens=tokens) as http:
            assert http.get(own.url).status_code == 401
    assert shown(own) == ["Bearer AT-0", "Bearer AT-1", None]
    assert tokens.refreshed == 1


def test_a_redirect_is_followed_without_the_token() -> None:
    """The target of a redirect sees no token, though it is another of the origins that may."""
    with serving(UNAUTHORIZED) as target:
        with serving(raw_response(status=302, Location=target.url)) as own:
            tokens = FakeTokens()
            with session(own.url, target.url, tokens=tokens) as http:
                assert http.get(own.url).status_code == 401
    assert (shown(own), shown(target)) == (["Bearer AT-0"], [None])
    assert tokens.refreshed == 0


def test_a_refused_token_is_refreshed_once() -> None:
    """A 401 is answered with a new token; a second one is the caller's."""
    with serving(UNAUTHORIZED, raw_response("fine")) as server, session(server.url) as http:
        assert http.get(server.url).text == "fine"
    assert shown(server) == ["Bearer AT-0", "Bearer AT-1"]
    with serving(UNAUTHORIZED) as server, session(server.url) as http:
        assert http.get(server.url).status_code == 401
    assert shown(server) == ["Bearer AT-0", "Bearer AT-1"]


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"a": 1}},
        {"data": {"a": "b"}},
        {"data": b"bytes"},
        {"files": {"model": ("a.xml", io.BytesIO(b"x"))}},
    ],
    ids=["json", "form", "bytes", "files"],
)
def test_a_request_is_repeated_with_its_whole_body(sent: dict[str, Any]) -> None:
    """The second request has the whole body of the first."""
    with serving(UNAUTHORIZED, raw_response()) as server, session(server.url) as http:
        assert http.post(server.url, **sent).ok
    first, second = server.requests
    assert first.body == second.body != b""


def test_a_stream_is_not_sent_twice() -> None:
    """A body that is read while it is sent cannot be repeated: the 401 is the caller's."""
    with serving(UNAUTHORIZED) as server, session(server.url) as http:
        assert http.post(server.url, data=io.BytesIO(b"stream")).status_code == 401
    assert len(server.requests) == 1


def test_a_caller_may_authorize_differently() -> None:
    """An explicit auth= is kept, and is not replaced after a 401."""
    with serving(UNAUTHORIZED) as server, session(server.url) as http:
        assert http.get(server.url, auth=("user", "made-up")).status_code == 401
    assert len(server.requests) == 1
    assert (shown(server)[0] or "").startswith("Basic ")


def test_a_dead_grant_is_reported() -> None:
    """If no token can be obtained, the reason reaches the caller and nothing is sent."""

    def dead(refresh: bool) -> str:
        raise NeedsRepairError("the grant is dead")

    with serving(raw_response()) as server, session(server.url, tokens=dead) as http:
        with pytest.raises(NeedsRepairError):
            http.get(server.url)
    assert server.requests == []


def test_a_refusal_is_returned_if_no_other_token_is_available() -> None:
    """If an API rejects a token that was just refreshed, the caller gets its whole 401."""
    refused = raw_response("not for you", status=401, WWW_Authenticate="Bearer")
    with serving(refused, refused, refused) as server, session(server.url) as http:
        assert http.get(server.url).status_code == 401
        assert http.get(server.url).text == "not for you"
    assert shown(server) == ["Bearer AT-0", "Bearer AT-1", "Bearer AT-1"]


def test_a_prepared_request_is_authorized_too() -> None:
    """The other way to send, of a prepared request, does not go out without the token."""
    with serving(UNAUTHORIZED, raw_response("fine")) as server, session(server.url) as http:
        prepared = http.prepare_request(requests.Request("GET", server.url))
        assert http.send(prepared).text == "fine"
    assert shown(server) == ["Bearer AT-0", "Bearer AT-1"]


def test_a_large_response_can_be_streamed() -> None:
    """Scans are larger than any response of the token endpoint, and are not kept in memory."""
    with serving(raw_response(bytes(3 << 20))) as server, session(server.url) as http:
        with http.get(server.url, stream=True) as response:
            assert sum(len(chunk) for chunk in response.iter_content(65536)) == 3 << 20


def test_the_token_leaves_over_tls_only() -> None:
    """The provider's host over plain http is another origin, and is not spoken to."""
    tokens = FakeTokens()
    with session("https://users.example.test", tokens=tokens) as http, pytest.raises(InvalidSchema):
        http.get("http://users.example.test/api/users/me")


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://Users.example.test:443/x?y#z", "https://users.example.test"),
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
    ],
)
def test_an_origin_has_one_spelling(url: str, same: str) -> None:
    """Case, default port, path and query do not make another origin."""
    assert origin(url) == origin(same)


def test_forked_children_do_not_get_each_others_responses() -> None:
    """A session that was used before a fork works in the parent, and opens a connection in each child."""
    with serving(numbered) as server, session(server.url) as http:
        seen = [http.get(server.url).text]
        reading, writing = os.pipe()
        for _ in range(2):
            assert fork(lambda: os.write(writing, http.get(server.url).text.encode()))() == 0
            seen.append(os.read(reading, 100).decode())
        assert http.get(server.url).text == seen[0]
        assert len(set(seen)) == 3
