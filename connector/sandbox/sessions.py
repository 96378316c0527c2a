"""Browser sessions, the login page, and the check that a form comes from the sandbox's own pages."""

from __future__ import annotations

import secrets
from typing import Any, cast
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.local import LocalProxy

from connector.sandbox.accounts import Account
from connector.sandbox.state import State

__all__ = [
    "blueprint",
    "browser_session",
    "check_form",
    "current_path",
    "endpoint_kind",
    "renew_session",
    "sign_in_first",
    "signed_in",
    "state",
    "template_values",
]

#: the state of the sandbox that handles this request
state: State = cast(State, LocalProxy(lambda: current_app.extensions["state"]))
blueprint: Blueprint = Blueprint("login", __name__)


# Views that programs call need no form token, and faults apply to them by their kind. Only an outage affects
# an "open" one. A kind is that of a whole blueprint or of one endpoint.
_KINDS = {
    "users_api": "api",
    "metadata_api": "api",
    "metadata_api.blob": "blob",
    "control": "control",
    "case_control": "control",
    "classic.token": "token",
    "identity.token": "token",
    "identity.revocation": "revocation",
    "identity.userinfo": "api",
    "identity.discovery": "open",
    "identity.jwks": "open",
}


def endpoint_kind() -> str:
    """Return the kind of the view that handles this request; "page" for those that people use."""
    return _KINDS.get(request.endpoint or "") or _KINDS.get(request.blueprint or "", "page")


def browser_session() -> dict[str, str]:
    """Return the session of this browser.

    Its values are kept on the server, not in the cookie, so that a copied cookie is worthless after logging
    out.
    """
    values = state.sessions.get(session.get("id", ""))
    if values is None:
        values = {}
        session["id"] = secrets.token_urlsafe(32)
        state.add_session(session["id"], values)
    return values


def renew_session(**changes: str | None) -> None:
    """Change the session and give it a new id; the old id ends. A value of None is removed."""
    values = {**browser_session(), **changes}
    del state.sessions[session["id"]]
    session["id"] = secrets.token_urlsafe(32)
    state.add_session(session["id"], {key: value for key, value in values.items() if value is not None})


def signed_in(site: str = "communicate") -> Account | None:
    """Return the account that is signed in at a site."""
    return state.accounts.get(state.sessions.get(session.get("id", ""), {}).get(site, ""))


def current_path() -> str:
    """Return this request's path and query."""
    return request.full_path.rstrip("?")


def sign_in_first(*, popup: bool = False) -> Response:
    """Return the redirect to the login page, which leads back to the current address."""
    back = current_path() + ("&window=consent" if popup else "")
    return cast(Response, redirect(url_for("login.sign_in", ReturnUrl=back, popup="1" if popup else None)))


@blueprint.get("/")
def start() -> Any:
    """Redirect to the portal."""
    return redirect(url_for("portal.home"))


@blueprint.route("/Account/Login", methods=["GET", "POST"])
def sign_in() -> Any:
    """Ask for e-mail address and password, then return to the address where the person came from."""
    email = request.form.get("Email", "")
    if request.method == "POST":
        account = state.sign_in(email, request.form.get("Password", ""))
        if account:
            renew_session(communicate=state.seen_as(account).id)
            state.counters["sign_ins"] += 1
            return redirect(_local_address(request.args.get("ReturnUrl"), url_for("portal.home")), 302)
    popup = request.args.get("popup") is not None
    return render_template("login.html", failed=request.method == "POST", popup=popup, email=email)


@blueprint.post("/Account/Logout")
def sign_out() -> Any:
    """End the session at the provider."""
    renew_session(communicate=None)
    return redirect(url_for("login.sign_in"))


def check_form() -> None:
    """Refuse a form that does not come from the sandbox's own pages (CSRF)."""
    if request.method != "POST" or endpoint_kind() != "page":
        return
    sent, held = request.form.get("form_token", ""), browser_session().get("form_token", "")
    if not held or not secrets.compare_digest(sent.encode(), held.encode()):
        abort(400, "This page is out of date. Go back, reload it and try again.")


def template_values() -> dict[str, Any]:
    """Return the values that every template may use."""
    return {"form_token": _form_token, "account": signed_in()}


def _form_token() -> str:
    return browser_session().setdefault("form_token", secrets.token_urlsafe(32))


def _local_address(address: str | None, otherwise: str) -> str:
    """Return an address if it is a path of this origin: the login page is not an open redirect."""
    if not address or "\\" in address or not address.startswith("/") or address.startswith("//"):
        return otherwise
    parts = urlsplit(address)
    return otherwise if parts.scheme or parts.netloc else address
