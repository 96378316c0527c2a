"""The Communicate portal: Connections, Add Connection, and the lab's side of both."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for

from connector.sandbox.accounts import Account
from connector.sandbox.lab_connections import LabConnection
from connector.sandbox.sessions import sign_in_first, signed_in, the_world
from connector.sandbox.users_api import find_users

__all__ = ["blueprint"]

blueprint = Blueprint("portal", __name__, url_prefix="/portal")


@blueprint.before_request
def _sign_in() -> Any:
    return None if signed_in() else sign_in_first()


@blueprint.get("/", strict_slashes=False)
@blueprint.get("/login")
def home() -> Any:
    """Lead to the Connections tab."""
    return redirect(url_for("portal.connections"))


@blueprint.get("/connections")
def connections() -> Any:
    """Show the account's connections; with `remove` in the query, ask whether to remove that one."""
    account = _account()
    rows = the_world().lab_connections.of(account)
    asked = next((row for row in rows if row.id == request.args.get("remove")), None)
    return render_template("connections.html", rows=rows, asked=asked)


@blueprint.get("/connections/add")
def add() -> Any:
    """Search for a lab or practice to connect to."""
    account = _account()
    text = request.args.get("search", "")
    # Before anything is searched for, the kind to show is the other one: practices look for labs.
    shown = request.args.getlist("show") if "search" in request.args else [_partner_role(account)]
    # As in the guide's picture: an e-mail address finds those that begin alike, too.
    likely = find_users(text.partition("@")[0])
    found = [other for other in likely if other is not account and other.role in shown]
    return render_template("add_connection.html", text=text, shown=shown, found=found if text else None)


@blueprint.post("/connections/add")
def request_connection() -> Any:
    """Ask the account that was selected in the search results."""
    account = _account()
    rows = the_world().lab_connections
    partner = the_world().accounts.get(request.form.get("user", ""))
    if partner is None or partner.role != _partner_role(account):
        abort(400, "A connection joins a practice and a lab.")
    if not rows.between(account, partner):
        rows.request(account, partner)
    return redirect(url_for("portal.connections"), 303)


@blueprint.post("/connections/<connection_id>/approve")
def approve(connection_id: str) -> Any:
    """Accept a request that the other side has sent."""
    row = _row(connection_id)
    if row.invited is not _account():
        abort(400, "Only the other side can accept this request.")
    row.accepted = True
    return redirect(url_for("portal.connections"), 303)


@blueprint.post("/connections/<connection_id>/remove")
def remove(connection_id: str) -> Any:
    """Remove, reject or withdraw: the red cross."""
    the_world().lab_connections.remove(_row(connection_id))
    return redirect(url_for("portal.connections"), 303)


def _account() -> Account:
    return signed_in() or abort(401)


def _partner_role(account: Account) -> str:
    return "Clinic" if account.is_lab else "Lab"


def _row(connection_id: str) -> LabConnection:
    return the_world().lab_connections.get(_account(), connection_id) or abort(404)
