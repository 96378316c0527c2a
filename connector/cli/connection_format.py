"""A connection as JSON and as words."""

from __future__ import annotations

from typing import Any

from connector.cli.output import shown_time
from connector.clock import isoformat
from connector.connection import Connection, ConnectionState
from connector.hints import ormco_command

__all__ = ["as_json", "next_command", "summary"]


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
        "next": next_command(connection) or None,
    }


def next_command(connection: Connection) -> str:
    """Return the command that brings a connection on, or "" if there is nothing to do."""
    if connection.reason in ("account_unread", "account_unconfirmed"):
        return ormco_command("repair", connection.practice_id)
    command = {
        ConnectionState.DEGRADED: "repair",
        ConnectionState.NEEDS_REPAIR: "repair",
        ConnectionState.REVOKING: "revoke",
        ConnectionState.REVOKED: "connect",
    }.get(connection.state)
    return ormco_command(command, connection.practice_id) if command else ""


def summary(connection: Connection) -> str:
    """Return a connection in one sentence or two."""
    account = f" to {connection.account}" if connection.account else ""
    region = f" ({connection.account.region})" if connection.account and connection.account.region else ""
    text = f"{connection.practice_id} is {connection.state.value.replace('_', ' ')}{account}{region}."
    if not connection.renewable and connection.state is ConnectionState.CONNECTED:
        ends = shown_time(connection.expires_at) if connection.expires_at else "some time soon"
        text += (
            f"\nThe provider gave no refresh token: access ends at {ends}, and then consent is needed again. "
            "Ask for the scope offline_access (ORMCO_SCOPE) if the provider has it."
        )
    return text
