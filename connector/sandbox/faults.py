"""Scenarios in which the provider responds wrongly or not at all."""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from typing import Any

from flask import Response, make_response, render_template, request

from connector.sandbox.sessions import endpoint_kind, state

__all__ = ["fail_on_purpose", "server_error", "spoil_response"]

_RETRY_AFTER = "2"
_DAY = 86400
_API_KINDS = ("token", "revocation", "api")


def _is_provider() -> bool:
    return (
        request.blueprint not in ("control", "case_control", "ormcodigital") and request.endpoint != "static"
    )


def fail_on_purpose() -> Any:
    """Return a fault instead of calling the view, if a scenario requires it.

    An outage affects everything of 3Shape's, pages included. The other faults do not affect pages, so that a
    flow gets as far as the call to be tested.
    """
    kind = endpoint_kind()
    if not _is_provider():
        return None
    if state.on("outage"):
        return render_template("bad_gateway.html"), 502
    if kind not in _API_KINDS:
        return None
    if state.on("slow"):
        state.stopping.wait(state.slow_seconds)
    return _bad_response(kind)


def _bad_response(kind: str) -> Any:
    if state.on("captive-portal") or (state.on("html-token") and kind == "token"):
        return render_template("captive_portal.html")
    if state.on("rate-limited"):
        return make_response({"error": "temporarily_unavailable"}, 429, {"Retry-After": _RETRY_AFTER})
    if state.on("empty-401"):
        return make_response("", 401, {"Content-Type": "text/plain"})
    if state.on("text-500"):
        return server_error()
    if state.on("endless-401") and kind == "api":
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return make_response({"Message": "Authorization has been denied for this request."}, 401, headers)
    return None


def server_error() -> Response:
    """Return the response of a 3Shape server that fails."""
    return make_response("An error has occurred.", 500, {"Content-Type": "text/plain"})


def spoil_response(response: Response) -> Response:
    """Change or drop the response of a view, after its effects, if a scenario requires it."""
    kind = endpoint_kind()
    # Neither Flask nor WSGI can send an interim response or replace the Date: the listener does it.
    if state.on("wrong-date") and kind == "api":
        request.environ["sandbox.date"] = formatdate(time.time() + _DAY, usegmt=True)
    if state.on("early-hints") and _is_provider():
        request.environ["sandbox.early_hints"] = True
    if kind == "token" and response.status_code == 200:
        _lose_response(response)
    return response


def _lose_response(response: Response) -> None:
    if state.on("lost-answer") and request.form.get("grant_type") == "refresh_token":
        connection = request.environ.get("werkzeug.socket")
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
    elif state.on("cut-answer"):
        body = response.get_data()
        response.set_data(body[: len(body) // 2])
        response.headers["Content-Length"] = str(len(body))
        response.headers["Connection"] = "close"
