"""Authorized HTTP for `httpx.Client` and `httpx.AsyncClient`; needs the extra `httpx`."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    ItemsView,
    Iterator,
    KeysView,
    ValuesView,
)
from contextlib import contextmanager
from typing import Any

import httpx

from connector.calls import Scope, in_scope, record_call
from connector.clock import Clock
from connector.communicate.client import origin
from connector.errors import ProviderUnavailableError
from connector.redact import Secret

__all__ = ["AsyncPracticeAuth", "PracticeAuth"]


class _Exchange:
    """One request of a caller: whether it gets the token, when to send it again, and its observers."""

    def __init__(self, request: httpx.Request, origins: Collection[str], scope: Scope) -> None:
        self.gets_token: bool = origin(str(request.url)) in {origin(url) for url in origins}
        self.token = Secret(None)
        self._request = request
        self._scope = scope

    def put(self, token: str) -> None:
        """Put a token on the request."""
        self.token = Secret(token)
        self._request.headers = _BearerHeaders(self._request.headers, self.token)

    def is_refused(self, response: httpx.Response) -> bool:
        """Return whether to send the request again, with a refreshed token."""
        # The response of a redirect's target says nothing about the token; a stream cannot be sent twice.
        refused = response.status_code == 401 and response.request is self._request
        return self.gets_token and refused and isinstance(self._request.stream, httpx.ByteStream)

    @contextmanager
    def observed(self) -> Iterator[Callable[[httpx.Response], object]]:
        """Report to the observers a request that the caller's client sends while the block runs."""
        clock, responses = Clock(), list[httpx.Response]()
        began = clock.monotonic()
        try:
            yield responses.append
        finally:
            response = responses[0] if responses else None
            with in_scope(self._scope):
                record_call(
                    host=(response.request if response else self._request).url.host,
                    status=response.status_code if response else None,
                    # httpx reports the error to the caller only.
                    outcome="answered" if response else "unanswered",
                    seconds=clock.monotonic() - began,
                    date=response.headers.get("Date") if response else None,
                )


class _BearerHeaders(httpx.Headers):
    """Headers whose token is sent and can be read, but is not copied.

    httpx copies the headers of a request to the request that follows a redirect, and would keep the token
    within the origin. An auth is not called for redirects.
    """

    def __init__(self, headers: httpx.Headers, token: Secret) -> None:
        super().__init__([pair for pair in httpx.Headers(headers).raw if pair[0].lower() != b"authorization"])
        self._token = token

    def _with_token(self) -> httpx.Headers:
        whole = httpx.Headers(self)
        whole.setdefault("Authorization", f"Bearer {self._token.reveal()}")
        return whole

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        return self._with_token().raw

    def keys(self) -> KeysView[str]:
        return self._with_token().keys()

    def values(self) -> ValuesView[str]:
        return self._with_token().values()

    def items(self) -> ItemsView[str, str]:
        return self._with_token().items()

    def multi_items(self) -> list[tuple[str, str]]:
        return self._with_token().multi_items()

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:
        return self._with_token().get_list(key, split_commas)

    def __getitem__(self, key: str) -> str:
        return self._with_token()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._with_token()

    def __len__(self) -> int:
        return len(self._with_token())


class PracticeAuth(httpx.Auth):
    """Puts a practice's bearer token on requests to the provider's own origins, and on no others.

    After a 401, a request is sent once more with a refreshed token. A redirect is followed without the token.
    Observers see every request once its response begins; redirects that were followed count as one request.

    Args:
        token: called as `token(rejected)`, returns a valid access token.
        origins: addresses whose origins may see the token.
        scope: the operation and practice that observers see for its requests.
    """

    def __init__(self, token: Callable[[str | None], str], *, origins: Collection[str], scope: Scope) -> None:
        self._token, self._origins, self._scope = token, origins, scope

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with the token."""
        exchange = _Exchange(request, self._origins, self._scope)
        if exchange.gets_token:
            exchange.put(self._token(None))
        with exchange.observed() as record:
            record(response := (yield request))
        if not exchange.is_refused(response):
            return
        try:
            exchange.put(self._token(exchange.token.reveal()))
        except ProviderUnavailableError:
            return  # the caller gets the 401
        with exchange.observed() as record:
            record((yield request))

    def async_auth_flow(self, request: httpx.Request) -> Any:
        """Refuse to block an event loop."""
        raise RuntimeError("use AsyncConnector.httpx_auth with httpx.AsyncClient")


class AsyncPracticeAuth(httpx.Auth):
    """Puts a practice's bearer token on requests, as `PracticeAuth` does, for `httpx.AsyncClient`.

    Args:
        token: awaited as `token(rejected)`.
        origins: awaited; the provider may have to be discovered.
        scope: as for `PracticeAuth`.
    """

    def __init__(
        self,
        token: Callable[[str | None], Awaitable[str]],
        *,
        origins: Callable[[], Awaitable[Collection[str]]],
        scope: Scope,
    ) -> None:
        self._token, self._find_origins, self._scope = token, origins, scope
        self._origins: Collection[str] | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request with the token."""
        if self._origins is None:  # the provider may have to be discovered
            self._origins = await self._find_origins()
        exchange = _Exchange(request, self._origins, self._scope)
        if exchange.gets_token:
            exchange.put(await self._token(None))
        with exchange.observed() as record:
            record(response := (yield request))
        if not exchange.is_refused(response):
            return
        try:
            exchange.put(await self._token(exchange.token.reveal()))
        except ProviderUnavailableError:
            return  # the caller gets the 401
        with exchange.observed() as record:
            record((yield request))

    def sync_auth_flow(self, request: httpx.Request) -> Any:
        """Refuse a client that does not await."""
        raise RuntimeError("use Connector.httpx_auth with httpx.Client")
