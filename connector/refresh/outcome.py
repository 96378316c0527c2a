"""What the state of a connection means for whoever wants a token of it."""

from __future__ import annotations

from connector.connection import ConnectionState
from connector.errors import NeedsRepairError, RevokedError

__all__ = ["ANSWER_LOST", "RATE_LIMITED", "needs_repair", "require_alive"]

ANSWER_LOST = "answer_lost"
RATE_LIMITED = "rate_limited"


def require_alive(practice_id: str, state: str, reason: str | None) -> None:
    """Refuse a connection that gives no tokens any more.

    Args:
        practice_id: whose connection.
        state: of the connection, a `ConnectionState`.
        reason: for its state.

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


def needs_repair(practice_id: str, reason: str | None) -> NeedsRepairError:
    """Return the error for a dead grant."""
    return NeedsRepairError(
        f"the connection of {practice_id} needs repair ({reason or 'no reason is recorded'})",
        hint="Repair the connection: the practice has to give access again.",
        practice_id=practice_id,
    )
