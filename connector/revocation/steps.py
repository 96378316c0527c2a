"""Revoke Ormco's access to a practice's account, prove it, and only then wipe the tokens."""

from __future__ import annotations

from connector.connection import ConnectionState
from connector.consent.account import drop_unverified
from connector.consent.account_policy import unconfirmed
from connector.errors import (
    ClientRefusedError,
    ConnectionNotFoundError,
    ConnectorError,
    GrantStillHonouredError,
    ProviderUnavailableError,
    StoreError,
)
from connector.resources import Resources
from connector.revocation.proof import (
    Revocation,
    conclude,
    conclude_if_gone,
    connected_again,
    connection_of,
)
from connector.revocation.removal import Removal, is_over, remove_from_page
from connector.store.columns import FromNow
from connector.store.row import Rows

__all__ = ["revoke"]


def revoke(resources: Resources, practice_id: str, removal: Removal) -> Revocation:
    """Remove the grant at the provider, prove that it is dead, wipe the tokens; see `Connector.revoke`.

    The request is recorded first: from then on no token is handed out, and if the call is interrupted, the
    same call can be repeated.
    """
    try:
        return _revoke(resources, practice_id, removal)
    except (ConnectionNotFoundError, StoreError):
        raise
    except ConnectorError as exc:
        is_alive = isinstance(exc, GrantStillHonouredError)
        state = ConnectionState.REVOKING if is_alive else None
        audit = resources.store.audit
        audit.append(audit.event("revoke", exc.kind, practice_id, state=state))
        if isinstance(exc, ProviderUnavailableError):
            exc.hint = f"{exc.hint} The tokens are kept; revoke it again then.".strip()
        raise


def _revoke(resources: Resources, practice_id: str, removal: Removal) -> Revocation:
    rows = _get(resources, practice_id)
    if not is_over(rows):
        rows = _record_wish(resources, practice_id, removal)
    if is_over(rows):
        return Revocation(connection=connection_of(rows), method="already_gone")
    if removal.done:
        return conclude(resources, practice_id, removal, "by_hand")
    if _tell_endpoint(resources, rows, removal):
        return conclude(resources, practice_id, removal, "endpoint")
    if not removal.thorough and (gone := conclude_if_gone(resources, practice_id, removal)):
        return gone
    # A person may take a long time, and no process may use the tokens meanwhile.
    remove_from_page(resources.provider, connection_of(rows), removal)
    rows = _get(resources, practice_id)
    if is_over(rows):
        return Revocation(connection=connection_of(rows), method=removal.method)
    if connection_of(rows).state is not ConnectionState.REVOKING:
        raise connected_again(practice_id)
    return conclude(resources, practice_id, removal, removal.method)


def _get(resources: Resources, practice_id: str) -> Rows:
    rows = resources.store.grants.existing(practice_id)
    resources.check_provider(connection_of(rows))
    return rows


def _record_wish(resources: Resources, practice_id: str, removal: Removal) -> Rows:
    """Record that a revocation was requested; from then on the connection's tokens are not returned."""
    changes = {
        "state": ConnectionState.REVOKING.value,
        "since": FromNow(),
        "reason": "revocation_unproved",
        "due_at": None,
    }
    while True:
        rows = _get(resources, practice_id)
        left = [row for row in rows.all if row.state != ConnectionState.REVOKING]
        row = next((row for row in left if row.state != ConnectionState.REVOKED or row.access_sealed), None)
        if row is None:
            break
        # The event is written with the row that represents the connection.
        state = ConnectionState.REVOKING
        event = resources.store.audit.event("revoke", "begun", practice_id, state=state)
        resources.store.grants.change(row, changes, [event] if row is rows.main else ())
    resources.store.requests.close_all(practice_id)  # no link that was sent before can connect it again
    removal.progress("recorded")
    if rows.unverified is None or rows.unverified.confirm_by is None:
        return rows
    # It may belong to a stranger, whose access does not depend on this practice's account.
    drop_unverified(resources, rows.unverified, unconfirmed(rows.unverified))
    return _get(resources, practice_id)


def _tell_endpoint(resources: Resources, rows: Rows, removal: Removal) -> bool:
    """Revoke at the revocation endpoint; return whether there is one that accepts the request."""
    if resources.provider.revocation_endpoint is None:
        return False
    grants = resources.store.grants
    try:
        for row in rows.all:
            if (refresh_token := grants.refresh_token(row)) is not None:
                resources.endpoint.revoke(refresh_token, hint="refresh_token")
            del refresh_token
            # Some servers revoke only the token that they get.
            if (access_token := grants.access_token(row)) is not None:
                resources.endpoint.revoke(access_token, hint="access_token")
            del access_token
    except ClientRefusedError:
        # Public clients may be refused there.
        removal.progress("endpoint_refused")
        return False
    removal.progress("endpoint")
    return True
