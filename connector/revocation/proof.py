"""Prove that a grant is dead, and only then wipe its tokens.

The proof is a refresh, which must fail. Tokens of a refresh that succeeds are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.clock import from_timestamp, isoformat
from connector.communicate.users import TokenVerdict, probe_token
from connector.connection import Connection, ConnectionState
from connector.errors import (
    GrantRefusedError,
    GrantStillHonouredError,
    ProviderUnavailableError,
    RevokedError,
)
from connector.refresh.failures import ANSWER_LOST
from connector.refresh.schedule import RefreshWait
from connector.resources import Resources
from connector.revocation.removal import Removal, by_hand, is_over
from connector.store.columns import FromNow
from connector.store.row import LIVE, Row, Rows

__all__ = [
    "Finding",
    "Proof",
    "Revocation",
    "conclude",
    "conclude_if_gone",
    "connected_again",
    "connection_of",
    "prove",
]


class Finding(StrEnum):
    """The result of a proof for a grant."""

    DEAD = "dead"  # refused for certain
    REFUSED = "refused"  # refused in a way that can also have another cause
    ALIVE = "alive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The rows after a proof, and its result.

    Attributes:
        rows: the practice's rows as they are stored now.
        finding: the worst result of its refresh tokens.
        conclusive: False if the response to an earlier refresh was lost: then the refresh token may be
            refused only because a newer one replaced it.
    """

    rows: Rows
    finding: Finding
    conclusive: bool

    @property
    def is_renewable(self) -> bool:
        """Whether there was a refresh token to try."""
        return any(row.renewable for row in self.rows.all)


def prove(resources: Resources, practice_id: str, *slots: str) -> Proof:
    """Try to refresh each grant of a practice, or those of some slots; store the tokens of one that succeeds.

    Raises:
        connector.errors.ProviderUnavailableError: no response, so nothing is proved.
        connector.errors.ClientRefusedError: the client is not accepted, so nothing is proved.
    """
    conclusive, finding = True, Finding.DEAD
    for row in resources.store.grants.rows(practice_id).all:
        if not row.renewable or row.refresh_sealed is None or (slots and row.slot not in slots):
            continue
        found, was_lost = _try(resources, row)
        if found is Finding.ALIVE:
            finding = Finding.ALIVE
        elif found is Finding.REFUSED and finding is Finding.DEAD:
            finding = Finding.REFUSED
        conclusive = conclusive and (found is Finding.ALIVE or not was_lost)
    return Proof(rows=resources.store.grants.rows(practice_id), finding=finding, conclusive=conclusive)


def _access_token_end(resources: Resources, rows: Rows) -> datetime | None:
    """Return when the last access token that is still accepted expires, or None if none is.

    A token counts as accepted if that cannot be determined.
    """
    ends = [row.valid_until for row in rows.all if _is_accepted(resources, row)]
    return from_timestamp(max(ends)) if ends else None


def _try(resources: Resources, row: Row) -> tuple[Finding, bool]:
    """Refresh a row; return the result, and whether an earlier response may have been lost."""
    wait, present = RefreshWait(resources.clock, row.practice_id), row
    while True:
        was_lost = present.answer_may_be_lost or present.reason == ANSWER_LOST
        try:
            if resources.rotator.rotate(present, force=True) is not None:
                return Finding.ALIVE, was_lost
        except GrantRefusedError as exc:
            return Finding.DEAD if exc.certain else Finding.REFUSED, was_lost
        wait.pause()
        later = resources.store.grants.row(row.practice_id, row.slot)
        if later is None:
            return Finding.DEAD, was_lost
        if later.generation != row.generation and later.state != row.state:  # it was connected again
            return Finding.ALIVE, was_lost
        # A refresh by another process meanwhile may have been answered before the grant was removed.
        present = later


def _is_accepted(resources: Resources, row: Row) -> bool:
    if row.access_sealed is None or row.valid_until <= row.now:
        return False
    token = resources.store.grants.access_token(row) or ""
    try:
        verdict = probe_token(resources.provider, token, clock=resources.clock)
    except ProviderUnavailableError:
        return True
    return verdict in (TokenVerdict.ACCEPTED, TokenVerdict.UNASKED)


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
            raise connected_again(practice_id)
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
    until, connection = _access_token_end(resources, rows), connection_of(rows)
    if until is not None:
        raise GrantStillHonouredError(
            f"the provider still accepts the access token of {connection.practice_id}, which expires at "
            f"{isoformat(until)}",
            hint=by_hand(resources.provider, connection),
        )


def _wipe(resources: Resources, rows: Rows, removal: Removal, method: str) -> Revocation:
    until, practice_id = _access_token_end(resources, rows), connection_of(rows).practice_id
    detail = {"method": method} | ({"access_token_until": isoformat(until) or ""} if until else {})
    state = ConnectionState.REVOKED
    event = resources.store.audit.event("revoke", "ok", practice_id, state=state, detail=detail)
    while rows.main is not None and not is_over(rows):
        if rows.main.state != ConnectionState.REVOKING:
            raise connected_again(practice_id)
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
    "endpoint": "after the revocation endpoint had confirmed the revocation",
    "applications_page": "after Ormco had disappeared from the Applications page",
    "by_hand": "although Ormco was reported as removed",
}


def connection_of(rows: Rows) -> Connection:
    """Return the connection that is being revoked.

    Raises:
        connector.errors.RevokedError: it was forgotten meanwhile.
    """
    if rows.main is None:
        raise RevokedError("the connection was forgotten meanwhile")
    return rows.main.connection


def connected_again(practice_id: str) -> RevokedError:
    """Return the error for a practice that was connected again meanwhile."""
    return RevokedError(
        f"{practice_id} was connected again while it was being revoked",
        hint="Check its status; revoke it again if that is still wanted.",
        practice_id=practice_id,
    )
