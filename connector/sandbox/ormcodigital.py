"""OrmcoDigital: My Account > My Profile, with the dialog that takes the authorization code."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Any
from urllib.parse import unquote, urlencode

from flask import Blueprint, abort, current_app, redirect, render_template, request, session, url_for

from connector.sandbox.accounts import Account
from connector.sandbox.clients import CLIENT_ID, client_secret
from connector.sandbox.sessions import signed_in, the_world
from connector.sandbox.world import Profile

__all__ = ["blueprint"]

blueprint = Blueprint("ormcodigital", __name__, url_prefix="/ormcodigital")

SCANNERS = ("3Shape Trios", "Align iTero", "Carestream", "Ormco Lythos", "Sirona Omnicam")

# Known is one form only, the one that the guide's manual steps end with: "https://ormco.com/?code=" and the
# "25" taken away. A whole URL, "%2521", spaces or a bare "!" are refused, so that nobody relies on them.
_DIALOG_CODE = {
    "classic": re.compile(r"[A-Za-z0-9_-]{4}%21[A-Za-z0-9_-]{300,700}"),
    "identity": re.compile(r"[0-9A-F]{64}(-1)?"),
}


@blueprint.get("/", strict_slashes=False)
def home() -> Any:
    """Lead to My Profile."""
    return redirect(url_for("ormcodigital.profile"))


@blueprint.route("/login", methods=["GET", "POST"])
def sign_in() -> Any:
    """Ask for user name and password."""
    failed = False
    if request.method == "POST":
        account = the_world().sign_in(request.form.get("username", ""), request.form.get("password", ""))
        if account and not account.is_lab:
            session["ormcodigital"] = account.id
            return redirect(url_for("ormcodigital.profile"), 303)
        failed = True
    return render_template("od_login.html", failed=failed)


@blueprint.post("/logout")
def sign_out() -> Any:
    """End the session at OrmcoDigital."""
    session.pop("ormcodigital", None)
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
    """Tell the dialog whether what stands under Enter Code can be a code; nothing is saved yet."""
    if signed_in("ormcodigital") is None:
        abort(401)
    if _DIALOG_CODE[the_world().generation].fullmatch(request.form.get("code", "")):
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
    return the_world().profiles.setdefault(account.id, Profile())


def _authorization_url() -> str:
    world = the_world()
    params = {
        "client_id": CLIENT_ID,
        "redirect_uri": world.clients[CLIENT_ID].redirect_uris[0],
        "response_type": "code",
    }
    if world.generation == "classic":
        return f"{world.base_url}/oauth/authorise?{urlencode(params)}"
    verifier = session.setdefault("verifier", secrets.token_urlsafe(32))
    digest = hashlib.sha256(verifier.encode()).digest()
    params |= {
        "scope": "openid profile offline_access api",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    return f"{world.base_url}/connect/authorize?{urlencode(params)}"


def _connect(stored: Profile, code: str) -> bool:
    """Exchange the code at the provider, as OrmcoDigital's own server would."""
    world = the_world()
    form = {
        "grant_type": "authorization_code",
        "code": unquote(code),
        "redirect_uri": world.clients[CLIENT_ID].redirect_uris[0],
    }
    path = "/oauth/token"
    if world.generation == "identity":
        form["code_verifier"] = session.pop("verifier", "")
        path = "/connect/token"
    answer = current_app.test_client(use_cookies=False).post(
        path, base_url=world.base_url, data=form | _client_data(world.generation)
    )
    token = answer.get_json(silent=True) if answer.status_code == 200 else None
    connected = isinstance(token, dict) and "access_token" in token
    stored.connected = stored.connected or connected
    return connected


def _client_data(generation: str) -> dict[str, str]:
    return {"client_id": CLIENT_ID, "client_secret": client_secret(generation)}
