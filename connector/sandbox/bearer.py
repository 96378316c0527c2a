"""Whose access token a request carries."""

from __future__ import annotations

import json
from typing import NoReturn

from flask import Response, abort, request

from connector.sandbox.accounts import Account
from connector.sandbox.sessions import the_world
from connector.sandbox.tokens import account_of_jwt

__all__ = ["bearer_account"]


def bearer_account(scope: str | None = "api") -> Account:
    """Return the account behind the request's bearer token, or answer 401 (403 for too little scope).

    Args:
        scope: what an identity token has to carry; classic tokens open everything.
    """
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not value:
        _refuse(401, "Bearer")
    world = the_world()
    if world.generation == "classic":
        issued = world.access_tokens.get(value)
        if issued is None or issued.is_expired() or issued.is_revoked():
            _refuse(401, 'Bearer error="invalid_token"')
        return issued.grant.account
    found = account_of_jwt(world, value)
    if found is None:
        _refuse(401, 'Bearer error="invalid_token"')
    if scope and scope not in found[1]:
        _refuse(403, 'Bearer error="insufficient_scope"')
    return found[0]


def _refuse(status: int, challenge: str) -> NoReturn:
    body = json.dumps({"Message": "Authorization has been denied for this request."})
    abort(Response(body, status, {"WWW-Authenticate": challenge, "Content-Type": "application/json"}))
