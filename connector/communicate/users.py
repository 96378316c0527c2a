"""The users API or OpenID userinfo: the account behind a token, its connections, and other accounts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from connector.clock import Clock
from connector.communicate.client import ApiClient, Token, read_refusal, unavailable, unexpected_response
from connector.communicate.models import lowered
from connector.communicate.regions import read_region
from connector.connection import Account
from connector.errors import (
    AccountMismatchError,
    ClientRefusedError,
    ConnectorError,
    LabConnectionNotFoundError,
)
from connector.oauth.provider import Provider
from connector.redact import Secret, shown

__all__ = [
    "AccountConnection",
    "TokenVerdict",
    "User",
    "UsersApi",
    "account_url",
    "probe_token",
    "read_account",
]

_MOST_CHARACTERS = 512  # an OpenID `sub` has up to 255; cut short, two of them could be equal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConnection:
    """One entry of an account's Connections, seen from that account.

    Attributes:
        connection_id: the entry's own id.
        id, email, name: those of the other side, or "".
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
        """Return the name by which a person knows the other side."""
        both = f"{self.name} <{self.email}>" if self.name and self.email else ""
        return both or self.email or self.name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account, its OpenID `sub` if it has one, and its connections, pending ones included."""

    account: Account
    subject: str | None = None
    connections: tuple[AccountConnection, ...] = ()


class UsersApi:
    """Calls the users API, or OpenID userinfo, as one account."""

    def __init__(self, provider: Provider, token: Token, *, clock: Clock) -> None:
        self._url = account_url(provider) or ""
        self._root = self._url.removesuffix("/me")
        self._api = ApiClient(token, origins=[self._url], clock=clock)

    def me(self) -> User:
        """Return the account itself.

        Raises:
            connector.errors.ProviderUnavailableError: it cannot be read now.
        """
        fields = lowered(self._api.get(self._url))
        subject, rows = _text(fields.get("sub")), fields.get("connections")
        identifier = _text(fields.get("id")) or subject
        if identifier is None:
            raise unexpected_response(self._url, "something that is not a user")
        account = Account(
            id=identifier,
            email=_text(fields.get("email")),
            name=_text(fields.get("name")) or _text(fields.get("preferred_username")),
            region=read_region(fields),
        )
        entries = map(lowered, rows if isinstance(rows, list) else ())
        connections = tuple(_connection(each, account) for each in entries if each.get("id"))
        return User(account=account, subject=subject, connections=connections)

    def lab_id(self, email: str) -> str | None:
        """Return the Communicate id of the lab that has exactly this address, or None.

        Several of Ormco's labs have the same name: a name never decides.
        """
        # Some servers treat ".com" at the end of a path as a file's ending; the search is for those.
        for path, params in ((f"/{quote(email, safe='@')}", None), ("/search", {"searchString": email})):
            try:
                found = self._api.get(self._root + path, params, refusal=_refusal)
            except LabConnectionNotFoundError:
                continue
            for user in found if isinstance(found, list) else [found]:
                fields = lowered(user)
                if fields.get("id") and _same(fields.get("email"), email) and _may_be_lab(fields):
                    return str(fields["id"])
        return None

    def request_connection(self, account_id: str, lab_id: str) -> None:
        """Ask a lab for a connection.

        Raises:
            connector.errors.LabConnectionNotFoundError: the API refuses.
            connector.errors.ClientRefusedError: the token may not do this.
            connector.errors.ProviderUnavailableError: it is not known whether the request was made.
        """
        self._post(f"/{quote(account_id, safe='')}/requestconnection/{quote(lab_id, safe='')}")

    def approve(self, account_id: str, connection_id: str) -> None:
        """Accept a connection that another account has asked this one for; raises as `request_connection`."""
        self._post(f"/{quote(account_id, safe='')}/connection/{quote(connection_id, safe='')}/approve")

    def _post(self, path: str) -> None:
        response = self._api.send("POST", self._root + path)
        if response.status_code not in (200, 201, 204):
            raise _refusal(response, self._api.clock)


def account_url(provider: Provider) -> str | None:
    """Return the address that returns the account behind a token, or None if the provider has none."""
    if provider.users_url is None:
        return provider.userinfo_endpoint
    base = provider.users_url.rstrip("/")
    return base.removesuffix("/users").removesuffix("/api") + "/api/users/me"


def read_account(
    provider: Provider, access_token: str, *, clock: Clock, subject: str | None = None
) -> Account:
    """Read the account behind an access token from the users API, or from OpenID userinfo.

    `subject` is the `sub` of the id_token that came with the token; userinfo must have the same one (OpenID
    Connect Core §5.3.2).

    Raises:
        connector.errors.AccountMismatchError: userinfo has another `sub`.
        connector.errors.ProviderUnavailableError: it cannot be read now.
    """
    token = Secret(access_token)
    del access_token
    user = UsersApi(provider, lambda _: token.reveal() or "", clock=clock).me()
    if provider.users_url is None and subject is not None and user.subject != subject:
        raise AccountMismatchError(
            "the provider's userinfo names another account than its id_token",
            hint="The tokens were not stored. Start again; if it happens twice, report it to Ormco support.",
        )
    return user.account


class TokenVerdict(StrEnum):
    """The verdict of the users API on an access token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DOUBTFUL = "doubtful"  # status 500, which some of 3Shape's hosts return for an expired token
    UNASKED = "unasked"  # the provider has no such API


_VERDICTS = {
    200: TokenVerdict.ACCEPTED,
    401: TokenVerdict.REFUSED,
    403: TokenVerdict.ACCEPTED,  # the token is known, but may not do this
    500: TokenVerdict.DOUBTFUL,
}


def probe_token(provider: Provider, access_token: str, *, clock: Clock) -> TokenVerdict:
    """Return the API's verdict on an access token, without reading any data.

    Raises:
        connector.errors.ProviderUnavailableError: the API gives no usable response.
    """
    token = Secret(access_token)
    del access_token
    url = account_url(provider)
    if url is None:
        return TokenVerdict.UNASKED
    response = ApiClient(lambda _: token.reveal() or "", origins=[url], clock=clock).send("GET", url)
    status, kind = response.status_code, response.headers.get("Content-Type", "")
    if status not in _VERDICTS:
        raise unavailable(response, clock)
    if status == 200 and "html" in kind:
        raise unexpected_response(url, "something that is not a user")
    return _VERDICTS[status]


def _connection(entry: dict[str, Any], account: Account) -> AccountConnection:
    inviter = entry.get("inviteruserid")
    by_address = _same(entry.get("inviteruseremail"), account.email or "")
    we_asked = _same(inviter, account.id) if inviter else by_address
    side = "remote" if we_asked else "inviter"
    user = lowered(entry.get(f"{side}user"))

    def text(name: str) -> str:
        return shown(str(entry.get(f"{side}user{name}") or user.get(name) or ""), _MOST_CHARACTERS)

    return AccountConnection(
        connection_id=str(entry["id"]),
        id=text("id"),
        email=text("email"),
        name=text("name"),
        accepted=entry.get("connectionaccepted") is True,
        asked_us=not we_asked,
    )


def _same(value: object, text: str) -> bool:
    return bool(value) and str(value).casefold() == text.casefold()


def _refusal(response: requests.Response, clock: Clock) -> ConnectorError:
    status, host = response.status_code, urlsplit(response.url).netloc
    if status in (401, 429) or not 400 <= status < 500:
        return unavailable(response, clock)
    words = shown(read_refusal(response), 160) or f"status {status}"
    if status == 403:
        return ClientRefusedError(f"{host} does not allow this: {words}")
    return LabConnectionNotFoundError(f"{host} refused: {words}")


def _may_be_lab(user: dict[str, Any]) -> bool:
    """Return whether an account may be a lab, by the data that other accounts can see."""
    roles = user.get("roles")
    return not isinstance(roles, list) or not roles or "lab" in [str(role).lower() for role in roles]


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return shown(value, _MOST_CHARACTERS) or None if isinstance(value, str) else None
