"""A `requests.Session` that stays authorized as one practice."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from connector.oauth.http import LARGE_LISTS, BearerAuth, Transport

__all__ = ["AuthorizedSession", "origin"]


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, in one spelling."""
    parts = urlsplit(url.lower())
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


class AuthorizedSession(requests.Session):
    """Sends the practice's bearer token to the provider's own origins, and to nobody else.

    A 401 is answered once with a refreshed token. Redirects are followed without the token.

    Args:
        token: returns a valid access token; called with True to have it refreshed first.
        origins: addresses whose origins may see the token.
    """

    def __init__(self, token: Callable[[bool], str], *, origins: Collection[str]) -> None:
        super().__init__()
        self.auth = _PracticeAuth(token, frozenset(origin(url) for url in origins))
        self.mount("https://", Transport(LARGE_LISTS))
        self.mount("http://", Transport(LARGE_LISTS))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Take the token off a redirected request, whatever its host."""
        prepared_request.headers.pop("Authorization", None)


class _PracticeAuth(AuthBase):
    def __init__(self, token: Callable[[bool], str], origins: frozenset[str]) -> None:
        self._token = token
        self._origins = origins

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # The prepared address, not the caller's: in https://evil.example\@users… the parsers see two hosts.
        if origin(request.url or "") in self._origins:
            BearerAuth(self._token(False))(request)
            renewal = _Renewal(self._token, request.headers["Authorization"])
            request.register_hook("response", renewal)  # type: ignore[no-untyped-call]
        return request


class _Renewal:
    """A response hook that sends a request once more, with a refreshed token, after a 401."""

    def __init__(self, token: Callable[[bool], str], sent: str | bytes) -> None:
        self._token = token
        self._sent = sent

    def __call__(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        request = response.request
        # After a redirect the hook is still there, but the token is not, and stays away.
        ours = request.headers.get("Authorization") == self._sent
        # A stream or a file cannot be sent a second time.
        repeatable = isinstance(request.body, str | bytes | None)
        if response.status_code != 401 or not ours or not repeatable:
            return response
        response.close()
        again = BearerAuth(self._token(True))(request.copy())
        answer: requests.Response = response.connection.send(again, **kwargs)
        answer.history.append(response)
        return answer
