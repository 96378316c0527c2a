"""Authorized HTTP for httpx: the token goes to the provider's own origins, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from connector import AsyncConnector, Connector
from connector.calls import Scope
from connector.httpx_auth import AsyncPracticeAuth, PracticeAuth
from connector.observers import Call, Observers
from tests.support.connecting import connect
from tests.support.forks import fork
from tests.support.responses import Received, ResponseServer, raw_response, running
from tests.support.sandbox import RunningSandbox

PRACTICE = "practice-42"


class FakeApi(ResponseServer):
    """Responds 401 to the token "old" and to /no, and redirects /to?ADDRESS."""

    def note(self, request: Received) -> bytes:
        self.requests.append(request)
        path, _, target = request.line.split()[1].partition("?")
        if path == "/to":
            return raw_response(status=302, Location=target)
        refused = path == "/no" or request.headers.get("Authorization") == "Bearer old"
        return raw_response(status=401 if refused else 200, Date=formatdate(usegmt=True))

    @property
    def shown(self) -> list[str | None]:
        """The Authorization header of each request, in order."""
        return [request.headers.get("Authorization") for request in self.requests]


@pytest.fixture
def apis() -> Iterator[tuple[FakeApi, FakeApi]]:
    """The provider's API, and a stranger's."""
    with running(FakeApi()) as own, running(FakeApi()) as stranger:
        yield own, stranger


class Tokens:
    """Returns "old", and "new" once that is rejected; records the calls."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def __call__(self, rejected: str | None) -> str:
        self.asked.append(rejected)
        return "new" if "old" in self.asked else "old"


def scope(*observers: Callable[[Call], object]) -> Scope:
    """Return the scope of the requests, with its observers."""
    calls = Observers[Call]("an observer")
    for observer in observers:
        calls.add(observer)
    return Scope("httpx_auth", PRACTICE, calls)


def ask(
    kind: str,
    tokens: Tokens,
    origin: str,
    url: str,
    method: str = "GET",
    observers: Sequence[Callable[[Call], object]] = (),
    **options: Any,
) -> int:
    """Send a request with one of the two clients; return the status."""
    known = scope(*observers)
    if kind == "sync":
        with httpx.Client(auth=PracticeAuth(tokens, origins=[origin], scope=known)) as client:
            return client.request(method, url, **options).status_code

    async def token(rejected: str | None) -> str:
        return tokens(rejected)

    async def origins() -> list[str]:
        return [origin]

    async def send() -> int:
        async with httpx.AsyncClient(auth=AsyncPracticeAuth(token, origins=origins, scope=known)) as client:
            return (await client.request(method, url, **options)).status_code

    return asyncio.run(send())


both_clients = pytest.mark.parametrize("kind", ["sync", "async"])


@both_clients
@pytest.mark.parametrize("body", [{}, {"json": {"a": 1}}, {"content": b"abc"}])
def test_401_is_answered_once_with_a_renewed_token(
    kind: str, body: Any, apis: tuple[FakeApi, FakeApi]
) -> None:
    """The rejected token is passed on, so that one refresh is enough for all rejected requests."""
    tokens, method = Tokens(), "POST" if body else "GET"
    assert ask(kind, tokens, apis[0].url, f"{apis[0].url}/x", method, **body) == 200
    assert apis[0].shown == ["Bearer old", "Bearer new"]
    assert tokens.asked == [None, "old"]


@both_clients
def test_observers_get_each_request(kind: str, apis: tuple[FakeApi, FakeApi]) -> None:
    """Also of the one that was refused, with its own status."""
    calls: list[Call] = []
    ask(kind, Tokens(), apis[0].url, f"{apis[0].url}/x", observers=[calls.append])
    assert [call.status for call in calls] == [401, 200]
    assert {(call.operation, call.practice_id, call.host) for call in calls} == {
        ("httpx_auth", PRACTICE, "127.0.0.1")
    }
    assert {call.outcome for call in calls} == {"answered"}
    assert all(call.seconds > 0 and call.clock_skew is not None for call in calls)


@both_clients
def test_observers_get_a_request_without_a_response(kind: str) -> None:
    """Its error is the caller's; the observers see that there was no response."""
    calls: list[Call] = []
    with pytest.raises(httpx.ConnectError):
        ask(kind, Tokens(), "http://127.0.0.1:1", "http://127.0.0.1:1/x", observers=[calls.append])
    assert [(call.outcome, call.status, call.host) for call in calls] == [("unanswered", None, "127.0.0.1")]


@both_clients
def test_second_401_is_returned_to_the_caller(kind: str, apis: tuple[FakeApi, FakeApi]) -> None:
    """Nothing is renewed twice for one request."""
    assert ask(kind, Tokens(), apis[0].url, f"{apis[0].url}/no") == 401
    assert len(apis[0].shown) == 2


@both_clients
def test_no_other_origin_sees_the_token(kind: str, apis: tuple[FakeApi, FakeApi]) -> None:
    """Neither to another port nor to an address with two hosts; no token is requested."""
    tokens, (own, stranger) = Tokens(), apis
    assert ask(kind, tokens, own.url, f"{stranger.url}/x") == 200
    assert tokens.asked == []
    ask(kind, tokens, own.url, f"{stranger.url}\\@{own.url[7:]}/x")
    assert set(stranger.shown) == {None}


@both_clients
@pytest.mark.parametrize("target", ["/x", "/no"])
def test_redirect_within_the_origin_carries_no_token(
    kind: str, target: str, apis: tuple[FakeApi, FakeApi]
) -> None:
    """A redirect of the provider's (an open redirect, a proxy) leads to no authorized request."""
    tokens, own = Tokens(), apis[0]
    ask(kind, tokens, own.url, f"{own.url}/to?{target}", follow_redirects=True)
    assert own.shown == ["Bearer old", None]
    assert tokens.asked == [None]


def test_token_can_be_read_from_the_request_that_was_sent(apis: tuple[FakeApi, FakeApi]) -> None:
    """Event hooks and transports see the headers as they are sent, and may add to them."""
    seen: list[httpx.Headers] = []

    def hook(request: httpx.Request) -> None:
        request.headers["X-Trace"] = "7"
        seen.append(request.headers)

    auth = PracticeAuth(Tokens(), origins=[apis[0].url], scope=scope())
    with httpx.Client(auth=auth, event_hooks={"request": [hook]}) as client:
        client.get(f"{apis[0].url}/to?/x", follow_redirects=True)
    sent, redirected = seen
    names = [name.decode().lower() for name, _ in sent.raw]
    assert list(sent) == names == [name for name, _ in sent.items()]
    assert sent.get("authorization") == sent.get_list("Authorization")[0] == "Bearer old"
    assert ("x-trace", "7") in sent.multi_items()
    assert "Bearer old" in sent.values()
    assert "old" not in repr(sent)
    assert "authorization" in sent
    assert "authorization" not in redirected


@both_clients
def test_redirect_carries_no_token(kind: str, apis: tuple[FakeApi, FakeApi]) -> None:
    """A stranger's 401 behind a redirect renews nothing."""
    tokens, (own, stranger) = Tokens(), apis
    url = f"{own.url}/to?{stranger.url}/no"
    assert ask(kind, tokens, own.url, url, follow_redirects=True) == 401
    assert stranger.shown == [None]
    assert tokens.asked == [None]


def test_body_that_can_be_sent_once_is_not_sent_again(apis: tuple[FakeApi, FakeApi]) -> None:
    """The caller gets the 401 of a streamed request."""
    own, body = apis[0], iter([b"abc"])
    sent = {"Content-Length": "3"}
    assert ask("sync", Tokens(), own.url, f"{own.url}/x", "POST", content=body, headers=sent) == 401
    assert own.shown == ["Bearer old"]


def test_wrong_client_is_refused(apis: tuple[FakeApi, FakeApi]) -> None:
    """Neither blocks an event loop, nor leaves a coroutine behind."""
    auth = PracticeAuth(Tokens(), origins=[apis[0].url], scope=scope())

    async def send() -> None:
        async with httpx.AsyncClient(auth=auth) as client:
            await client.get(apis[0].url)

    with pytest.raises(RuntimeError, match="AsyncConnector.httpx_auth"):
        asyncio.run(send())
    assert apis[0].shown == []


# --- with a connector


@pytest.fixture
def connector(connector: Connector, sandbox: RunningSandbox) -> Connector:
    connect(connector, sandbox, PRACTICE)
    return connector


def test_client_of_a_connector(connector: Connector) -> None:
    """It is let in by the provider's own API, awaited or not."""
    url = connector.token_origins()[0]

    async def send() -> httpx.Request:
        async with httpx.AsyncClient(auth=AsyncConnector(connector).httpx_auth(PRACTICE)) as client:
            return (await client.get(url)).request

    with httpx.Client(auth=connector.httpx_auth(PRACTICE)) as client:
        sent = [client.get(url).request, asyncio.run(send())]
    authorized = f"Bearer {connector.access_token(PRACTICE)}"
    assert [request.headers["Authorization"] for request in sent] == [authorized] * 2


def test_auth_made_before_a_fork_works_after_it(connector: Connector) -> None:
    """A server may load its application first."""
    auth, url = connector.httpx_auth(PRACTICE), connector.token_origins()[0]

    def serve() -> None:
        connector.refresh(PRACTICE, force=True)
        with httpx.Client(auth=auth) as client:
            assert "Authorization" in client.get(url).request.headers

    assert fork(serve)() == 0
