"""Sessions, sign-in, forms that only this application's pages can send, and headers."""

from __future__ import annotations

import hmac
import math
import secrets
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from flask import (
    Flask,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from people import PEOPLE, sign_in
from sessions import ServerSession, ServerSessions
from werkzeug.exceptions import HTTPException, SecurityError

__all__ = ["protect"]

_OPEN = {"login", "static"}
_LONGEST_NAME = 100
_HEADERS = {
    # The callback's address has the code in it: no page that follows is told where the browser came from.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    # No form-action: Chromium applies it to the redirects that follow a form too, and which hosts 3Shape's
    # sign-in goes through is 3Shape's business.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'",
}


class _StrangeHostError(HTTPException):
    """The request is for another host."""

    code = 400


def protect(app: Flask, *, url: str, sessions: Path) -> None:
    """Give an application sessions and sign-in, and refuse what no page of its own has sent.

    Args:
        app: the application.
        url: the address that people use.
        sessions: the file that all worker processes keep sessions in.
    """
    address = urlsplit(url)
    by_tls = address.scheme == "https"
    app.session_interface = ServerSessions(sessions)
    app.extensions["address"] = address
    app.config.update(
        # "__Host-": no other host of the domain, and no page without TLS, can set it. Without TLS, cookies do
        # not know ports: several applications of this machine need several names.
        SESSION_COOKIE_NAME="__Host-example" if by_tls else f"example-{address.port or address.scheme}",
        # Not "Strict": 3Shape's redirect comes from another site, and has to find the session.
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=by_tls,
        MAX_CONTENT_LENGTH=256 * 1024,
    )
    app.before_request(_refuse_strange_hosts)
    app.before_request(_require_own_form)
    app.before_request(_require_person)
    app.after_request(_add_headers)
    app.add_url_rule("/", "start", lambda: redirect(url_for("profile")))
    app.add_url_rule("/login", view_func=login, methods=["GET", "POST"])
    app.add_url_rule("/logout", view_func=logout, methods=["POST"])
    app.context_processor(lambda: {"form_token": _form_token, "person": g.get("person")})
    app.register_error_handler(HTTPException, _error_page)


def login() -> str | Response:
    """Ask for name and password, then go to the profile; nowhere else, whatever the address says."""
    if request.method == "GET":
        return render_template("login.html")
    user = request.form.get("user", "")[:_LONGEST_NAME]
    sessions = cast(ServerSessions, current_app.session_interface)
    # Before the password is looked at: otherwise the pause would tell which one is right.
    if pause := sessions.pause(user):
        flash(f"Too many wrong passwords. Try again in {math.ceil(pause)} seconds.", "bad")
        return render_template("login.html", user=user)
    right = sign_in(user, request.form.get("password", "")) is not None
    sessions.note(user, right=right)
    if not right:
        flash("Name or password is not right.", "bad")
        return render_template("login.html", user=user)
    cast(ServerSession, session).start_anew()
    session.update(user=user, secret=secrets.token_urlsafe(32))
    return redirect(url_for("profile"), 303)  # type: ignore[return-value]


def logout() -> Response:
    """End the session, on the server too: a cookie that somebody kept opens nothing."""
    cast(ServerSession, session).start_anew()
    return redirect(url_for("login"), 303)  # type: ignore[return-value]


def _refuse_strange_hosts() -> None:
    # Any other name, or port, is one of another site's, made to point here (DNS rebinding).
    if request.host.lower() != current_app.extensions["address"].netloc.lower():
        raise _StrangeHostError


def _require_own_form() -> None:
    if request.method != "POST":
        return
    sent, held = request.form.get("form_token", ""), session.get("form_token", "")
    if not held or not hmac.compare_digest(sent.encode(), held.encode()):
        abort(400, "This page is out of date. Go back, reload it, and try again.")


def _form_token() -> str:
    token: str = session.setdefault("form_token", secrets.token_urlsafe(32))
    return token


def _require_person() -> Any:
    g.person = PEOPLE.get(session.get("user", ""))
    if g.person is not None or request.endpoint in _OPEN:
        return None
    if request.endpoint == "connected":
        flash(
            "This browser is not signed in, so 3Shape's answer was not used. Sign in and connect again.",
            "bad",
        )
    return redirect(url_for("login"), 303)


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if current_app.extensions["address"].scheme == "https":
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def _error_page(error: HTTPException) -> Any:
    if isinstance(error, _StrangeHostError | SecurityError):  # links are not made for such a host
        return "This is not the address of this application.\n", 400, {"Content-Type": "text/plain"}
    return render_template("error.html", title=error.name, text=error.description), error.code or 500
