"""The metadata API over HTTP: bounded in time and size, its errors told apart by their text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException, Timeout

from connector.clock import Clock, isoformat
from connector.communicate.client import AuthorizedSession
from connector.errors import CaseNotFoundError, ClientRefusedError, ConnectorError, ProviderUnavailableError
from connector.oauth.http import failure, retry_after
from connector.redact import fingerprint

__all__ = ["MetadataApi", "Renewal", "query_moment"]

# `updatedcases` is not paged: what a busy lab's week comes to.
_LARGEST_ANSWER = 256 * 1024 * 1024
_TOTAL_SECONDS = 120.0
_CHUNK = 65536
_RENEWAL_SECONDS = 600.0


class Renewal:
    """One practice's token, and the memory of having renewed it because it was refused.

    The metadata API was seen to answer 500 for a token that has ended. So a 500 or 401 renews the token once;
    one that follows soon, to the new token, is the API's own and is taken as it is.

    Args:
        token: returns the access token; called with True to have it refreshed first.
        clock: the time.
    """

    def __init__(self, token: Callable[[bool], str], *, clock: Clock | None = None) -> None:
        self._token = token
        self._clock = clock or Clock()
        self._renewed: str | None = None
        self._renewed_at = 0.0

    def token(self, refused: bool) -> str:
        """Return the access token; after a refusal another one, unless it was just renewed."""
        token = self._token(False)
        now = self._clock.monotonic()
        if not refused or (fingerprint(token) == self._renewed and now - self._renewed_at < _RENEWAL_SECONDS):
            return token
        token = self._token(True)
        self._renewed, self._renewed_at = fingerprint(token), now
        return token

    def renew(self) -> bool:
        """Refresh the token unless that was just done; return whether it is another now."""
        old = self._token(False)
        try:
            return self.token(True) != old
        except ProviderUnavailableError:
            return False


class MetadataApi:
    """Asks one region's metadata API, or the users API, as one practice.

    Args:
        session: sends the practice's token to the provider's own origins alone.
        renewal: the practice's token.
        clock: the time.
    """

    def __init__(self, session: AuthorizedSession, renewal: Renewal, *, clock: Clock) -> None:
        self._session = session
        self._renewal = renewal
        self.clock = clock
        self.server_time: datetime | None = None

    def get(self, url: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Return the JSON of an address.

        Raises:
            connector.errors.CaseNotFoundError: there is no such thing, or not for this account.
            connector.errors.ProviderUnavailableError: it is down, or answers as nobody expects.
        """
        asked_at = self.clock.utc_now()
        response = self.open(url, params)
        try:
            return self._json(response, url)
        finally:
            response.close()
            self.server_time = _date(response) or asked_at

    def open(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
    ) -> requests.Response:
        """Return an answer whose body has not been read; close it when done.

        Args:
            url: the address.
            params: its query.
            headers: further headers.
            accept: the statuses that are no error.

        Raises:
            connector.errors.ConnectorError: as `get`.
        """
        response = self._send(url, params, headers)
        if response.status_code == 500 and self._renewal.renew():
            response.close()
            response = self._send(url, params, headers)
        if response.status_code not in accept:
            try:
                self._refuse(response, url)
            finally:
                response.close()
        return response

    def _send(
        self, url: str, params: Mapping[str, str | int] | None, headers: Mapping[str, str] | None
    ) -> requests.Response:
        for last in (False, True):
            try:
                return self._session.request(
                    "GET",
                    url,
                    params=params,
                    headers={"Accept": "application/json", **(headers or {})},
                    stream=True,
                    allow_redirects=False,
                )
            except RequestException as exc:
                # A kept-alive connection that the server has just closed is no outage.
                if last or isinstance(exc, Timeout) or not isinstance(exc, RequestsConnectionError):
                    raise failure(exc, url) from None
        raise AssertionError("unreachable")

    def _json(self, response: requests.Response, url: str) -> Any:
        body, deadline = bytearray(), self.clock.deadline(_TOTAL_SECONDS)
        try:
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if deadline.passed or len(body) > _LARGEST_ANSWER:
                    raise _odd(url, "an answer that does not end")
        except RequestException as exc:
            raise failure(exc, url) from None
        try:
            return json.loads(body.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            raise _odd(url, "something that is not JSON") from None

    def _refuse(self, response: requests.Response, url: str) -> NoReturn:
        status, text = response.status_code, _message(response)
        if status in (400, 403, 404) and (error := _refusal(status, text)):
            raise error
        if status in (401, 403):
            if "insufficient_scope" in response.headers.get("WWW-Authenticate", ""):
                raise ClientRefusedError(
                    "the token does not open cases: its scope is too small",
                    hint="Set ORMCO_SCOPE to one with the scope api, and connect the practice again.",
                )
            raise _odd(url, f"{status} to a fresh token", "Run `ormco doctor` for the practice.")
        raise ProviderUnavailableError(
            f"{urlsplit(url).netloc} answered {status}",
            hint="Try again in a few minutes.",
            retry_after=retry_after(response, self.clock.time()),
        )


def query_moment(moment: datetime) -> str:
    """Return a moment as the API takes it in `from` and `to`."""
    return isoformat(moment) or ""


def _refusal(status: int, text: str) -> ConnectorError | None:
    """Tell refusals apart by what they say: missing and forbidden are both 400."""
    if "permission" in text:
        return CaseNotFoundError(
            "the provider does not show this to the account",
            hint="Only the sides of a case see it. STL files are for the lab's own account in that region.",
        )
    if status == 404 or "could be found" in text or "not found" in text or text.startswith("no "):
        return CaseNotFoundError(
            "the provider knows nothing of that id",
            hint="Check the id (`ormco cases list PRACTICE`) and the practice's region.",
        )
    return None


def _message(response: requests.Response) -> str:
    """Return the beginning of a refusal's text, in lower case; it is never shown: it may name a person."""
    try:
        body = next(response.iter_content(4096), b"")
    except RequestException:
        return ""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except ValueError:
        return text.lower()
    if isinstance(value, dict):
        value = value.get("Message") or value.get("message") or ""
    return str(value).lower()


def _odd(
    url: str, what: str, hint: str = "Check the provider's metadata_urls and any proxy in between."
) -> ConnectorError:
    return ProviderUnavailableError(f"{urlsplit(url).netloc} answered with {what}", hint=hint)


def _date(response: requests.Response) -> datetime | None:
    """Return the server's own time, to the second."""
    try:
        moment = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
