"""The users API: the account of a bearer token, other users, and lab connections."""

from __future__ import annotations

from typing import Any, NoReturn

from flask import Blueprint, abort, make_response, request

from connector.sandbox.accounts import Account, LabConnection
from connector.sandbox.sessions import state
from connector.sandbox.tokens import account_of_jwt

__all__ = ["bearer_account", "blueprint", "find_users", "refuse"]

blueprint: Blueprint = Blueprint("users_api", __name__)

_SHORTEST_WORD = 3
_MOST_FOUND = 20


def bearer_account(scope: str | None = "api") -> Account:
    """Return the account of the request's bearer token, or respond with 401 (403 if its scope is too small).

    Args:
        scope: the scope that an identity token must have; that of classic tokens is not checked.
    """
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not value:
        _deny(401, "Bearer")
    if state.generation == "classic":
        issued = state.access_tokens.get(value)
        if issued is None or not issued.is_valid:
            _deny(401, 'Bearer error="invalid_token"')
        return issued.grant.account
    found = account_of_jwt(state, value)
    if found is None:
        _deny(401, 'Bearer error="invalid_token"')
    if scope and scope not in found[1]:
        _deny(403, 'Bearer error="insufficient_scope"')
    return found[0]


def _deny(status: int, challenge: str) -> NoReturn:
    body = {"Message": "Authorization has been denied for this request."}
    abort(make_response(body, status, {"WWW-Authenticate": challenge}))


def refuse(message: str) -> NoReturn:
    """Respond with 400 and a sentence, never 403 or 404, as the real API does."""
    abort(make_response({"Message": message}, 400))


@blueprint.get("/api/users/me")
def me() -> dict[str, Any]:
    """Return the whole user object of the token's account."""
    state.counters["api:users/me"] += 1
    return _own_object(bearer_account())


@blueprint.get("/api/users/<user>")
def user(user: str) -> dict[str, Any]:
    """Return a user by id or e-mail address, with fewer fields for other accounts."""
    asking, found = bearer_account(), _user(user)
    return _own_object(found) if found is asking else _public_object(found)


@blueprint.get("/api/users/search")
def search() -> list[dict[str, Any]]:
    """Return the users whose name, e-mail address or city begins with each word."""
    bearer_account()
    text = request.args.get("searchString", "")
    if not text.split() or any(len(word) < _SHORTEST_WORD for word in text.split()):
        refuse("The search string is too short.")
    return [_public_object(found) for found in find_users(text)]


@blueprint.post("/api/users/<user>/requestconnection/<remote>")
def request_connection(user: str, remote: str) -> dict[str, Any]:
    """Ask another account for a connection, as the token's account."""
    inviter, invited = _self(user), _user(remote)
    rows = state.lab_connections
    if inviter is invited or inviter.role == invited.role:
        refuse("A connection joins a clinic and a lab.")
    if rows.between(inviter, invited):
        refuse("The connection already exists.")
    return _connection_object(rows.request(inviter, invited))


@blueprint.post("/api/users/<user>/connection/<connection_id>/approve")
def approve(user: str, connection_id: str) -> Any:
    """Approve a request, as the invited side."""
    account = _self(user)
    row = _row(account, connection_id)
    if row.invited is not account:
        refuse("You don't have permission to approve this connection.")
    row.accepted = True
    return make_response("", 200)


@blueprint.delete("/api/users/<user>/connection/<connection_id>")
def remove(user: str, connection_id: str) -> Any:
    """Reject, withdraw or delete a connection, from either side."""
    account = _self(user)
    state.lab_connections.remove(_row(account, connection_id))
    return make_response("", 200)


def find_users(text: str) -> list[Account]:
    """Return the accounts whose name, e-mail address or city begins with each word of a text."""
    words = text.lower().split()

    def matches(account: Account, word: str) -> bool:
        beginnings = f"{account.name} {account.city}".lower().split()
        return any(part.startswith(word) for part in (*beginnings, account.email.lower()))

    found = (a for a in state.accounts.values() if all(matches(a, word) for word in words))
    return list(found)[:_MOST_FOUND]


def _user(name: str) -> Account:
    return state.accounts.get(name.lower()) or state.account_by_email(name) or _unknown(name)


def _unknown(name: str) -> NoReturn:
    refuse(f"No user with Id {name} could be found")


def _self(user: str) -> Account:
    account = bearer_account()
    if user.lower() != account.id:
        refuse("You don't have permission to act for this user.")
    return account


def _row(account: Account, connection_id: str) -> LabConnection:
    row = state.lab_connections.get(account, connection_id)
    return row or refuse(f"No connection with Id {connection_id} could be found")


def _public_object(account: Account) -> dict[str, Any]:
    return {
        "Id": account.id,
        "Email": account.email,
        "Name": account.name,
        "AddressLine": account.address,
        "PostalCode": account.postal_code,
        "City": account.city,
        "Country": account.country,
        "PhoneNumber": account.phone,
        "RegionUri": account.region.uri,
        "Roles": [account.role],
        "HasLogo": False,
    }


# Keys of the user object for which the sandbox has no value.
_EMPTY = {
    **dict.fromkeys(("MobilePhoneNumber", "State", "Website", "NotificationSettings")),
    **dict.fromkeys(("ContactName", "ContactEmail", "ContactPhoneNumber")),
    **dict.fromkeys(("ContactConsentGiven", "NewsletterConsentGiven"), False),
}


def _own_object(account: Account) -> dict[str, Any]:
    rows = state.lab_connections.of(account)
    return {
        **_public_object(account),
        **_EMPTY,
        "FirstName": account.first_name,
        "LastName": account.last_name,
        "IsApproved": True,
        "ClientVersion": 1,
        "Region": {
            "Id": account.region.id,
            "RegionName": account.region.name,
            "Url": account.region.uri,
            "Servers": None,
            "Services": None,
        },
        "ConnectedUsers": [row.partner_of(account).id for row in rows if row.accepted],
        "Connections": [_connection_object(row) for row in rows],
        "Dongles": [],
        "Tags": [],
        "Logo": {"Href": None, "IsAvailable": False},
    }


def _connection_object(row: LabConnection) -> dict[str, Any]:
    values: dict[str, Any] = {"Id": row.id, "ConnectionAccepted": row.accepted}
    for side, account in (("Inviter", row.inviter), ("Remote", row.invited)):
        values |= {
            f"{side}User": None,
            f"{side}UserId": account.id,
            f"{side}UserEmail": account.email,
            f"{side}UserName": account.name,
            f"{side}UserType": account.role,
        }
    return values
