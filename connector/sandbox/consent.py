"""The Authorize page: what both generations show, and what follows Allow access or Cancel."""

from __future__ import annotations

import secrets
from typing import Any, cast

from authlib.integrations.flask_oauth2 import AuthorizationServer
from flask import current_app, redirect, render_template, request, url_for

from connector.sandbox.accounts import Account
from connector.sandbox.sessions import here, sign_in_first, signed_in, the_world

__all__ = ["ask", "the_server"]


def the_server() -> AuthorizationServer:
    """Return the authorization server of this sandbox."""
    return cast(AuthorizationServer, current_app.extensions["authorization_server"])


def ask(grant: Any) -> Any:
    """Sign the practice in, show the Authorize page, or answer what was pressed on it.

    Args:
        grant: Authlib's grant of a valid authorization request.
    """
    world = the_world()
    account = signed_in()
    new_window = world.on("popup") and request.args.get("window") != "consent"
    if account is None:
        return sign_in_first(popup=new_window)
    if request.method == "POST":
        return _answer(grant, account)
    if new_window:
        return render_template("open_window.html", address=f"{here()}&window=consent")
    world.counters["consent_pages"] += 1
    page = "authorize_changed.html" if world.on("page-changed") else "authorize.html"
    return render_template(page, client=grant.request.client, cancel=not world.on("no-cancel"))


def _answer(grant: Any, account: Account) -> Any:
    world = the_world()
    allowed = request.form.get("decision") == "allow" and not world.on("deny")
    response = the_server().create_authorization_response(
        grant.request, grant_user=account if allowed else None, grant=grant
    )
    world.counters["allowed" if allowed else "denied"] += 1
    if not world.on("redirect-chain"):
        return response
    key = secrets.token_urlsafe(16)
    world.pending_redirects[key] = response.headers["Location"]
    return redirect(url_for("login.redirect_chain", key=key, step=1), 303)
