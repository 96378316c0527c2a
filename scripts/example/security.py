"""Sessions, sign-in, forms that only this application's pages can send, and headers."""

from __future__ import annotations

import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, flash, g, redirect, render_template, request, session, url_for
from people import PEOPLE, sign_in
from werkzeug.exceptions import HTTPException, SecurityError

__all__ = ["protect"]

_OPEN = {"login", "static"}
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


def protect(app: Flask, *, url: str, secret: bytes) -> None:
    """Give an application sessions and sign-in, and refuse what no page of its own has sent.

    Args:
        app: the application.
        url: the address that people use.
        secret: what session cookies are signed with.
    """
    address = urlsplit(url)
    app.config.update(
        SECRET_KEY=secret,
        # Cookies do not know ports: several applications of this machine need several names.
        SESSION_COOKIE_NAME=f"example-{address.port or address.scheme}",
        # Not "Strict": 3Shape's redirect comes from another site, and has to find the session.
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=address.scheme == "https",
        TRUSTED_HOSTS=[address.hostname],
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
    user = request.form.get("user", "")
    if sign_in(user, request.form.get("password", "")) is None:
        flash("Name or password is not right.", "bad")
        return render_template("login.html", user=user)
    # A new session: nobody can have planted this one before.
    session.clear()
    session.update(user=user, secret=secrets.token_urlsafe(32))
    return redirect(url_for("profile"), 303)  # type: ignore[return-value]


def logout() -> Response:
    """End the session."""
    session.clear()
    return redirect(url_for("login"), 303)  # type: ignore[return-value]


def _refuse_strange_hosts() -> None:
    # Any other name is one of another site's, made to point here (DNS rebinding).
    if isinstance(request.routing_exception, SecurityError):
        raise request.routing_exception


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
    return response


def _error_page(error: HTTPException) -> Any:
    if isinstance(error, SecurityError):  # links cannot be made for such a host
        return "This is not the address of this application.\n", 400, {"Content-Type": "text/plain"}
    return render_template("error.html", title=error.name, text=error.description), error.code or 500
