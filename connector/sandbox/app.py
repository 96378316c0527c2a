"""The sandbox as one Flask application on a loopback port: all hosts of 3Shape, and OrmcoDigital."""

from __future__ import annotations

import contextlib
import secrets
import socket
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from connector.sandbox import (
    case_control,
    control,
    faults,
    metadata_api,
    oauth_endpoints,
    ormcodigital,
    portal,
    sessions,
    users_api,
)
from connector.sandbox.authorization_server import authorization_server
from connector.sandbox.sessions import endpoint_kind, state
from connector.sandbox.state import State

__all__ = ["Listener", "create_app"]

_MAX_BODY = 1024 * 1024
_IDLE_SECONDS = 60
_EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </static/style.css>; rel=preload; as=style\r\n\r\n"
_CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'"
)


class _SandboxApp(Flask):
    """Handles one request at a time: the state has one lock, held while a view runs."""

    def dispatch_request(self) -> Any:
        """Run the view under the lock; deliberate waits and failures come before it."""
        with state.lock:
            return super().dispatch_request()


def create_app(sandbox_state: State) -> Flask:
    """Return the web application of a sandbox."""
    app = _SandboxApp("connector.sandbox", static_folder=None)
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        # Cookies ignore ports: two sandboxes in one browser need two names.
        SESSION_COOKIE_NAME=f"sandbox-{urlsplit(sandbox_state.base_url).port}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=_MAX_BODY,
    )
    app.add_url_rule("/static/<filename>", "static", _static_file)
    app.context_processor(sessions.template_values)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["state"] = sandbox_state
    app.extensions["authorization_server"] = authorization_server(app, sandbox_state)
    for part in (sessions, users_api, metadata_api, portal, ormcodigital, control, case_control):
        app.register_blueprint(part.blueprint)
    app.register_blueprint(oauth_endpoints.shared)
    app.register_blueprint(getattr(oauth_endpoints, sandbox_state.generation))
    for check in (_refuse_strange_hosts, control.check_caller, faults.fail_on_purpose, sessions.check_form):
        app.before_request(check)
    app.after_request(faults.spoil_response)
    app.after_request(_add_headers)
    app.register_error_handler(HTTPException, _error_page)
    return app


def _static_file(filename: str) -> Response:
    # Sent as a whole: a streamed file can stay open if the browser disconnects.
    path = Path(__file__).parent / "static" / filename
    if path.name != filename or not path.is_file():
        abort(404)
    return Response(path.read_bytes(), mimetype=guess_type(filename)[0])


def _refuse_strange_hosts() -> None:
    own = urlsplit(state.base_url)
    # Any other name may be that of another site that resolves to this machine (DNS rebinding).
    if request.headers.get("Host") not in (own.netloc, f"localhost:{own.port}"):
        abort(400, "This is not the address of the sandbox.")


def _add_headers(response: Response) -> Response:
    framing = "'self'" if request.endpoint == "consent.frame" else "'none'"
    policy = f"{_CONTENT_POLICY}; frame-ancestors {framing}"
    if state.on("landing-frame"):
        policy += f"; frame-src 'self' {oauth_endpoints.landing_origin()}"
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Content-Security-Policy"] = policy
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _error_page(error: HTTPException) -> Any:
    if error.response is not None:
        return error
    if endpoint_kind() == "page":
        return render_template("error.html", title=error.name, detail=error.description), error.code
    headers = [header for header in error.get_headers() if header[0] == "Content-Range"]
    return {"Message": error.description}, error.code, headers


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def send_response(self, code: int, message: str | None = None) -> None:
        """Send the status line, after an interim response if a scenario requires one."""
        if self._asked("sandbox.early_hints"):
            self.wfile.write(_EARLY_HINTS)
        super().send_response(code, message)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the value of the Date header."""
        return self._asked("sandbox.date") or super().date_time_string(timestamp)

    def _asked(self, name: str) -> Any:
        # A malformed request has no environment.
        return getattr(self, "environ", {}).get(name)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: request lines may contain codes."""

    def log_error(self, format: str, *args: Any) -> None:
        """Log nothing: a malformed request line may contain a code too."""


class Listener(ThreadedWSGIServer):
    """A server on an already bound socket, so that a port in use raises an error, and does not exit."""

    def __init__(self, sandbox_state: State, bound: socket.socket) -> None:
        self.state = sandbox_state
        self.sandbox_app: Flask = create_app(sandbox_state)
        self._open: set[socket.socket] = set()
        host, port = bound.getsockname()
        super().__init__(host, port, self.sandbox_app, handler=_Handler, fd=bound.fileno())

    def serve_forever(self, poll_interval: float = 0.05) -> None:
        """Serve requests until `close`."""
        super().serve_forever(poll_interval)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection in its own thread."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        """Stop, and cut the connections that are still open: clients keep theirs alive."""
        self.state.stopping.set()
        self.shutdown()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
