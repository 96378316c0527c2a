"""3Shape's login page: one for the Authorize page, the portal and the Applications page."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, session, url_for

from connector.sandbox.sessions import local_address, the_world

__all__ = ["blueprint"]

blueprint = Blueprint("login", __name__)


@blueprint.get("/")
def start() -> Any:
    """Lead to the portal."""
    return redirect(url_for("portal.home"))


@blueprint.route("/Account/Login", methods=["GET", "POST"])
def sign_in() -> Any:
    """Ask for e-mail address and password, then go on to where the person came from."""
    world = the_world()
    back = local_address(request.args.get("ReturnUrl"), url_for("portal.home"))
    failed = False
    if request.method == "POST":
        account = world.sign_in_to_communicate(
            request.form.get("Email", ""), request.form.get("Password", "")
        )
        if account:
            session["communicate"] = account.id
            world.counters["sign_ins"] += 1
            return redirect(back, 302)
        failed = True
    popup = request.args.get("popup") is not None
    return render_template("login.html", failed=failed, popup=popup, email=request.form.get("Email", ""))


@blueprint.post("/Account/Logout")
def sign_out() -> Any:
    """End the session at the provider."""
    session.pop("communicate", None)
    return redirect(url_for("login.sign_in"))


@blueprint.get("/oauth/continue/<key>/<int:step>")
def redirect_chain(key: str, step: int) -> Any:
    """Be one of several redirects on the way to the redirect URI."""
    world = the_world()
    if step < 3:
        return redirect(url_for("login.redirect_chain", key=key, step=step + 1), 302)
    address = world.pending_redirects.pop(key, None)
    return redirect(address, 307) if address else abort(404)
