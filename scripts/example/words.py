"""A connection and its history, in words for a practice."""

from __future__ import annotations

from dataclasses import dataclass

from connector import Connection, ConnectionState, ConnectorError, Event

__all__ = ["View", "describe", "event_words", "sentence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a connection is shown: its mood ("good", "soft" or "bad"), a title, a sentence."""

    mood: str
    title: str
    text: str


_NONE = View(mood="soft", title="Not connected", text="Connect 3Shape, and Ormco can receive your scans.")
_NOT_YET = View(
    mood="soft", title="Not connected yet", text="It is not certain yet whose account gave access."
)
_VIEWS = {
    ConnectionState.CONNECTED: View(mood="good", title="Connected", text="Your scans can be sent to Ormco."),
    ConnectionState.DEGRADED: View(
        mood="soft", title="Connected", text="3Shape did not answer the last time; it will be tried again."
    ),
    ConnectionState.NEEDS_REPAIR: View(
        mood="bad",
        title="Needs repair",
        text="3Shape does not accept the connection any more. Press Repair and allow access once more.",
    ),
    ConnectionState.REVOKING: View(
        mood="bad", title="Being disconnected", text="Ormco still has access. Press Disconnect to finish."
    ),
    ConnectionState.REVOKED: View(
        mood="soft", title="Disconnected", text="Ormco has no access any more. You can connect again."
    ),
}
_EVENTS = {
    ("begin", "ok"): "3Shape was asked for access",
    ("complete", "ok"): "Connected",
    ("complete", "consent_denied"): "Access was not allowed",
    ("refresh", "ok"): "Access was renewed",
    ("repair", "ok"): "Repaired",
    ("revoke", "begun"): "Disconnecting",
    ("revoke", "ok"): "Disconnected",
}
_KINDS = {
    "complete": "An answer could not be used",
    "refresh": "Access could not be renewed",
    "revoke": "Disconnecting is not finished",
}


def describe(connection: Connection | None) -> View:
    """Return how a connection is shown."""
    if connection is None:
        return _NONE
    waits = connection.state is ConnectionState.DEGRADED and connection.connected_at is None
    return _NOT_YET if waits else _VIEWS[connection.state]


def event_words(event: Event) -> str:
    """Return an event in a few words."""
    if event.state is ConnectionState.NEEDS_REPAIR:
        return "The connection needs repair"
    known = _EVENTS.get((event.kind, event.outcome))
    return known or _KINDS.get(event.kind, event.kind.replace("_", " ").capitalize())


def sentence(error: ConnectorError) -> str:
    """Return an error's message as a sentence."""
    return error.message[:1].upper() + error.message[1:] + "."
