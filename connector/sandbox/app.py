"""The sandbox as one Flask application: every host of 3Shape's, and OrmcoDigital, on one origin."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException

from connector.sandbox import (
    applications,
    case_control,
    case_pages,
    cases,
    classic,
    control,
    faults,
    identity,
    login,
    ormcodigital,
    portal,
    sessions,
    users_api,
)
from connector.sandbox.grants import authorization_server
from connector.sandbox.sessions import endpoint_kind, the_world
from connector.sandbox.world import World

__all__ = ["create_app"]

_MAX_BODY = 1024 * 1024
_CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class _SandboxApp(Flask):
    """Answers one request at a time: the world has one lock, held while a view runs."""

    world: World

    def dispatch_request(self) -> Any:
        """Run the view under the lock; waiting and failing on purpose happens before it."""
        with self.world.lock:
            return super().dispatch_request()


def create_app(world: World) -> Flask:
    """Return the web application of a world."""
    app = _SandboxApp("connector.sandbox")
    app.world = world
    port = urlsplit(world.base_url).port
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        # Cookies do not know ports: two sandboxes in one browser need two names.
        SESSION_COOKIE_NAME=f"sandbox-{port}",
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=_MAX_BODY,
    )
    app.extensions["world"] = world
    app.extensions["authorization_server"] = authorization_server(app, world)
    generation = classic if world.generation == "classic" else identity
    for part in (login, generation, applications, users_api, portal, ormcodigital, control):
        app.register_blueprint(part.blueprint)
    for part in (cases, case_pages, case_control):
        app.register_blueprint(part.blueprint)
    app.before_request(_refuse_strange_hosts)
    app.before_request(faults.fail_on_purpose)
    app.before_request(sessions.check_form)
    app.after_request(faults.lose_answer)
    app.after_request(_add_headers)
    app.register_error_handler(HTTPException, _error_page)
    app.context_processor(sessions.template_values)
    return app


def _refuse_strange_hosts() -> None:
    port = urlsplit(the_world().base_url).port
    # Any other name is that of a web page elsewhere, made to point here (DNS rebinding).
    if request.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        abort(400, "This is not the address of the sandbox.")


def _add_headers(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Content-Security-Policy"] = _CONTENT_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _error_page(error: HTTPException) -> Any:
    if error.response is not None:
        return error
    if endpoint_kind() != "page":
        return {"Message": error.description}, error.code
    return render_template("error.html", title=error.name, detail=error.description), error.code
