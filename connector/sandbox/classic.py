"""The classic authorization server: /oauth/authorise, /oauth/token and token information."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, g, make_response, render_template, request

from connector.sandbox.consent import ask, the_server
from connector.sandbox.sessions import machine, signed_in, the_world

__all__ = ["blueprint"]

blueprint = Blueprint("classic", __name__)


@blueprint.route("/oauth/authorise", methods=["GET", "POST"])
def authorise() -> Any:
    """Be the authorization endpoint, in British spelling."""
    if the_world().on("error-page"):
        return _error_page("The request could not be processed.")
    try:
        grant = the_server().get_consent_grant(end_user=signed_in())
    except OAuth2Error as error:
        if error.redirect_uri:
            return the_server().handle_error_response(None, error)
        return _error_page(error.description)
    return ask(grant)


def _error_page(detail: str) -> Any:
    # An unknown application or address is never sent back to: it may be anybody's.
    return render_template("error.html", title="Error", detail=detail), 400


@blueprint.post("/oauth/token")
@machine("token")
def token() -> Any:
    """Be the token endpoint."""
    world = the_world()
    world.count_token_call(request.form.get("grant_type", ""))
    # DotNetOpenAuth consumes a code before it looks at secret or redirect URI: a failed exchange burns it.
    g.code = world.take_code(request.form.get("code", ""))
    return the_server().create_token_response()


@blueprint.get("/oauth/token")
@blueprint.get("/api/tokeninfo")
@machine("api")
def token_info() -> Response:
    """Tell whose a token is and how long it lives; a bad one is an error of the server's."""
    world = the_world()
    world.counters["api:tokeninfo"] += 1
    issued = world.access_tokens.get(request.args.get("access_token", ""))
    if issued is None or issued.is_expired() or issued.is_revoked():
        return make_response("An error has occurred.", 500, {"Content-Type": "text/plain"})
    answer = {
        "User": issued.grant.account.email,
        "Client": issued.grant.client.name,
        "ClientType": "ThirdParty",
        "LifeTime": issued.lifetime,
        "UtcIssued": datetime.fromtimestamp(issued.issued, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    }
    return make_response(json.dumps(answer), 200, {"Content-Type": "application/json"})
