"""Authorized HTTP for `httpx.Client` and `httpx.AsyncClient`; needs the extra `httpx`."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    ItemsView,
    KeysView,
    ValuesView,
)
from typing import Any

import httpx

from connector.communicate.client import origin
from connector.errors import ProviderUnavailableError
from connector.redact import Secret

__all__ = ["AsyncPracticeAuth", "PracticeAuth"]

_Flow = Generator[httpx.Request, httpx.Response, None]


class _Authorization:
    """What both clients have in common: who may see the token, and when a request is sent again."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin(url) for url in origins)

    def may_see_token(self, request: httpx.Request) -> bool:
        return origin(str(request.url)) in self._origins

    def put(self, request: httpx.Request, token: Secret) -> None:
        request.headers = _BearerHeaders(request.headers, token)

    def is_repeatable(self, request: httpx.Request, response: httpx.Response) -> bool:
        # The answer of a redirect's target says nothing of the token; a stream cannot be sent twice.
        refused = response.status_code == 401 and response.request is request
        return refused and isinstance(request.stream, httpx.ByteStream)


class _BearerHeaders(httpx.Headers):
    """Headers with a token that is sent and can be read, but is not copied.

    httpx copies the headers of a request for the redirect that answers it, and would keep the token within
    the origin. An auth is not asked about redirects.
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

    A 401 is answered once with a renewed token. A redirect is followed without the token.

    Args:
        token: called as `token(rejected)`, returns a valid access token.
        origins: addresses whose origins may see the token.
    """

    def __init__(self, token: Callable[[str | None], str], *, origins: Collection[str]) -> None:
        self._token = token
        self._authorization = _Authorization(origins)

    def sync_auth_flow(self, request: httpx.Request) -> _Flow:
        """Send a request with the token."""
        if not self._authorization.may_see_token(request):
            yield request
            return
        token = Secret(self._token(None))
        self._authorization.put(request, token)
        response = yield request
        if not self._authorization.is_repeatable(request, response):
            return
        try:
            renewed = Secret(self._token(token.reveal()))
        except ProviderUnavailableError:
            return  # the caller gets the 401
        self._authorization.put(request, renewed)
        yield request

    def async_auth_flow(self, request: httpx.Request) -> Any:
        """Refuse to block an event loop."""
        raise RuntimeError("use AsyncConnector.httpx_auth with httpx.AsyncClient")


class AsyncPracticeAuth(httpx.Auth):
    """The same for `httpx.AsyncClient`.

    Args:
        token: awaited as `token(rejected)`, returns a valid access token.
        origins: awaited, returns the addresses whose origins may see the token.
    """

    def __init__(
        self,
        token: Callable[[str | None], Awaitable[str]],
        *,
        origins: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._token = token
        self._origins = origins
        self._authorization: _Authorization | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request with the token."""
        if self._authorization is None:  # the provider may have to be discovered
            self._authorization = _Authorization(await self._origins())
        if not self._authorization.may_see_token(request):
            yield request
            return
        token = Secret(await self._token(None))
        self._authorization.put(request, token)
        response = yield request
        if not self._authorization.is_repeatable(request, response):
            return
        try:
            renewed = Secret(await self._token(token.reveal()))
        except ProviderUnavailableError:
            return  # the caller gets the 401
        self._authorization.put(request, renewed)
        yield request

    def sync_auth_flow(self, request: httpx.Request) -> _Flow:
        """Refuse a client that does not await."""
        raise RuntimeError("use Connector.httpx_auth with httpx.Client")
