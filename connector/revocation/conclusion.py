"""Conclude a revocation: prove that the grant is dead, and only then wipe its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.clock import isoformat
from connector.connection import Connection, ConnectionState
from connector.errors import GrantStillHonouredError, RevokedError
from connector.resources import Resources
from connector.revocation.proof import Finding, access_token_end, prove
from connector.revocation.removal import Removal, by_hand, is_over
from connector.store.columns import FromNow
from connector.store.row import LIVE, Rows

__all__ = [
    "Revocation",
    "conclude",
    "conclude_if_gone",
    "connected_anew",
    "connection_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The result of a revocation.

    Attributes:
        connection: the connection as it is now.
        method: "endpoint", "applications_page", "by_hand", or "already_gone": nothing was left to remove.
        provider_revoked: whether the provider removed the grant, now or before.
        proved: whether a refresh was refused, or there is no refresh token.
        wiped: whether the tokens are deleted from the store.
        access_token_until: when an access token expires that outlives the grant, or None.
    """

    connection: Connection
    method: str
    provider_revoked: bool = True
    proved: bool = True
    wiped: bool = True
    access_token_until: datetime | None = None


def conclude_if_gone(resources: Resources, practice_id: str, removal: Removal) -> Revocation | None:
    """Conclude the revocation without the Applications page if the practice has removed Ormco already."""
    proof = prove(resources, practice_id)
    if proof.finding is not Finding.DEAD or not proof.conclusive or not proof.is_renewable:
        return None
    removal.progress("proved")
    return _wipe(resources, proof.rows, removal, "already_gone")


def conclude(resources: Resources, practice_id: str, removal: Removal, method: str) -> Revocation:
    """Prove that the grant is dead after its removal, and wipe its tokens.

    Raises:
        connector.errors.GrantStillHonouredError: it is not dead; the newest tokens are kept.
        connector.errors.RevokedError: the practice was connected again meanwhile.
    """
    proof = prove(resources, practice_id)
    connection = connection_of(proof.rows)
    if proof.finding is Finding.ALIVE:
        if connection.state is not ConnectionState.REVOKING:
            raise connected_anew(practice_id)
        raise GrantStillHonouredError(
            f"the provider still honours the grant of {practice_id}: a refresh succeeded {_AFTER[method]}; "
            "the newest tokens are kept",
            hint=by_hand(resources.provider, connection),
        )
    if method == "by_hand" and not (proof.conclusive and proof.is_renewable):
        _doubt(resources, proof.rows)
    removal.progress("proved")
    return _wipe(resources, proof.rows, removal, method)


def _doubt(resources: Resources, rows: Rows) -> None:
    """Refuse to conclude while the access token is accepted, if that is the only test."""
    until, connection = access_token_end(resources, rows), connection_of(rows)
    if until is not None:
        raise GrantStillHonouredError(
            f"the provider still accepts the access token of {connection.practice_id}, which ends at "
            f"{isoformat(until)}",
            hint=by_hand(resources.provider, connection),
        )


def _wipe(resources: Resources, rows: Rows, removal: Removal, method: str) -> Revocation:
    until, practice_id = access_token_end(resources, rows), connection_of(rows).practice_id
    detail = {"method": method} | ({"access_token_until": isoformat(until) or ""} if until else {})
    state = ConnectionState.REVOKED
    event = resources.store.audit.event("revoke", "ok", practice_id, state=state, detail=detail)
    while rows.main is not None and not is_over(rows):
        if rows.main.state != ConnectionState.REVOKING:
            raise connected_anew(practice_id)
        if rows.live is not None and rows.unverified is not None:
            resources.store.grants.drop(rows.unverified, [])
        else:
            resources.store.grants.change(rows.main, _WIPED, [event])
        rows = resources.store.grants.rows(practice_id)
    resources.store.database.scrub()
    removal.progress("wiped")
    return Revocation(connection=connection_of(rows), method=method, access_token_until=until)


_WIPED = {
    **dict.fromkeys(("reason", "last_error", "confirm_by", "due_at", "retry_at", "expires_at")),
    **dict.fromkeys(("access_sealed", "refresh_sealed", "policy_sealed")),
    **dict.fromkeys(("refresh_by", "refresh_since", "refresh_until")),
    "slot": LIVE,
    "state": ConnectionState.REVOKED.value,
    "since": FromNow(),
    "renewable": 0,
    "refresh_sends": 0,
}


_AFTER = {
    "endpoint": "after the revocation endpoint had said that it is revoked",
    "applications_page": "after Ormco had gone from the Applications page",
    "by_hand": "although Ormco is said to be removed",
}


def connection_of(rows: Rows) -> Connection:
    """Return the connection that is being revoked.

    Raises:
        connector.errors.RevokedError: it was forgotten meanwhile.
    """
    if rows.main is None:
        raise RevokedError("the connection was forgotten meanwhile")
    return rows.main.connection


def connected_anew(practice_id: str) -> RevokedError:
    """Return the error for a practice that was connected again meanwhile."""
    return RevokedError(
        f"{practice_id} was connected again while it was being revoked",
        hint="Look at its status; revoke it again if that is still wanted.",
        practice_id=practice_id,
    )
