"""A connection as JSON and as words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connector.clock import isoformat
from connector.connection import Connection, ConnectionState

__all__ = ["age", "as_json", "next_command", "summary"]


def as_json(connection: Connection) -> dict[str, Any]:
    """Return what `--json` prints of a connection."""
    account, lab = connection.account, connection.lab
    return {
        "practice": connection.practice_id,
        "state": connection.state.value,
        "since": isoformat(connection.since),
        "reason": connection.reason,
        "provider": connection.provider,
        "account": None
        if account is None
        else {"id": account.id, "email": account.email, "name": account.name, "region": account.region},
        "scope": connection.scope,
        "renewable": connection.renewable,
        "expires_at": isoformat(connection.expires_at),
        "connected_at": isoformat(connection.connected_at),
        "refreshed_at": isoformat(connection.refreshed_at),
        "token_generation": connection.token_generation,
        "lab": None if lab is None else {"state": lab.state, "email": lab.email},
        "last_error": connection.last_error,
    }


def next_command(connection: Connection) -> str:
    """Return the command that brings a connection on, or "" where there is nothing to do."""
    practice = connection.practice_id
    if connection.state is ConnectionState.NEEDS_REPAIR or connection.reason == "account_unread":
        return f"ormco repair {practice}"
    return {
        ConnectionState.REVOKING: f"ormco revoke {practice}",
        ConnectionState.REVOKED: f"ormco connect {practice}",
    }.get(connection.state, "")


def summary(connection: Connection) -> str:
    """Return a connection in one sentence or two."""
    account = f" to {connection.account}" if connection.account else ""
    region = f" ({connection.account.region})" if connection.account and connection.account.region else ""
    text = f"{connection.practice_id} is {connection.state.value.replace('_', ' ')}{account}{region}."
    if not connection.renewable and connection.state is ConnectionState.CONNECTED:
        ends = isoformat(connection.expires_at) or "some time soon"
        text += (
            f"\nThe provider gave no refresh token: access ends at {ends}, and then consent is needed again. "
            "Ask for the scope offline_access (ORMCO_SCOPE) if the provider has it."
        )
    return text


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago something was, in its largest unit."""
    seconds = int((now - moment).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"
