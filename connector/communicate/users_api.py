"""The users API as lab connections need it: an account, its connections, and other accounts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.exceptions import RequestException

from connector.clock import Clock
from connector.communicate.account import account_from, account_url
from connector.communicate.client import AuthorizedSession
from connector.communicate.metadata import Renewal
from connector.connection import Account
from connector.errors import ClientRefusedError, LabConnectionNotFoundError, ProviderUnavailableError
from connector.oauth.http import failure, retry_after
from connector.oauth.provider import Provider
from connector.redact import shown

__all__ = ["Partner", "UserAndPartners", "UsersApi"]

# A lab's account carries a connection for each of its practices.
_LARGEST_ANSWER = 64 * 1024 * 1024
_TOTAL_SECONDS = 60.0
_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """One entry of an account's Connections, seen from that account.

    Attributes:
        connection_id: the connection's own id.
        id: Communicate id of the other side, or "".
        email: address of the other side, or "".
        name: of the other side, or "".
        accepted: whether the side that was asked has accepted.
        asked_us: whether the other side asked; if not, this account did.
    """

    connection_id: str
    id: str
    email: str
    name: str
    accepted: bool
    asked_us: bool

    def __str__(self) -> str:
        """Return what a person knows the other side by."""
        return (
            f"{self.name} <{self.email}>" if self.name and self.email else self.email or self.name or self.id
        )

    def has_address(self, email: str) -> bool:
        """Return whether the other side has this address; case does not count."""
        return _same(self.email, email)

    def is_account(self, account: Account) -> bool:
        """Return whether the other side is this account."""
        return _same(self.id, account.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAndPartners:
    """An account and its connections, pending ones included."""

    account: Account
    partners: tuple[Partner, ...]


class UsersApi:
    """Asks the users API in the name of one account.

    Args:
        provider: one with a users API.
        token: returns the account's access token; called with True to have it refreshed first.
        clock: the time.
    """

    def __init__(self, provider: Provider, token: Callable[[bool], str], *, clock: Clock) -> None:
        self._origin = provider.users_url or ""
        self._root = (account_url(provider) or "").removesuffix("/me")
        self._host = urlsplit(self._root).netloc
        self._renewal = Renewal(token, clock=clock)
        self._clock = clock

    def me(self) -> UserAndPartners:
        """Return the account itself.

        Raises:
            connector.errors.ProviderUnavailableError: it cannot be read now.
        """
        user = self._get("/me")
        entry = _lower(user) if isinstance(user, dict) else {}
        account, rows = account_from(entry), entry.get("connections")
        if account is None:
            raise self._odd("something that is not a user")
        entries = [_lower(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        partners = (_partner(each, account) for each in entries if each.get("id"))
        return UserAndPartners(account=account, partners=tuple(partners))

    def lab_id(self, email: str) -> str | None:
        """Return the Communicate id of the lab that has exactly this address, or None.

        Several of Ormco's labs have the same name: a name never decides.
        """
        # Some servers take ".com" at the end of a path for a file name: then the search finds it.
        for path, params in ((f"/{quote(email, safe='@')}", None), ("/search", {"searchString": email})):
            found = self._look_up(path, params)
            for user in found if isinstance(found, list) else [found]:
                entry = _lower(user) if isinstance(user, dict) else {}
                if entry.get("id") and _same(entry.get("email"), email) and _may_be_lab(entry):
                    return str(entry["id"])
        return None

    def request_connection(self, account_id: str, lab_id: str) -> None:
        """Ask a lab for a connection.

        Raises:
            connector.errors.LabConnectionNotFoundError: the API refuses.
            connector.errors.ClientRefusedError: the token may not do this.
            connector.errors.ProviderUnavailableError: it is not known whether the request was made.
        """
        self._send("POST", f"/{quote(account_id, safe='')}/requestconnection/{quote(lab_id, safe='')}")

    def approve(self, account_id: str, connection_id: str) -> None:
        """Accept a connection that another account has asked this one for.

        Raises:
            connector.errors.ConnectorError: as `request_connection`.
        """
        self._send(
            "POST", f"/{quote(account_id, safe='')}/connection/{quote(connection_id, safe='')}/approve"
        )

    def _look_up(self, path: str, params: Mapping[str, str] | None) -> Any:
        try:
            return self._get(path, params)
        except LabConnectionNotFoundError:
            return None

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        try:
            return json.loads(self._send("GET", path, params))
        except (ValueError, RecursionError):
            raise self._odd("something that is not JSON") from None

    def _send(self, method: str, path: str, params: Mapping[str, str] | None = None) -> str:
        status, text, wait = self._once(method, path, params)
        # Some of 3Shape's hosts answer 500 to a token that has ended.
        if status == 500 and method == "GET" and self._renewal.renew():
            status, text, wait = self._once(method, path, params)
        if status in (200, 201, 204):
            return text
        if status == 403:
            raise ClientRefusedError(f"{self._host} does not allow this: {_words(text, status)}")
        if status == 401 or status == 429 or not 400 <= status < 500:
            raise self._odd(f"{status} to a fresh token" if status == 401 else str(status), retry_after=wait)
        raise LabConnectionNotFoundError(f"{self._host} refused: {_words(text, status)}")

    def _once(
        self, method: str, path: str, params: Mapping[str, str] | None
    ) -> tuple[int, str, float | None]:
        url = self._root + path
        with AuthorizedSession(self._renewal.token, origins=[self._origin]) as session:
            try:
                response = session.request(
                    method,
                    url,
                    params=params,
                    headers={"Accept": "application/json"},
                    stream=True,
                    allow_redirects=False,
                )
                return response.status_code, self._text(response), retry_after(response, self._clock.time())
            except RequestException as exc:
                raise failure(exc, url) from None

    def _text(self, response: requests.Response) -> str:
        body, deadline = bytearray(), self._clock.deadline(_TOTAL_SECONDS)
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if deadline.passed or len(body) > _LARGEST_ANSWER:
                raise self._odd("an answer that does not end")
        return body.decode("utf-8-sig", "replace")

    def _odd(self, what: str, *, retry_after: float | None = None) -> ProviderUnavailableError:
        return ProviderUnavailableError(
            f"{self._host} answered with {what}",
            hint="Try again in a few minutes; if it stays so, run `ormco doctor`.",
            retry_after=retry_after,
            answered=True,
        )


def _partner(entry: dict[str, Any], account: Account) -> Partner:
    we_asked = _is_us(entry, "inviter", account)
    side = "remote" if we_asked else "inviter"
    nested = entry.get(f"{side}user")
    user = _lower(nested) if isinstance(nested, dict) else {}

    def text(name: str) -> str:
        return shown(str(entry.get(f"{side}user{name}") or user.get(name) or ""), 512)

    return Partner(
        connection_id=str(entry["id"]),
        id=text("id"),
        email=text("email"),
        name=text("name"),
        accepted=entry.get("connectionaccepted") is True,
        asked_us=not we_asked,
    )


def _is_us(entry: dict[str, Any], side: str, account: Account) -> bool:
    identifier = entry.get(f"{side}userid")
    if identifier:
        return _same(identifier, account.id)
    return _same(entry.get(f"{side}useremail"), account.email or "")


def _same(value: object, text: str) -> bool:
    return bool(value) and str(value).casefold() == text.casefold()


def _may_be_lab(user: dict[str, Any]) -> bool:
    """Return whether an account is a lab, as far as strangers are told."""
    roles = user.get("roles")
    return not isinstance(roles, list) or not roles or "lab" in [str(role).lower() for role in roles]


def _lower(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its keys in lower case: clients have seen more than one spelling."""
    return {key.lower(): value for key, value in values.items()}


def _words(text: str, status: int) -> str:
    """Return a refusal's own sentence, or its status."""
    try:
        body = json.loads(text)
    except ValueError:
        body = text if text and "<" not in text else None
    if isinstance(body, dict):
        body = _lower(body).get("message")
    return shown(body, 160) if isinstance(body, str) and body.strip() else f"status {status}"
