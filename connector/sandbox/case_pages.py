"""The portal's Cases tab: both sides see their cases there and take their steps."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for

from connector.sandbox.accounts import Account
from connector.sandbox.case_book import SandboxCase
from connector.sandbox.case_control import send_case
from connector.sandbox.sessions import sign_in_first, signed_in, the_world

__all__ = ["blueprint"]

blueprint = Blueprint("case_pages", __name__, url_prefix="/portal/cases")

_PAGE = 50


@blueprint.app_template_filter("moment")
def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


@blueprint.before_request
def _sign_in() -> Any:
    return None if signed_in() else sign_in_first()


@blueprint.get("/", strict_slashes=False)
def listing() -> Any:
    """Show the account's cases, the newest first."""
    account = _account()
    cases = the_world().cases.of(account)
    labs = [row.partner_of(account) for row in the_world().lab_connections.of(account) if row.accepted]
    return render_template("cases.html", cases=cases[:_PAGE], count=len(cases), labs=labs)


@blueprint.post("/")
def send() -> Any:
    """Send a new case to a lab."""
    account = _account()
    lab = the_world().accounts.get(request.form.get("lab", ""))
    row = the_world().lab_connections.between(account, lab) if lab else None
    if account.is_lab or lab is None or row is None or not row.accepted:
        abort(400, "A practice sends cases to a lab that it is connected with.")
    case = send_case(account, lab)
    return redirect(url_for("case_pages.show", case_id=case.id), 303)


@blueprint.get("/<case_id>")
def show(case_id: str) -> Any:
    """Show one case: its status, its history, and what this side can do."""
    account, case = _account(), _case(case_id)
    return render_template("case.html", case=case, actions=case.actions(account.role))


@blueprint.post("/<case_id>")
def act(case_id: str) -> Any:
    """Take a step."""
    account, case = _account(), _case(case_id)
    try:
        the_world().cases.act(case, request.form.get("action", ""), account.role)
    except ValueError as impossible:
        abort(400, f"{impossible}.")
    return redirect(url_for("case_pages.show", case_id=case.id), 303)


def _account() -> Account:
    return signed_in() or abort(401)


def _case(case_id: str) -> SandboxCase:
    case = the_world().cases.get(case_id)
    return case if case and _account() in (case.clinic, case.lab) else abort(404)
