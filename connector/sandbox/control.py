"""Shows and sets what the sandbox does, and counts what was asked of it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, request

from connector.sandbox.scenarios import SCENARIOS
from connector.sandbox.sessions import machine, the_world
from connector.sandbox.world import World

__all__ = ["blueprint"]

blueprint = Blueprint("control", __name__)

_KEYS = {"scenarios", "approval_seconds", "slow_seconds"}


@blueprint.get("/sandbox/control")
@machine("open")
def show() -> dict[str, Any]:
    """Answer with the settings and counters; never with a code or token."""
    return _settings(the_world())


@blueprint.post("/sandbox/control")
@machine("open")
def change() -> dict[str, Any]:
    """Set what is named in the JSON body, all of it or nothing."""
    # JSON alone: a web page elsewhere can send a form here, but not this type.
    body = request.get_json() if request.is_json else abort(415, "Send JSON.")
    if not isinstance(body, dict) or not body.keys() <= _KEYS:
        abort(400, f"Known keys: {', '.join(sorted(_KEYS))}.")
    world = the_world()
    seconds = {name: _seconds(name, body[name]) for name in _KEYS - {"scenarios"} if name in body}
    if "scenarios" in body:
        world.set_scenarios(_names(body["scenarios"]))
    if "approval_seconds" in seconds:
        world.lab_connections.approval_seconds = seconds["approval_seconds"]
    if slow_seconds := seconds.get("slow_seconds"):
        world.slow_seconds = slow_seconds
    return _settings(world)


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


def _settings(world: World) -> dict[str, Any]:
    counters = dict(sorted(world.counters.items()))
    return {
        "generation": world.generation,
        "scenarios": sorted(world.scenarios),
        "approval_seconds": world.lab_connections.approval_seconds,
        "slow_seconds": world.slow_seconds,
        "counters": counters,
    }
