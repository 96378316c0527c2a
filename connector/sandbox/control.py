"""The control: settings, scenarios, counters, and a consent without a browser."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urljoin, urlsplit

from flask import Blueprint, abort, current_app, request
from werkzeug.test import Client, TestResponse

from connector.sandbox.accounts import PRACTICE, Account
from connector.sandbox.scenarios import SCENARIOS
from connector.sandbox.sessions import endpoint_kind, state

__all__ = ["blueprint", "check_caller", "json_body"]

blueprint: Blueprint = Blueprint("control", __name__)

_SECONDS = ("approval_seconds", "slow_seconds", "late_seconds")
_ORDERS = ("reset", "end_access_tokens")
_KEYS = {"scenarios", *_ORDERS, *_SECONDS}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_REDIRECTS = 10


def check_caller() -> None:
    """Refuse a control call that a web page elsewhere could have sent: no JSON, or another Origin."""
    if endpoint_kind() != "control":
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).hostname not in _LOOPBACK:
        abort(403, "The sandbox is controlled from this machine only.")
    if request.method == "POST" and not request.is_json:
        abort(415, "Send JSON.")


def json_body() -> dict[str, Any]:
    """Return the JSON object of the request."""
    body = request.get_json()
    return body if isinstance(body, dict) else abort(400, "Send a JSON object.")


@blueprint.get("/sandbox/control")
def show() -> dict[str, Any]:
    """Return the settings and counters; never a code or token."""
    return {
        "generation": state.generation,
        "scenarios": sorted(state.scenarios),
        **state.seconds,
        "grants": {one.email: len(state.live_grants(one)) for one in state.accounts.values()},
        "counters": dict(sorted(state.counters.items())),
    }


@blueprint.post("/sandbox/control")
def change() -> dict[str, Any]:
    """Apply the settings in the JSON body, all of them or none.

    `reset` first forgets everything that happened; `end_access_tokens` ends the access tokens of classic.
    """
    body = json_body()
    if not body.keys() <= _KEYS:
        abort(400, f"Known keys: {', '.join(sorted(_KEYS))}.")
    if not all(isinstance(body.get(order, False), bool) for order in _ORDERS):
        abort(400, f"{' and '.join(_ORDERS)} are true or false.")
    seconds = {name: _seconds(name, body[name]) for name in _SECONDS if name in body}
    names = _names(body["scenarios"]) if "scenarios" in body else None
    if body.get("reset"):
        state.reset()
    if body.get("end_access_tokens"):
        state.access_tokens.clear()
    if names is not None:
        state.set_scenarios(names)
    state.seconds.update(seconds)
    return show()


@blueprint.post("/sandbox/consent")
def consent() -> dict[str, str]:
    """Go through an authorization request as a person does in a browser, and return the redirect URL.

    Keys: `authorization_url`; optional: `username` (an e-mail address, otherwise the practice) and `decision`
    ("allow" or "cancel"). The scenarios apply. 409 if the provider does not redirect.
    """
    body = json_body()
    url, decision = body.get("authorization_url"), body.get("decision", "allow")
    if not isinstance(url, str) or not url.startswith(f"{state.base_url}/"):
        abort(400, "authorization_url is not an address of this sandbox.")
    if decision not in ("allow", "cancel"):
        abort(400, 'decision is not "allow" or "cancel".')
    account = state.account_by_email(str(body.get("username", PRACTICE.email)))
    if account is None:
        abort(400, "There is no such account.")
    page = _consent_page(url, account, decision)
    if "Location" not in page.headers:
        abort(409, f"The provider does not redirect: it responds with {page.status} at {page.request.path}.")
    return {"redirect_url": page.headers["Location"]}


def _consent_page(url: str, account: Account, decision: str) -> TestResponse:
    """Open an authorization URL as a signed-in person, and press a button there."""
    key, form_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    state.add_session(key, {"communicate": state.seen_as(account).id, "form_token": form_token})
    browser = current_app.test_client()
    with browser.session_transaction(base_url=state.base_url) as session:
        session["id"] = key
    page = _follow(browser, browser.get(url))
    if page.status_code == 200:
        form = {"decision": decision, "form_token": form_token}
        page = _follow(browser, browser.post(urljoin(state.base_url, page.request.full_path), data=form))
    del state.sessions[key]
    return page


def _follow(browser: Client, page: TestResponse) -> TestResponse:
    """Follow redirects while they stay in the sandbox."""
    for _ in range(_MOST_REDIRECTS):
        address = urljoin(f"{state.base_url}/", page.headers.get("Location", ""))
        if "Location" not in page.headers or not address.startswith(f"{state.base_url}/"):
            break
        page = browser.get(address)
    return page


def _names(value: object) -> list[str]:
    names = value if isinstance(value, list) else abort(400, "scenarios is not a list.")
    if unknown := [name for name in names if not isinstance(name, str) or name not in SCENARIOS]:
        abort(400, f"There is no scenario {unknown[0]!r}.")
    return names


def _seconds(name: str, value: object) -> float | None:
    if value is None and name == "approval_seconds":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**6:
        abort(400, f"{name} is not a number of seconds.")
    return value
