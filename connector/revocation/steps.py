"""Cut Ormco off from a practice's account, prove it, and only then forget the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.clock import isoformat
from connector.connection import Connection, ConnectionState, Event
from connector.consent import check_provider
from connector.consent.account import drop_unverified, unconfirmed
from connector.errors import (
    ClientRefusedError,
    ConnectionNotFoundError,
    ConnectorError,
    GrantStillHonouredError,
    ProviderUnavailableError,
    RevokedError,
    StoreError,
)
from connector.resources import Resources
from connector.revocation.proof import Finding, access_token_end, prove
from connector.revocation.removal import Removal, by_hand, is_over, remove_from_page
from connector.store.grants import FromNow
from connector.store.row import LIVE, Row, Rows

__all__ = ["Revocation", "revoke"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What became of a revocation.

    Attributes:
        connection: as it is now.
        method: "endpoint", "applications_page", "by_hand", or "already_gone": nothing was left to remove.
        provider_revoked: whether the provider removed the grant, now or before.
        proved: whether a refresh was refused, or nothing is held that could be refreshed.
        wiped: whether the tokens are gone from the store.
        access_token_until: when an access token ends that outlives the grant, or None.
    """

    connection: Connection
    method: str
    provider_revoked: bool = True
    proved: bool = True
    wiped: bool = True
    access_token_until: datetime | None = None


def revoke(resources: Resources, practice_id: str, removal: Removal) -> Revocation:
    """Have the provider remove the grant, prove that it is dead, then wipe the tokens.

    That it was asked for is recorded first: from then on nobody is given a token, and after whatever
    interrupts it the same call goes on.

    Args:
        resources: what to work with.
        practice_id: whose connection.
        removal: how to remove Ormco where no endpoint does it.

    Raises:
        connector.errors.ConnectionNotFoundError: if nothing is stored of the practice.
        connector.errors.GrantStillHonouredError: the proof failed; the tokens are kept.
        connector.errors.ProviderUnavailableError: there is no proof yet; the tokens are kept.
        connector.errors.ConnectorError: as `removal.remove` does.
    """
    try:
        return _revoke(resources, practice_id, removal)
    except (ConnectionNotFoundError, StoreError):
        raise
    except ConnectorError as exc:
        is_alive = isinstance(exc, GrantStillHonouredError)
        state = ConnectionState.REVOKING if is_alive else None
        resources.store.audit.append(_event(resources, practice_id, exc.kind, state=state))
        if isinstance(exc, ProviderUnavailableError):
            exc.hint = f"{exc.hint} The tokens are kept; then revoke it again.".strip()
        raise


def _revoke(resources: Resources, practice_id: str, removal: Removal) -> Revocation:
    rows = _get(resources, practice_id)
    if not is_over(rows):
        rows = _record_wish(resources, practice_id, removal)
    if is_over(rows):
        return Revocation(connection=_connection(rows), method="already_gone")
    if removal.done:
        return _conclude(resources, practice_id, removal, "by_hand")
    if _tell_endpoint(resources, rows, removal):
        return _conclude(resources, practice_id, removal, "endpoint")
    if not removal.thorough and (gone := _conclude_if_gone(resources, practice_id, removal)):
        return gone
    # A person may take their time, and nobody else may use the tokens any more.
    remove_from_page(resources.provider, _connection(rows), removal)
    rows = _get(resources, practice_id)
    if is_over(rows):
        return Revocation(connection=_connection(rows), method=removal.method)
    if _connection(rows).state is not ConnectionState.REVOKING:
        raise _connected_anew(practice_id)
    return _conclude(resources, practice_id, removal, removal.method)


def _get(resources: Resources, practice_id: str) -> Rows:
    rows = resources.store.grants.rows(practice_id)
    if rows.main is None:
        resources.store.existing(practice_id)  # raises
    check_provider(_connection(rows), resources.configured)
    return rows


def _connection(rows: Rows) -> Connection:
    if rows.main is None:
        raise RevokedError("the connection was forgotten meanwhile")
    return rows.main.connection


def _connected_anew(practice_id: str) -> RevokedError:
    return RevokedError(
        f"{practice_id} was connected anew while it was being revoked",
        hint="Look at its status; revoke it again if that is still wanted.",
        practice_id=practice_id,
    )


def _record_wish(resources: Resources, practice_id: str, removal: Removal) -> Rows:
    """Record that the connection is to be revoked; from then on nobody is given a token of it."""
    changes = {
        "state": ConnectionState.REVOKING.value,
        "since": FromNow(),
        "reason": "revocation_unproved",
        "due_at": None,
    }
    while True:
        rows = _get(resources, practice_id)
        row = next((row for row in rows.all if row.state != ConnectionState.REVOKING and _holds(row)), None)
        if row is None:
            break
        # The event goes with the row that the connection is known by.
        events = [_event(resources, practice_id, "begun", state=ConnectionState.REVOKING)]
        resources.store.grants.change(row, changes, events if row is rows.main else ())
    resources.store.requests.close_all(practice_id)  # no link that was sent before brings it back
    removal.progress("recorded")
    if rows.unverified is None or rows.unverified.confirm_by is None:
        return rows
    # It may be a stranger's, whom nothing that is done to this practice's account cuts off.
    drop_unverified(resources, rows.unverified, unconfirmed(rows.unverified))
    return _get(resources, practice_id)


def _holds(row: Row) -> bool:
    return row.state != ConnectionState.REVOKED or row.access_sealed is not None


def _tell_endpoint(resources: Resources, rows: Rows, removal: Removal) -> bool:
    """Revoke at the revocation endpoint; return whether there is one that takes it."""
    if resources.provider.revocation_endpoint is None:
        return False
    grants = resources.store.grants
    try:
        for row in rows.all:
            if (refresh_token := grants.refresh_token(row)) is not None:
                resources.endpoint.revoke(refresh_token, hint="refresh_token")
            del refresh_token
            # Some servers end only what they are given.
            if (access_token := grants.access_token(row)) is not None:
                resources.endpoint.revoke(access_token, hint="access_token")
            del access_token
    except ClientRefusedError:
        # Public clients may be refused there.
        removal.progress("endpoint_refused")
        return False
    removal.progress("endpoint")
    return True


def _conclude_if_gone(resources: Resources, practice_id: str, removal: Removal) -> Revocation | None:
    """Spare a person the way to the page if the practice has removed Ormco already."""
    proof = prove(resources, practice_id)
    if proof.finding is not Finding.DEAD or not proof.conclusive or not proof.is_renewable:
        return None
    removal.progress("proved")
    return _wipe(resources, proof.rows, removal, "already_gone")


def _conclude(resources: Resources, practice_id: str, removal: Removal, method: str) -> Revocation:
    proof = prove(resources, practice_id)
    connection = _connection(proof.rows)
    if proof.finding is Finding.ALIVE:
        if connection.state is not ConnectionState.REVOKING:
            raise _connected_anew(practice_id)
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
    """Do not take a person's word while the access token is accepted, if that alone can be asked."""
    until, connection = access_token_end(resources, rows), _connection(rows)
    if until is not None:
        raise GrantStillHonouredError(
            f"the provider still accepts the access token of {connection.practice_id}, which ends at "
            f"{isoformat(until)}",
            hint=by_hand(resources.provider, connection),
        )


def _wipe(resources: Resources, rows: Rows, removal: Removal, method: str) -> Revocation:
    until, practice_id = access_token_end(resources, rows), _connection(rows).practice_id
    detail = {"method": method} | ({"access_token_until": isoformat(until) or ""} if until else {})
    event = _event(resources, practice_id, "ok", state=ConnectionState.REVOKED, detail=detail)
    while rows.main is not None and not is_over(rows):
        if rows.main.state != ConnectionState.REVOKING:
            raise _connected_anew(practice_id)
        if rows.live is not None and rows.unverified is not None:
            resources.store.grants.drop(rows.unverified, [])
        else:
            resources.store.grants.change(rows.main, _WIPED, [event])
        rows = resources.store.grants.rows(practice_id)
    resources.store.database.scrub()
    removal.progress("wiped")
    return Revocation(connection=_connection(rows), method=method, access_token_until=until)


_WIPED = {
    "slot": LIVE,
    "state": ConnectionState.REVOKED.value,
    "since": FromNow(),
    "renewable": 0,
    "refresh_sends": 0,
    **dict.fromkeys(
        (
            "reason",
            "expires_at",
            "last_error",
            "access_sealed",
            "refresh_sealed",
            "policy_sealed",
            "confirm_by",
            "due_at",
            "retry_at",
            "refresh_by",
            "refresh_since",
            "refresh_until",
        )
    ),
}


def _event(
    resources: Resources,
    practice_id: str,
    outcome: str,
    *,
    state: ConnectionState | None = None,
    detail: Mapping[str, str] | None = None,
) -> Event:
    return Event(
        at=resources.clock.utc_now(),
        kind="revoke",
        outcome=outcome,
        practice_id=practice_id,
        state=state,
        detail=detail or {},
    )


_AFTER = {
    "endpoint": "after the revocation endpoint had said that it is revoked",
    "applications_page": "after Ormco had gone from the Applications page",
    "by_hand": "although Ormco is said to be removed",
}
