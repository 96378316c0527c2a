"""The identity authorization server: OpenID Connect in the manner of IdentityServer."""

from __future__ import annotations

import json
import secrets
from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for

from connector.sandbox.bearer import bearer_account
from connector.sandbox.clients import IDENTITY_SCOPES
from connector.sandbox.consent import ask, the_server
from connector.sandbox.sessions import machine, signed_in, the_world
from connector.sandbox.tokens import public_claims, signing_key

__all__ = ["blueprint"]

blueprint = Blueprint("identity", __name__)


@blueprint.get("/.well-known/openid-configuration")
@machine("open")
def discovery() -> Response:
    """Describe this server to clients."""
    base = the_world().base_url
    return _json(
        {
            "issuer": base,
            "jwks_uri": f"{base}/.well-known/openid-configuration/jwks",
            "authorization_endpoint": f"{base}/connect/authorize",
            "token_endpoint": f"{base}/connect/token",
            "userinfo_endpoint": f"{base}/connect/userinfo",
            "revocation_endpoint": f"{base}/connect/revocation",
            "scopes_supported": list(IDENTITY_SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "subject_types_supported": ["public"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
    )


@blueprint.get("/.well-known/openid-configuration/jwks")
@machine("open")
def jwks() -> Response:
    """Publish the key that signs tokens."""
    return _json({"keys": [signing_key().as_dict(private=False)]})


@blueprint.get("/connect/authorize")
@blueprint.route("/connect/authorize/callback", methods=["GET", "POST"], endpoint="callback")
def authorize() -> Any:
    """Be the authorization endpoint; whatever is wrong with a request ends on /home/error."""
    if the_world().on("error-page"):
        return redirect(url_for("identity.error", errorId=secrets.token_urlsafe(24)))
    try:
        grant = the_server().get_consent_grant(end_user=signed_in())
    except OAuth2Error:
        return redirect(url_for("identity.error", errorId=secrets.token_urlsafe(24)))
    if request.path == url_for("identity.authorize"):
        return redirect(f"{url_for('identity.callback')}?{request.query_string.decode('latin-1')}")
    return ask(grant)


@blueprint.get("/home/error")
def error() -> Any:
    """Be the page that never returns."""
    return render_template("error.html", title="Error", detail="Sorry, there was an error.")


@blueprint.post("/connect/token")
@machine("token")
def token() -> Any:
    """Be the token endpoint."""
    world = the_world()
    world.count_token_call(request.form.get("grant_type", ""))
    g.code = world.take_code(request.form.get("code", ""))
    return the_server().create_token_response()


@blueprint.post("/connect/revocation")
@machine("api")
def revocation() -> Any:
    """Revoke a refresh token (RFC 7009)."""
    the_world().counters["revocations"] += 1
    return the_server().create_endpoint_response("revocation")


@blueprint.route("/connect/userinfo", methods=["GET", "POST"])
@machine("api")
def userinfo() -> Response:
    """Tell whose token it is."""
    the_world().counters["api:userinfo"] += 1
    return _json(public_claims(bearer_account("openid")))


def _json(value: dict[str, Any]) -> Response:
    return make_response(json.dumps(value), 200, {"Content-Type": "application/json"})
