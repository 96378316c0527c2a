"""The types that describe one practice's connection to its Communicate account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from connector.errors import ConnectionNotFoundError, NeedsRepairError, RevokedError

__all__ = [
    "AccessToken",
    "Account",
    "AccountPolicy",
    "Connection",
    "ConnectionState",
    "Event",
    "LabConnection",
    "needs_repair",
    "not_found",
    "refuse_while_revoking",
    "require_alive",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A bearer token for the provider's APIs.

    Attributes:
        value: the token itself.
        expires_at: when to stop using it.
        refresh_at: when it is refreshed, ahead of its expiry.
        token_type: "Bearer".
    """

    value: str = field(repr=False)
    expires_at: datetime
    refresh_at: datetime
    token_type: str = "Bearer"  # noqa: S105 - no secret


class ConnectionState(StrEnum):
    """The state of a connection."""

    CONNECTED = "connected"  # access tokens are available
    DEGRADED = "degraded"  # the last attempt failed; the next one may succeed
    NEEDS_REPAIR = "needs_repair"  # the grant is dead: a person has to give consent again
    REVOKING = "revoking"  # revocation was requested and is not proved yet
    REVOKED = "revoked"  # the grant is proved dead, the tokens are gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The Communicate account behind a connection.

    Attributes:
        id: the provider's own identifier.
        region: "americas", "asia-pacific", "europe", or None if it is not known.
    """

    id: str
    email: str | None = None
    name: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        """Return the name by which a person knows the account."""
        return self.email or self.name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class LabConnection:
    """3Shape's own connection between the practice and Ormco's lab account.

    Attributes:
        state: "none", "requested" or "active".
        email: the lab account's address.
    """

    state: str
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One practice's OAuth link, without its secrets.

    Attributes:
        practice_id: the caller's own id of the practice.
        provider: name of the provider it was connected at.
        state: see `ConnectionState`.
        since: when the state began; None if the stored data is damaged.
        reason: the reason for the state, a short word such as "grant_refused" or "answer_lost", or None.
        account: the Communicate account behind it, or None if the provider does not name it.
        scope: as granted, space-separated.
        renewable: whether there is a refresh token.
        expires_at: when the current access token expires.
        connected_at: when consent was last given.
        refreshed_at: when the current token set arrived.
        token_generation: increases by one with each new token set.
        refresh_count: the number of refreshes.
        lab: the lab connection as last read.
        last_error: the message of the last failure, or None.
    """

    practice_id: str
    provider: str
    state: ConnectionState
    since: datetime | None
    reason: str | None = None
    account: Account | None = None
    scope: str | None = None
    renewable: bool = False
    expires_at: datetime | None = None
    connected_at: datetime | None = None
    refreshed_at: datetime | None = None
    token_generation: int = 0
    refresh_count: int = 0
    lab: LabConnection | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """Conditions on the account that gives a new grant.

    Attributes:
        expected_account: e-mail address the account has to have, or None for any.
        allow_account_change: whether it may differ from before, or already be another practice's.
        to_confirm: whether the response had no state and came from outside, so that anyone could have sent
            it: a person has to see the account first.
        binding: digest of the secret of the session that may confirm the account, or None.
        subject: the `sub` of the id_token; OpenID userinfo with another one is refused. None: not known.
    """

    expected_account: str | None = None
    allow_account_change: bool = False
    to_confirm: bool = False
    binding: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the audit record; it never contains a secret.

    Attributes:
        sequence: position in the record, given by the store; 0 before it is stored.
        at: its time.
        kind: the action: "begin", "complete", "refresh", "repair", "revoke", "forget", "adopt",
            "account_change", "lab", "keys".
        outcome: its result: "ok", or a short word such as "grant_refused".
        practice_id: the practice, or None for the store as a whole.
        actor: a user and program name, or the actor that the caller set.
        state: the state of the connection after it, or None.
        detail: further facts, all text: "seconds" that the library call had taken, "provider_status" if the
            provider responded in it, and facts that depend on the kind.
    """

    sequence: int = 0
    at: datetime
    kind: str
    outcome: str
    practice_id: str | None = None
    actor: str = ""
    state: ConnectionState | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


def require_alive(practice_id: str, state: str, reason: str | None) -> None:
    """Refuse a connection that cannot provide tokens any more, by its `ConnectionState`.

    Raises:
        connector.errors.NeedsRepairError: its grant is dead.
        connector.errors.RevokedError: it was revoked, or is being revoked.
    """
    if state == ConnectionState.NEEDS_REPAIR:
        raise needs_repair(practice_id, reason)
    if state == ConnectionState.REVOKED:
        raise RevokedError(
            f"the connection of {practice_id} was revoked",
            hint="Connect the practice again.",
            practice_id=practice_id,
        )
    if state == ConnectionState.REVOKING:
        raise RevokedError(
            f"the connection of {practice_id} is being revoked",
            hint="Finish the revocation: remove Ormco, then confirm that it is done.",
            practice_id=practice_id,
        )


def refuse_while_revoking(connection: Connection | None) -> None:
    """Refuse a new grant during a revocation: it would hide that the old one may still be honoured.

    Raises:
        connector.errors.RevokedError: the connection is being revoked.
    """
    if connection is not None and connection.state is ConnectionState.REVOKING:
        require_alive(connection.practice_id, connection.state, connection.reason)


def needs_repair(practice_id: str, reason: str | None) -> NeedsRepairError:
    """Return the error for a dead grant."""
    return NeedsRepairError(
        f"the connection of {practice_id} needs repair ({reason or 'no reason is recorded'})",
        hint="Repair the connection: the practice has to give access again.",
        practice_id=practice_id,
    )


def not_found(practice_id: str) -> ConnectionNotFoundError:
    """Return the error for a practice without a connection."""
    return ConnectionNotFoundError(
        f"no connection is stored for {practice_id}", hint="Connect the practice first."
    )
