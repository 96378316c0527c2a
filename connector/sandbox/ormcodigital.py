"""OrmcoDigital: My Account > My Profile, with the dialog that takes the authorization code."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Any
from urllib.parse import unquote, urlencode

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for

from connector.sandbox.accounts import Account
from connector.sandbox.sessions import browser_session, renew_session, signed_in, state
from connector.sandbox.state import Profile

__all__ = ["blueprint"]

blueprint: Blueprint = Blueprint("ormcodigital", __name__, url_prefix="/ormcodigital")

SCANNERS = ("3Shape Trios", "Align iTero", "Carestream", "Ormco Lythos", "Sirona Omnicam")

# Only one form is known to work, the result of the guide's manual steps: the address without
# "https://ormco.com/?code=" and without the "25". A whole URL, "%2521", spaces or a bare "!" are refused, so
# that no program relies on them.
_DIALOG_CODE = {
    "classic": re.compile(r"[A-Za-z0-9_-]{4}%21[A-Za-z0-9_-]{300,700}"),
    "identity": re.compile(r"[0-9A-F]{64}(-1)?"),
}


@blueprint.get("/", strict_slashes=False)
def home() -> Any:
    """Redirect to My Profile."""
    return redirect(url_for("ormcodigital.profile"))


@blueprint.route("/login", methods=["GET", "POST"])
def sign_in() -> Any:
    """Ask for user name and password."""
    if request.method == "POST":
        account = state.sign_in(request.form.get("username", ""), request.form.get("password", ""))
        if account and not account.is_lab:
            renew_session(ormcodigital=account.id)
            return redirect(url_for("ormcodigital.profile"), 303)
    return render_template("od_login.html", failed=request.method == "POST")


@blueprint.post("/logout")
def sign_out() -> Any:
    """End the session at OrmcoDigital."""
    renew_session(ormcodigital=None)
    return redirect(url_for("ormcodigital.sign_in"), 303)


@blueprint.get("/account/profile")
def profile() -> Any:
    """Show My Profile as it is saved."""
    account = signed_in("ormcodigital")
    if account is None:
        return redirect(url_for("ormcodigital.sign_in"))
    return _page(account, saved=request.args.get("saved") is not None)


@blueprint.post("/account/code")
def check_code() -> Any:
    """Check the form of the code that was entered in the dialog; nothing is saved yet."""
    if signed_in("ormcodigital") is None:
        abort(401)
    if _DIALOG_CODE[state.generation].fullmatch(request.form.get("code", "")):
        return {"accepted": True}
    return {"accepted": False, "message": "The authorization code is not valid."}


@blueprint.post("/account/profile")
def update() -> Any:
    """Save My Profile, and connect to 3Shape if a code was entered."""
    account = signed_in("ormcodigital")
    if account is None:
        return redirect(url_for("ormcodigital.sign_in"))
    stored = _stored(account)
    code = request.form.get("code", "")
    if code and not _connect(stored, code):
        return _page(account, problem="3Shape did not accept the authorization code. Please connect again.")
    scanner = request.form.get("scanner", "")
    stored.source = "scanner" if request.form.get("source") == "scanner" else "pvs"
    stored.scanner = scanner if scanner in SCANNERS else ""
    return redirect(url_for("ormcodigital.profile", saved="1"), 303)


def _page(account: Account, **values: Any) -> str:
    return render_template(
        "od_profile.html",
        practice=account,
        profile=_stored(account),
        scanners=SCANNERS,
        authorization_url=_authorization_url(),
        **values,
    )


def _stored(account: Account) -> Profile:
    return state.profiles.setdefault(account.id, Profile())


def _authorization_url() -> str:
    params = {
        "client_id": state.ormco.client_id,
        "redirect_uri": state.ormco.redirect_uris[0],
        "response_type": "code",
    }
    if state.generation == "classic":
        return f"{state.base_url}/oauth/authorise?{urlencode(params)}"
    verifier = browser_session().setdefault("verifier", secrets.token_urlsafe(32))
    digest = hashlib.sha256(verifier.encode()).digest()
    params |= {
        "scope": "openid profile offline_access api",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    return f"{state.base_url}/connect/authorize?{urlencode(params)}"


def _connect(stored: Profile, code: str) -> bool:
    """Exchange the code at the provider, as OrmcoDigital's own server would."""
    form = {
        "grant_type": "authorization_code",
        "code": unquote(code),
        "redirect_uri": state.ormco.redirect_uris[0],
        "client_id": state.ormco.client_id,
        "client_secret": state.ormco.secret,
    }
    path = "/oauth/token"
    if state.generation == "identity":
        form["code_verifier"] = browser_session().pop("verifier", "")
        path = "/connect/token"
    response = current_app.test_client(use_cookies=False).post(path, base_url=state.base_url, data=form)
    token = response.get_json(silent=True) if response.status_code == 200 else None
    connected = isinstance(token, dict) and "access_token" in token
    stored.connected = stored.connected or connected
    return connected
