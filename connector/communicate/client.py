"""A client of the users and metadata APIs for one account, and the errors for their responses."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import RequestException

from connector.clock import Clock, http_date
from connector.errors import ConnectorError, ProviderUnavailableError
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

__all__ = ["ApiClient", "Token", "origin", "read_refusal", "unavailable", "unexpected_response"]

_LONGEST_SENTENCE = 4096
# Called as token(rejected): gives a valid access token; `rejected` is one that an API refused, or None.
Token = Callable[[str | None], str]


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, normalized."""
    parts = urlsplit(url.lower())
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


class ApiClient:
    """Calls the users API or a region's metadata API as one account; follows no redirect.

    Args:
        token: returns the account's token.
        origins: the only origins that get the token.
        clock: the time.
        transport: the HTTP transport, which may be shared by many accounts.
    """

    def __init__(
        self, token: Token, *, origins: Collection[str], clock: Clock, transport: Transport | None = None
    ) -> None:
        self.origins: frozenset[str] = frozenset(origin(url) for url in origins)
        self.clock = clock
        self.server_time: datetime | None = None
        self._token = token
        self._session = open_session(transport or Transport(LARGE_LISTS))

    def send(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request and return the response, with any status.

        A token that is refused is refreshed once, and the request is sent again: after a 401, which means
        that nothing was done, and after a 500 to a GET.

        Args:
            method: the HTTP method.
            url: the address.
            options: as for `requests.Session.request`; the caller closes a response that is streamed.

        Raises:
            connector.errors.ProviderUnavailableError: no response arrived.
            connector.errors.GrantError: there is no valid token, and none can be obtained.
        """
        token = Secret(self._token(None))
        response = self._call(method, url, token, options)
        if response.status_code == 401 or (response.status_code == 500 and method == "GET"):
            fresh = self._renewed(token)
            if fresh is not None:
                response.close()
                response = self._call(method, url, fresh, options)
        self.server_time = http_date(response.headers.get("Date"))
        return response

    def get(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        refusal: Callable[[requests.Response, Clock], ConnectorError] | None = None,
    ) -> Any:
        """Send a GET request and return the JSON of the response.

        `refusal` returns the error for a response whose status is not 200.

        Raises:
            connector.errors.ConnectorError: as `send` does; or the status is not 200, or there is no JSON.
        """
        response = self.send("GET", url, params=params)
        if response.status_code != 200:
            raise (refusal or unavailable)(response, self.clock)
        try:
            return json_value(response)
        except ValueError:
            raise unexpected_response(url, "something that is not JSON") from None

    def send_unauthorized(self, url: str, **options: Any) -> requests.Response:
        """Send a GET request without a token; return the response, with any status."""
        return call(self._session, "GET", url, **options)

    def _call(self, method: str, url: str, token: Secret, options: Mapping[str, Any]) -> requests.Response:
        return call(self._session, method, url, auth=_OriginAuth(token, self.origins), **options)

    def _renewed(self, rejected: Secret) -> Secret | None:
        """Return a token other than the rejected one, or None if there is none now.

        The metadata API was seen to respond to an expired token with 500, so a 500 counts as a rejection. A
        token that was just refreshed is not refreshed again for a 500: then the API itself fails.
        """
        try:
            fresh = Secret(self._token(rejected.reveal()))
        except ProviderUnavailableError:
            return None
        return fresh if fresh.reveal() != rejected.reveal() else None


class _OriginAuth(BearerAuth):
    """A bearer token for the allowed origins only, checked by the address as it is sent."""

    def __init__(self, token: Secret, origins: Collection[str]) -> None:
        super().__init__(token)
        self._origins = origins

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = request.url or ""
        if origin(url) not in self._origins:
            raise unexpected_response(url, "an address that is not the provider's own")
        return super().__call__(request)


def read_refusal(response: requests.Response) -> str:
    """Return a refusal's text, or "", and close the response. It may name a person, so it is never logged."""
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
    """Return the error for a response that cannot be used."""
    return ProviderUnavailableError(
        f"{urlsplit(url).netloc} answered with {what}",
        hint="Try again in a few minutes; if it fails again, check the provider's addresses and any proxy.",
        retry_after=wait,
        answered=True,
    )


def unavailable(response: requests.Response, clock: Clock) -> ProviderUnavailableError:
    """Return the error for a status that is neither success nor a refusal with a reason."""
    status = response.status_code
    what = f"{status} to a fresh token" if status == 401 else str(status)
    return unexpected_response(response.url, what, wait=retry_after(response, clock.time()))
