"""The application: its own sign-in, and the practice's page of `connector.web` behind it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, redirect, render_template_string, request, session

from connector import Config, Connector
from connector.web import practice_pages

__all__ = ["PEOPLE", "create_app"]

# Made up: user → practice and password. A real application has its own login here.
PEOPLE = {"alex": ("practice-42", "example-alex"), "robin": ("practice-77", "example-robin")}
_PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Sign in</title><main>{% if user %}<h1>{{ user }}</h1><p><a href="/3shape/">3Shape TRIOS</a></p>
<form method="post" action="/sign-out"><button>Sign out</button></form>{% else %}<h1>Sign in</h1>
<form method="post">{% if wrong %}<p role="alert">Name or password is not right.</p>{% endif %}
<p><label>User name <input name="user" required autofocus></label></p>
<p><label>Password <input name="password" type="password" required></label></p>
<button>Sign in</button></form>{% endif %}</main></html>"""
_WRONG_SECONDS = 1.0  # for each wrong password, one after the other
_one_at_a_time = threading.Lock()


def create_app(config: Config, *, url: str, secret: bytes, folder: Path) -> Flask:
    """Return the application of one worker.

    Args:
        config: the connector's settings.
        url: the address that people use; `<url>/3shape/connected` is a registered redirect URI.
        secret: the same in every worker.
        folder: the folder in which the workers keep the sessions.
    """
    app = Flask(__name__)
    host, is_tls = url.partition("://")[2], url.startswith("https:")
    cookie = f"example-{host.replace(':', '-')}"
    app.config.update(SECRET_KEY=secret, SESSION_COOKIE_NAME=f"__Host-{cookie}" if is_tls else cookie)
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_SECURE=is_tls)
    sign_in = SignIn(url, folder)
    pages = practice_pages(
        Connector.from_config(config),
        practice_of=lambda request: sign_in.practice(),
        actor_of=lambda request: sign_in.user(),
        callback_url=f"{url}/3shape/connected",
        hosts={host},
    )
    app.register_blueprint(pages, url_prefix="/3shape")
    app.add_url_rule("/", "home", sign_in.home, methods=["GET", "POST"])
    app.add_url_rule("/sign-out", "sign_out", sign_in.sign_out, methods=["POST"])
    app.after_request(sign_in.add_headers)
    return app


class SignIn:
    """A login for the example: the cookie has a random id, and the server stores its user.

    Args:
        url: the address that people use.
        folder: has one file for each session.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def user(self) -> str | None:
        """Return the name of the signed-in user, or None."""
        file = self._file()
        return file.read_text() if "id" in session and file.exists() else None

    def practice(self) -> str | None:
        """Return the practice of the signed-in user, or None."""
        return PEOPLE[name][0] if (name := self.user()) else None

    def home(self) -> Any:
        """Ask for name and password, then go to the practice's page."""
        self._refuse_other_sites()
        if request.method == "GET":
            return render_template_string(_PAGE, user=self.user())
        name, sent = request.form.get("user", ""), request.form.get("password", "")
        if not hmac.compare_digest(sent.encode(), PEOPLE.get(name, ("", secrets.token_hex()))[1].encode()):
            with _one_at_a_time:
                time.sleep(_WRONG_SECONDS)
            return render_template_string(_PAGE, wrong=True)
        session["id"] = secrets.token_urlsafe(32)  # a new id at each sign-in
        self._file().write_text(name)
        return redirect("/3shape/", 303)

    def sign_out(self) -> Any:
        """End the session on the server, so that a copy of the cookie is worthless."""
        self._refuse_other_sites()
        self._file().unlink(missing_ok=True)
        session.clear()
        return redirect("/", 303)

    def add_headers(self, response: Response) -> Response:
        """Add the headers that the pages of `connector.web` have already."""
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("X-Frame-Options", "DENY")
        if self._url.startswith("https:"):
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        return response

    def _file(self) -> Path:
        return self._folder / hashlib.sha256(session.get("id", "").encode()).hexdigest()

    def _refuse_other_sites(self) -> None:
        if (
            request.host != self._url.partition("://")[2]
            or request.headers.get("Origin", self._url) != self._url
        ):
            abort(400)
