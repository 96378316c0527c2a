"""The application: a sign-in of its own, and the practice's page of `connector.web` behind it."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from flask import Flask, redirect, render_template_string, request, session

from connector import Config, Connector
from connector.web import practice_pages

__all__ = ["PEOPLE", "create_app"]

# Made up: user → practice and password. A real application has its own login here.
PEOPLE = {"alex": ("practice-42", "example-alex"), "robin": ("practice-77", "example-robin")}
_LOGIN = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Sign in</title><main><h1>Sign in</h1><form method="post">{% if wrong %}<p role="alert">Name or
password is not right.</p>{% endif %}<p><label>User name <input name="user" required autofocus></label></p>
<p><label>Password <input name="password" type="password" required></label></p>
<button>Sign in</button></form></main></html>"""


def create_app(config: Config, *, url: str, secret: bytes) -> Flask:
    """Return the application of one worker.

    Args:
        config: the connector's settings.
        url: the address that people use; `<url>/3shape/connected` is a registered redirect URI.
        secret: the same in every worker.
    """
    app = Flask(__name__)
    host = url.partition("://")[2]
    app.config.update(SECRET_KEY=secret, SESSION_COOKIE_NAME=f"example-{host.replace(':', '-')}")
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_SECURE=url.startswith("https:"))
    pages = practice_pages(
        Connector.from_config(config),
        practice_of=lambda request: session.get("practice"),
        actor_of=lambda request: session.get("user"),
        callback_url=f"{url}/3shape/connected",
        hosts={host},
    )
    app.register_blueprint(pages, url_prefix="/3shape")
    app.add_url_rule("/", "login", login, methods=["GET", "POST"])
    return app


def login() -> Any:
    """Ask for name and password, then go to the practice's page."""
    if request.method == "GET":
        return render_template_string(_LOGIN)
    user, sent = request.form.get("user", ""), request.form.get("password", "")
    practice, password = PEOPLE.get(user, ("", secrets.token_hex()))
    if not hmac.compare_digest(sent.encode(), password.encode()):
        return render_template_string(_LOGIN, wrong=True)
    session.update(user=user, practice=practice)
    return redirect("/3shape/", 303)
