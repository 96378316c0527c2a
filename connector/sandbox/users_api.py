"""The users API: who a token belongs to, other users, and lab connections."""

from __future__ import annotations

from typing import Any, NoReturn

from flask import Blueprint, abort, make_response, request

from connector.sandbox.accounts import Account
from connector.sandbox.bearer import bearer_account
from connector.sandbox.lab_connections import LabConnection
from connector.sandbox.sessions import machine, the_world

__all__ = ["blueprint", "find_users"]

blueprint = Blueprint("users_api", __name__)

_SHORTEST_WORD = 3
_MOST_FOUND = 20


@blueprint.get("/api/users/me")
@machine("api")
def me() -> dict[str, Any]:
    """Answer with the whole user object of the token's account."""
    the_world().counters["api:users/me"] += 1
    return _own_object(bearer_account())


@blueprint.get("/api/users/<user>")
@machine("api")
def user(user: str) -> dict[str, Any]:
    """Answer with a user by id or e-mail address, less of it for strangers."""
    asking, found = bearer_account(), _user(user)
    return _own_object(found) if found is asking else _public_object(found)


@blueprint.get("/api/users/search")
@machine("api")
def search() -> list[dict[str, Any]]:
    """Answer with users whose name, e-mail address or city begins with each word."""
    bearer_account()
    text = request.args.get("searchString", "")
    if not text.split() or any(len(word) < _SHORTEST_WORD for word in text.split()):
        _refuse("The search string is too short.")
    return [_public_object(found) for found in find_users(text)]


@blueprint.post("/api/users/<user>/requestconnection/<remote>")
@machine("api")
def request_connection(user: str, remote: str) -> dict[str, Any]:
    """Ask another account for a connection, in the name of the token's account."""
    inviter, invited = _self(user), _user(remote)
    rows = the_world().lab_connections
    if inviter is invited or inviter.role == invited.role:
        _refuse("A connection joins a clinic and a lab.")
    if rows.between(inviter, invited):
        _refuse("The connection already exists.")
    return _connection_object(rows.request(inviter, invited))


@blueprint.post("/api/users/<user>/connection/<connection_id>/approve")
@machine("api")
def approve(user: str, connection_id: str) -> Any:
    """Approve a request, in the name of the invited side."""
    account = _self(user)
    row = _row(account, connection_id)
    if row.invited is not account:
        _refuse("You don't have permission to approve this connection.")
    row.accepted = True
    return make_response("", 200)


@blueprint.delete("/api/users/<user>/connection/<connection_id>")
@machine("api")
def remove(user: str, connection_id: str) -> Any:
    """Reject, withdraw or delete a connection, from either side."""
    account = _self(user)
    the_world().lab_connections.remove(_row(account, connection_id))
    return make_response("", 200)


def find_users(text: str) -> list[Account]:
    """Return accounts of which name, e-mail address or city begins with each word of a text."""
    words = text.lower().split()

    def matches(account: Account, word: str) -> bool:
        beginnings = f"{account.name} {account.city}".lower().split()
        return any(part.startswith(word) for part in (*beginnings, account.email.lower()))

    found = (a for a in the_world().accounts.values() if all(matches(a, word) for word in words))
    return list(found)[:_MOST_FOUND]


def _refuse(message: str) -> NoReturn:
    # The documents show refusals as 400 with a sentence; callers tell them apart by it.
    abort(make_response({"Message": message}, 400))


def _user(name: str) -> Account:
    for account in the_world().accounts.values():
        if name.lower() in (account.id, account.email.lower()):
            return account
    _refuse(f"No user with Id {name} could be found")


def _self(user: str) -> Account:
    account = bearer_account()
    if user.lower() != account.id:
        _refuse("You don't have permission to act for this user.")
    return account


def _row(account: Account, connection_id: str) -> LabConnection:
    row = the_world().lab_connections.get(account, connection_id)
    return row or _refuse(f"No connection with Id {connection_id} could be found")


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


def _own_object(account: Account) -> dict[str, Any]:
    rows = the_world().lab_connections.of(account)
    return {
        **_public_object(account),
        "FirstName": account.first_name,
        "LastName": account.last_name,
        "IsApproved": True,
        "MobilePhoneNumber": None,
        "ClientVersion": 1,
        "State": None,
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
        "ContactName": None,
        "ContactEmail": None,
        "ContactPhoneNumber": None,
        "ContactConsentGiven": False,
        "NewsletterConsentGiven": False,
        "Website": None,
        "NotificationSettings": None,
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
