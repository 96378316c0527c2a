"""The Applications page: what a practice has allowed, and the square icon that removes it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from connector.sandbox.sessions import sign_in_first, signed_in, the_world

__all__ = ["blueprint"]

blueprint = Blueprint("applications", __name__)


@blueprint.get("/User/Applications")
def applications() -> Any:
    """List the applications; with `remove` in the query, ask whether to remove that one."""
    account = signed_in()
    if account is None:
        return sign_in_first()
    clients = {grant.client.client_id: grant.client for grant in the_world().live_grants(account)}
    asked = clients.get(request.args.get("remove", ""))
    return render_template("applications.html", clients=list(clients.values()), asked=asked)


@blueprint.post("/User/Applications")
def remove() -> Any:
    """Remove an application; its grants die at once."""
    account = signed_in()
    if account is None:
        return sign_in_first()
    the_world().remove_application(account, request.form.get("application", ""))
    the_world().counters["applications_removed"] += 1
    return redirect(url_for("applications.applications"), 303)
