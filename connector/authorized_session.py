"""`Connector.session`: a `requests.Session` that stays authorized as one practice."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import requests
from requests.auth import AuthBase

from connector.calls import Scope, in_scope
from connector.communicate.client import Token, origin
from connector.errors import ProviderUnavailableError
from connector.oauth.http import LARGE_LISTS, BearerAuth, Transport
from connector.redact import Secret

__all__ = ["AuthorizedSession"]


class AuthorizedSession(requests.Session):
    """Sends the practice's bearer token to the provider's own origins, and to no others.

    After a 401, a request is sent once more with a refreshed token. Redirects are followed without the token.

    Args:
        token: called as `token(rejected)`, returns a valid access token; `rejected` is one that an API has
            rejected with 401, or None.
        origins: addresses whose origins may see the token.
        scope: the operation and practice that observers see for its requests.
    """

    def __init__(self, token: Token, *, origins: Collection[str], scope: Scope) -> None:
        super().__init__()
        self._scope = scope
        self.auth: AuthBase = _PracticeAuth(token, frozenset(origin(url) for url in origins))
        self.mount("https://", _ObservedTransport(scope))
        self.mount("http://", _ObservedTransport(scope))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Remove the token from every redirected request, even to the same host."""
        prepared_request.headers.pop("Authorization", None)


class _ObservedTransport(Transport):
    """A transport that attributes requests to a practice's session unless a library call makes them."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(LARGE_LISTS)
        self._scope = scope

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; see `Transport`."""
        with in_scope(self._scope):
            return super().send(*args, **kwargs)


class _PracticeAuth(AuthBase):
    def __init__(self, token: Token, origins: frozenset[str]) -> None:
        self._token = token
        self._origins = origins

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # The prepared address, not the caller's: in https://evil.example\@users… the parsers see two hosts.
        if origin(request.url or "") in self._origins:
            token = Secret(self._token(None))
            BearerAuth(token)(request)
            retry = partial(self._retry, token)
            request.register_hook("response", retry)  # type: ignore[no-untyped-call]
        return request

    def _retry(self, sent: Secret, response: requests.Response, **kwargs: Any) -> requests.Response:
        """Send a request once more after a 401, with a refreshed token."""
        request = response.request
        # After a redirect the hook is still present, but the token is not, and is not added again.
        ours = request.headers.get("Authorization") == f"Bearer {sent.reveal()}"
        # A stream or a file cannot be sent a second time.
        repeatable = isinstance(request.body, str | bytes | None)
        if response.status_code != 401 or not ours or not repeatable:
            return response
        try:
            renewed = Secret(self._token(sent.reveal()))
        except ProviderUnavailableError:
            return response  # the caller gets the 401
        response.close()
        again = BearerAuth(renewed)(request.copy())
        second: requests.Response = response.connection.send(again, **kwargs)
        second.history.append(response)
        return second
