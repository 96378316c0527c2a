"""HTTP as one practice: a `requests.Session` for callers, and a client for the users and metadata APIs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.exceptions import RequestException

from connector.clock import Clock
from connector.errors import ProviderUnavailableError
from connector.oauth.http import (
    LARGE_LISTS,
    BearerAuth,
    Transport,
    call,
    json_value,
    open_session,
    retry_after,
)
from connector.redact import Secret

__all__ = [
    "ApiClient",
    "AuthorizedSession",
    "TokenRefresher",
    "origin",
    "read_json",
    "read_refusal",
    "unavailable",
    "unexpected_response",
]

_LONGEST_SENTENCE = 4096


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, in one spelling."""
    parts = urlsplit(url.lower())
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


class AuthorizedSession(requests.Session):
    """Sends the practice's bearer token to the provider's own origins, and to nobody else.

    A 401 is answered once with a refreshed token. Redirects are followed without the token.

    Args:
        token: returns a valid access token; called with one that was rejected to get another.
        origins: addresses whose origins may see the token.
    """

    def __init__(self, token: Callable[[str | None], str], *, origins: Collection[str]) -> None:
        super().__init__()
        self.auth = _PracticeAuth(token, frozenset(origin(url) for url in origins))
        self.mount("https://", Transport(LARGE_LISTS))
        self.mount("http://", Transport(LARGE_LISTS))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Take the token off a redirected request, whatever its host."""
        prepared_request.headers.pop("Authorization", None)


class _PracticeAuth(AuthBase):
    def __init__(self, token: Callable[[str | None], str], origins: frozenset[str]) -> None:
        self._token = token
        self._origins = origins

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # The prepared address, not the caller's: in https://evil.example\@users… the parsers see two hosts.
        if origin(request.url or "") in self._origins:
            BearerAuth(self._token(None))(request)
            retry = _RetryAfter401(self._token, request.headers["Authorization"])
            request.register_hook("response", retry)  # type: ignore[no-untyped-call]
        return request


class _RetryAfter401:
    """A response hook that sends a request once more, with a refreshed token, after a 401."""

    def __init__(self, token: Callable[[str | None], str], sent: str | bytes) -> None:
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
        rejected = str(self._sent).removeprefix("Bearer ")
        again = BearerAuth(self._token(rejected))(request.copy())
        answer: requests.Response = response.connection.send(again, **kwargs)
        answer.history.append(response)
        return answer


class TokenRefresher:
    """One practice's token, and another one if an API refuses it.

    The metadata API was seen to answer 500 to a token that has ended. So a 500 or 401 has the token renewed
    once; another one soon after, to the new token, is the API's own fault and renews nothing.

    Args:
        token: returns the access token; called with one that was rejected to get another.
    """

    def __init__(self, token: Callable[[str | None], str]) -> None:
        self._token = token

    def __call__(self) -> Secret:
        """Return the access token."""
        return Secret(self._token(None))

    def refresh(self, refused: Secret) -> Secret | None:
        """Return another token than the refused one, or None if there is none now."""
        try:
            token = Secret(self._token(refused.reveal()))
        except ProviderUnavailableError:
            return None
        return token if token.reveal() != refused.reveal() else None


class ApiClient:
    """Asks the users API or a region's metadata API as one account; follows no redirect.

    Args:
        token: the account's token.
        origins: the only origins that are sent the token.
        clock: the time.
        transport: may be shared by many accounts.
    """

    def __init__(
        self,
        token: TokenRefresher,
        *,
        origins: Collection[str],
        clock: Clock,
        transport: Transport | None = None,
    ) -> None:
        self.origins = frozenset(origin(url) for url in origins)
        self.clock = clock
        self.server_time: datetime | None = None
        self._token = token
        self._session = open_session(transport or Transport(LARGE_LISTS))

    def send(
        self,
        method: str,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Return the answer to a request, whatever its status.

        A token that is refused is refreshed once, and the request is sent again: after a 401, which says that
        nothing was done, and after a 500 to a GET.

        Args:
            method: the HTTP method.
            url: the address.
            params: its query.
            headers: further headers.
            stream: leave the body unread; the caller closes the answer.

        Raises:
            connector.errors.ProviderUnavailableError: no answer came.
            connector.errors.GrantError: no token can be had.
        """
        options = {"params": params, "headers": dict(headers or {}), "stream": stream}
        token = self._token()
        response = call(self._session, method, url, auth=_OriginAuth(token, self.origins), **options)
        if response.status_code == 401 or (response.status_code == 500 and method == "GET"):
            fresh = self._token.refresh(token)
            if fresh is not None:
                response.close()
                response = call(self._session, method, url, auth=_OriginAuth(fresh, self.origins), **options)
        self.server_time = _date(response)
        return response

    def stream_unauthorized(self, url: str, *, headers: Mapping[str, str]) -> requests.Response:
        """Return the streamed answer of an address that is sent no token."""
        return call(self._session, "GET", url, headers=dict(headers), stream=True)


class _OriginAuth(BearerAuth):
    """A bearer token that is refused to any other origin, as the address looks when it is sent."""

    def __init__(self, token: Secret, origins: Collection[str]) -> None:
        super().__init__(token)
        self._origins = origins

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = request.url or ""
        if origin(url) not in self._origins:
            raise unexpected_response(url, "an address that is not the provider's own")
        return super().__call__(request)


def read_json(response: requests.Response) -> Any:
    """Return the JSON of an answer.

    Raises:
        connector.errors.ProviderUnavailableError: it is no JSON, or far too much.
    """
    try:
        return json_value(response)
    except ValueError:
        raise unexpected_response(response.url, "something that is not JSON") from None


def read_refusal(response: requests.Response) -> str:
    """Return the sentence of a refusal, or "", and close it; it may name a person, so it is never logged."""
    try:
        body = next(response.iter_content(_LONGEST_SENTENCE), b"")
    except RequestException:
        body = b""
    finally:
        response.close()
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "" if "<" in text else text
    if isinstance(value, dict):
        value = next((value[key] for key in value if key.lower() == "message"), "")
    return value if isinstance(value, str) else ""


def unexpected_response(url: str, what: str, *, wait: float | None = None) -> ProviderUnavailableError:
    """Return the error for an answer that nobody can use."""
    return ProviderUnavailableError(
        f"{urlsplit(url).netloc} answered with {what}",
        hint="Try again in a few minutes; if it stays so, check the provider's addresses and any proxy.",
        retry_after=wait,
        answered=True,
    )


def unavailable(response: requests.Response, clock: Clock) -> ProviderUnavailableError:
    """Return the error for a status that is neither success nor a refusal with a reason."""
    status = response.status_code
    what = f"{status} to a fresh token" if status == 401 else str(status)
    return unexpected_response(response.url, what, wait=retry_after(response, clock.time()))


def _date(response: requests.Response) -> datetime | None:
    """Return the server's own time, to the second."""
    try:
        time = parsedate_to_datetime(response.headers.get("Date", ""))
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None
