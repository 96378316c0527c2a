"""The endpoints of both authorization servers: authorize, token, revocation, discovery, userinfo."""

from __future__ import annotations

import secrets
from typing import Any, cast
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from flask import Blueprint, abort, current_app, g, redirect, render_template, request, url_for

from connector.sandbox.accounts import Account
from connector.sandbox.clients import IDENTITY_SCOPES
from connector.sandbox.sessions import current_path, sign_in_first, signed_in, state
from connector.sandbox.tokens import public_claims, signing_key
from connector.sandbox.users_api import bearer_account

__all__ = ["classic", "identity", "landing_origin", "shared"]

classic: Blueprint = Blueprint("classic", __name__)
identity: Blueprint = Blueprint("identity", __name__)
shared: Blueprint = Blueprint("consent", __name__)


def _server() -> AuthorizationServer:
    return cast(AuthorizationServer, current_app.extensions["authorization_server"])


@classic.route("/oauth/authorise", methods=["GET", "POST"])
def authorise() -> Any:
    """Handle an authorization request; the real path has the British spelling too."""
    if state.on("error-page"):
        return _error_page("The request could not be processed.")
    try:
        grant = _server().get_consent_grant(end_user=signed_in())
    except OAuth2Error as error:
        if error.redirect_uri:
            return _server().handle_error_response(None, error)
        return _error_page(error.description)
    return _ask(grant)


def _error_page(detail: str) -> Any:
    # Never redirect to an unknown application or address: it could belong to anyone.
    return render_template("error.html", title="Error", detail=detail), 400


@identity.get("/connect/authorize")
@identity.route("/connect/authorize/callback", methods=["GET", "POST"], endpoint="callback")
def authorize() -> Any:
    """Handle an authorization request; every error in it leads to /home/error."""
    wrong = redirect(url_for("identity.error", errorId=secrets.token_urlsafe(24)))
    if state.on("error-page"):
        return wrong
    try:
        grant = _server().get_consent_grant(end_user=signed_in())
    except OAuth2Error:
        return wrong
    if request.path == url_for("identity.authorize"):
        return redirect(f"{url_for('identity.callback')}?{request.query_string.decode('latin-1')}")
    return _ask(grant)


@identity.get("/home/error")
def error() -> Any:
    """Show the error page, which never redirects."""
    return render_template("error.html", title="Error", detail="Sorry, there was an error.")


def _ask(grant: Any) -> Any:
    """Sign the practice in, show the Authorize page, or handle the button that was pressed there."""
    account = signed_in()
    new_window = state.on("popup") and request.args.get("window") != "consent"
    if account is None:
        return sign_in_first(popup=new_window)
    if request.method == "POST":
        return _token_response(grant, account)
    if new_window:
        return render_template("open_window.html", address=f"{current_path()}&window=consent")
    state.counters["consent_pages"] += 1
    page = "authorize_changed.html" if state.on("page-changed") else "authorize.html"
    return render_template(
        page, client=grant.request.client, cancel=not state.on("no-cancel"), frames=_frames()
    )


def _token_response(grant: Any, account: Account) -> Any:
    allowed = request.form.get("decision") == "allow" and not state.on("deny")
    response = _server().create_authorization_response(
        grant.request, grant_user=account if allowed else None, grant=grant
    )
    state.counters["allowed" if allowed else "denied"] += 1
    if not state.on("redirect-chain"):
        return response
    key = secrets.token_urlsafe(16)
    state.pending_redirects[key] = response.headers["Location"]
    return redirect(url_for("consent.redirect_chain", key=key, step=1), 303)


@shared.get("/oauth/continue/<key>/<int:step>")
def redirect_chain(key: str, step: int) -> Any:
    """Return one of several redirects on the way to the redirect URI."""
    if step < 3:
        return redirect(url_for("consent.redirect_chain", key=key, step=step + 1), 302)
    address = state.pending_redirects.pop(key, None)
    return redirect(address, 307) if address else abort(404)


@shared.get("/oauth/frame")
def frame() -> Any:
    """Return a frame that contains a frame on the landing host."""
    return render_template("frame.html", address=f"{landing_origin()}/?code=ATTACKERCODE&error=1")


def _frames() -> list[str]:
    if not state.on("landing-frame"):
        return []
    landing = landing_origin()
    back = request.args.get("redirect_uri", f"{landing}/").partition("?")[0]
    return [
        f"{back}?error=login_required",
        f"{back}?code=ATTACKERCODE",
        f"{landing}/silent?error=1",
        url_for("consent.frame", redirect_uri=back),
    ]


def landing_origin() -> str:
    """Return the origin of the landing host of this request."""
    parts = urlsplit(request.args.get("redirect_uri", "https://ormco.com/"))
    return f"{parts.scheme}://{parts.netloc}"


@classic.post("/oauth/token")
@identity.post("/connect/token")
def token() -> Any:
    """Handle a token request."""
    state.count_token_call(request.form.get("grant_type", ""))
    # DotNetOpenAuth spends a code before it checks secret and redirect URI, even if the exchange then fails.
    g.code = state.take_code(request.form.get("code", ""))
    return _server().create_token_response()


@identity.post("/connect/revocation")
def revocation() -> Any:
    """Revoke a refresh token (RFC 7009)."""
    state.counters["revocations"] += 1
    return _server().create_endpoint_response("revocation")


@identity.get("/.well-known/openid-configuration")
def discovery() -> dict[str, Any]:
    """Return the discovery document."""
    base = state.base_url
    return {
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


@identity.get("/.well-known/openid-configuration/jwks")
def jwks() -> dict[str, Any]:
    """Publish the key that signs tokens."""
    return {"keys": [signing_key().as_dict(private=False)]}


@identity.route("/connect/userinfo", methods=["GET", "POST"])
def userinfo() -> dict[str, Any]:
    """Return the account of a token."""
    state.counters["api:userinfo"] += 1
    return public_claims(bearer_account("openid"))
