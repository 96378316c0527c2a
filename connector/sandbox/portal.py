"""3Shape's pages for people: Connections, Add Connection, Cases, and the Applications page."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for

from connector.sandbox.accounts import Account, LabConnection
from connector.sandbox.case_control import send_case
from connector.sandbox.case_store import SandboxCase
from connector.sandbox.sessions import sign_in_first, signed_in, state
from connector.sandbox.users_api import find_users

__all__ = ["blueprint"]

blueprint: Blueprint = Blueprint("portal", __name__)

_CASES_SHOWN = 50


@blueprint.before_request
def _sign_in() -> Any:
    return None if signed_in() else sign_in_first()


@blueprint.get("/portal/", strict_slashes=False)
@blueprint.get("/portal/login")
def home() -> Any:
    """Redirect to the Connections tab."""
    return redirect(url_for("portal.connections"))


@blueprint.get("/portal/connections")
def connections() -> Any:
    """Show the account's connections; with `remove` in the query, ask whether to remove that one."""
    account = _account()
    rows = state.lab_connections.of(account)
    asked = next((row for row in rows if row.id == request.args.get("remove")), None)
    return render_template("connections.html", rows=rows, asked=asked)


@blueprint.get("/portal/connections/add")
def add() -> Any:
    """Search for a lab or practice to connect to."""
    account = _account()
    text = request.args.get("search", "")
    # Without a search, the other kind is selected: practices look for labs.
    shown = request.args.getlist("show") if "search" in request.args else [_partner_role(account)]
    # As in the guide's picture, a search for an e-mail address also finds those that begin alike.
    likely = find_users(text.partition("@")[0])
    found = [other for other in likely if other is not account and other.role in shown]
    return render_template("add_connection.html", text=text, shown=shown, found=found if text else None)


@blueprint.post("/portal/connections/add")
def request_connection() -> Any:
    """Request a connection with the account that was selected in the search results."""
    account = _account()
    partner = state.accounts.get(request.form.get("user", ""))
    if partner is None or partner.role != _partner_role(account):
        abort(400, "A connection joins a practice and a lab.")
    state.lab_connections.request(account, partner)
    return redirect(url_for("portal.connections"), 303)


@blueprint.post("/portal/connections/<connection_id>/approve")
def approve(connection_id: str) -> Any:
    """Accept a request that the other side has sent."""
    row = _row(connection_id)
    if row.invited is not _account():
        abort(400, "Only the other side can accept this request.")
    row.accepted = True
    return redirect(url_for("portal.connections"), 303)


@blueprint.post("/portal/connections/<connection_id>/remove")
def remove(connection_id: str) -> Any:
    """Remove a connection, or reject or withdraw a request: the red cross."""
    state.lab_connections.remove(_row(connection_id))
    return redirect(url_for("portal.connections"), 303)


@blueprint.get("/portal/cases/", strict_slashes=False)
def cases() -> Any:
    """Show the account's cases, the newest first."""
    account = _account()
    found = state.cases.of(account)
    labs = [row.partner_of(account) for row in state.lab_connections.of(account) if row.accepted]
    return render_template("cases.html", cases=found[:_CASES_SHOWN], count=len(found), labs=labs)


@blueprint.post("/portal/cases/", strict_slashes=False)
def send() -> Any:
    """Send a new case to a lab."""
    account = _account()
    lab = state.accounts.get(request.form.get("lab", ""))
    row = state.lab_connections.between(account, lab) if lab else None
    if account.is_lab or lab is None or row is None or not row.accepted:
        abort(400, "A practice sends cases to a lab that it is connected with.")
    return redirect(url_for("portal.case", case_id=send_case(account, lab).id), 303)


@blueprint.get("/portal/cases/<case_id>")
def case(case_id: str) -> Any:
    """Show one case: its status, its history, and the actions of this side."""
    account, found = _account(), _case(case_id)
    return render_template("case.html", case=found, actions=found.actions(account.role))


@blueprint.post("/portal/cases/<case_id>")
def act(case_id: str) -> Any:
    """Carry out an action."""
    account, found = _account(), _case(case_id)
    try:
        state.cases.act(found, request.form.get("action", ""), account.role)
    except ValueError as impossible:
        abort(400, f"{impossible}.")
    return redirect(url_for("portal.case", case_id=found.id), 303)


@blueprint.get("/User/Applications")
def applications() -> Any:
    """List the applications; with `remove` in the query, ask whether to remove that one."""
    clients = {grant.client.client_id: grant.client for grant in state.live_grants(_account())}
    asked = clients.get(request.args.get("remove", ""))
    return render_template("applications.html", clients=list(clients.values()), asked=asked)


@blueprint.post("/User/Applications")
def remove_application() -> Any:
    """Remove an application; its grants end immediately."""
    for grant in state.live_grants(_account()):
        if grant.client.client_id == request.form.get("application"):
            grant.revoked = True
    state.counters["applications_removed"] += 1
    return redirect(url_for("portal.applications"), 303)


@blueprint.app_template_filter("timestamp")
def _timestamp(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _account() -> Account:
    return signed_in() or abort(401)


def _partner_role(account: Account) -> str:
    return "Clinic" if account.is_lab else "Lab"


def _row(connection_id: str) -> LabConnection:
    return state.lab_connections.get(_account(), connection_id) or abort(404)


def _case(case_id: str) -> SandboxCase:
    found = state.cases.get(case_id)
    return found if found and _account() in (found.clinic, found.lab) else abort(404)
