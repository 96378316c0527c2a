"""What a connection, an event and an error are called, for practices and for support: one table of words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connector.connection import Connection, ConnectionState, Event
from connector.errors import ConnectorError
from connector.oauth.authorization_request import AuthorizationRequest

__all__ = [
    "Description",
    "NextStep",
    "describe",
    "event_words",
    "mail_body",
    "next_step",
    "sentence",
    "to_say",
    "why",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """How a connection is shown.

    Attributes:
        kind: "good", "neutral" or "bad"; pages colour it.
        title: one or two words.
        text: one sentence for the practice.
    """

    kind: str
    title: str
    text: str


_NOT_CONNECTED = Description(
    kind="neutral", title="Not connected", text="Connect 3Shape, and you can send your scans to Ormco."
)
_DESCRIPTIONS = {
    ConnectionState.CONNECTED: Description(
        kind="good", title="Connected", text="You can send your scans to Ormco."
    ),
    ConnectionState.DEGRADED: Description(
        kind="neutral",
        title="Connected, with a problem",
        text="3Shape did not answer the last request. We try again automatically.",
    ),
    ConnectionState.NEEDS_REPAIR: Description(
        kind="bad",
        title="Needs repair",
        text="3Shape no longer accepts the connection. Press Repair and allow access again.",
    ),
    ConnectionState.REVOKING: Description(
        kind="bad",
        title="Being disconnected",
        text="Ormco may still have access. Press Disconnect to finish.",
    ),
    ConnectionState.REVOKED: Description(
        kind="neutral", title="Disconnected", text="Ormco has no access. You can connect again."
    ),
}
_TO_SAY = {
    None: "You are not connected to Ormco yet. I will send you a link. Open it, log in with your 3Shape "
    "Communicate credentials, press “Allow access”, and send me the whole address of the page you end on.",
    ConnectionState.CONNECTED: "Your connection works. If a scan does not arrive, check in 3Shape "
    "Communicate under “Connections” that Ormco Corporation is “Active”.",
    ConnectionState.DEGRADED: "3Shape did not answer our last request. Your connection is kept, and we try "
    "again automatically. You do not have to do anything.",
    ConnectionState.NEEDS_REPAIR: "3Shape no longer accepts our connection. I will send you a link. Open it, "
    "log in with your 3Shape Communicate credentials, and press “Allow access” once more.",
    ConnectionState.REVOKING: "Please open the Applications page of 3Shape Communicate, click the square "
    "icon next to Ormco, and confirm to delete. Then I will check that Ormco has no access any more.",
    ConnectionState.REVOKED: "Ormco has no access to your account. If you want to send scans to Ormco "
    "again, I will send you a link.",
}
_EVENTS = {
    ("begin", "ok"): "Access was requested",
    ("complete", "ok"): "Connected",
    ("complete", "consent_denied"): "Access was not allowed",
    ("complete", "account_unconfirmed"): "The account has to be confirmed",
    ("confirm", "ok"): "The account was confirmed",
    ("refresh", "ok"): "Access was renewed",
    ("repair", "ok"): "Repaired",
    ("revoke", "begun"): "Disconnecting",
    ("revoke", "ok"): "Disconnected",
    ("forget", "ok"): "Deleted from the store",
    ("account_change", "ok"): "Connected to another account",
}
_EVENT_KINDS = {
    "complete": "An authorization response could not be used",
    "refresh": "Access could not be renewed",
    "repair": "The repair did not succeed",
    "revoke": "Disconnecting is not finished",
    "lab": "The lab connection changed",
}


class NextStep(StrEnum):
    """What support does next for a practice."""

    NONE = "none"
    WAIT = "wait"
    CONFIRM = "confirm"
    REPAIR = "repair"
    SEND_LINK = "send_link"
    FINISH_REVOKING = "finish_revoking"


_NEXT_STEPS = {
    ConnectionState.CONNECTED: NextStep.NONE,
    ConnectionState.DEGRADED: NextStep.REPAIR,
    ConnectionState.NEEDS_REPAIR: NextStep.REPAIR,
    ConnectionState.REVOKING: NextStep.FINISH_REVOKING,
    ConnectionState.REVOKED: NextStep.SEND_LINK,
}
_REASONS = {
    "grant_refused": "3Shape does not accept the grant any more",
    "answer_lost": "the response to a refresh was lost, and 3Shape accepts only the token that was in it",
    "not_renewable": "access has ended, and 3Shape gave no refresh token",
    "account_unread": "the account could not be read yet",
    "account_unconfirmed": "nobody has confirmed the account yet",
    "rate_limited": "3Shape asked us to wait",
}
_SETTLED = (ConnectionState.CONNECTED, ConnectionState.REVOKED)
# They may stand beside a connection that is sound.
_OF_A_NEW_GRANT = ("account_unread", "account_unconfirmed")


def next_step(connection: Connection | None) -> NextStep:
    """Return what support does next for a practice."""
    if connection is None:
        return NextStep.SEND_LINK
    if connection.reason == "account_unconfirmed":
        return NextStep.CONFIRM
    return _NEXT_STEPS[connection.state]


def why(connection: Connection) -> str:
    """Return why a connection is in its state, in words for support; "" if there is nothing to explain."""
    if connection.reason not in _OF_A_NEW_GRANT and connection.state in _SETTLED:
        return ""
    return _REASONS.get(connection.reason or "", connection.last_error or connection.reason or "")


def describe(connection: Connection | None) -> Description:
    """Return how a connection is shown to its practice."""
    return _NOT_CONNECTED if connection is None else _DESCRIPTIONS[connection.state]


def to_say(connection: Connection | None) -> str:
    """Return what support says to the practice on the telephone."""
    return _TO_SAY[None if connection is None else connection.state]


def mail_body(request: AuthorizationRequest) -> str:
    """Return the mail that sends a practice its link."""
    return (
        "To connect 3Shape to Ormco, open this link, log in with your 3Shape Communicate credentials, and "
        f"press “Allow access”:\n\n{request.url}\n\nThen copy the whole address of the page you end on, and "
        "reply with it at once: it is valid for about three minutes. "
        f"The link works until {request.expires_at:%H:%M} UTC.\n"
    )


def event_words(event: Event) -> str:
    """Return an event of the audit record in a few words."""
    if event.state is ConnectionState.NEEDS_REPAIR and event.outcome != "ok":
        return "The connection needs repair"
    known = _EVENTS.get((event.kind, event.outcome)) or _EVENT_KINDS.get(event.kind)
    return known or event.kind.replace("_", " ").capitalize()


def sentence(error: ConnectorError) -> str:
    """Return an error's message as a sentence."""
    return error.message[:1].upper() + error.message[1:] + "."
