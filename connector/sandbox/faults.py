"""Scenarios in which the provider answers badly or not at all."""

from __future__ import annotations

import socket
from typing import Any

from flask import Response, make_response, render_template, request

from connector.sandbox.sessions import endpoint_kind, the_world
from connector.sandbox.world import World

__all__ = ["fail_on_purpose", "lose_answer"]

_RETRY_AFTER = "2"
_NOT_OF_THE_PROVIDER = ("control", "ormcodigital")


def fail_on_purpose() -> Any:
    """Answer in place of the view where a scenario says so.

    An outage takes everything of 3Shape's down, pages included. The other faults leave people's pages
    alone, so that a flow gets as far as the call that matters.
    """
    world, kind = the_world(), endpoint_kind()
    if request.blueprint in _NOT_OF_THE_PROVIDER or request.endpoint == "static":
        return None
    if world.on("outage"):
        return render_template("bad_gateway.html"), 502
    if kind in ("page", "open"):
        return None
    if world.on("slow"):
        world.stopping.wait(world.slow_seconds)
    return _bad_answer(world)


def _bad_answer(world: World) -> Any:
    if world.on("captive-portal"):
        return render_template("captive_portal.html")
    if world.on("rate-limited"):
        return make_response({"error": "temporarily_unavailable"}, 429, {"Retry-After": _RETRY_AFTER})
    if world.on("empty-401"):
        return make_response("", 401, {"Content-Type": "text/plain"})
    if world.on("text-500"):
        return make_response("An error has occurred.", 500, {"Content-Type": "text/plain"})
    return None


def lose_answer(response: Response) -> Response:
    """Drop the connection after the token endpoint has done its work, where a scenario says so."""
    if endpoint_kind() != "token" or response.status_code != 200:
        return response
    world = the_world()
    if world.on("lost-answer") and request.form.get("grant_type") == "refresh_token":
        _hang_up()
    elif world.on("cut-answer"):
        body = response.get_data()
        response.set_data(body[: len(body) // 2])
        response.headers["Content-Length"] = str(len(body))
        response.headers["Connection"] = "close"
    return response


def _hang_up() -> None:
    connection = request.environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
