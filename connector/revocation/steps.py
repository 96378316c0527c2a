"""Cut Ormco off from a practice's account, prove it, and only then forget the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from connector.clock import isoformat
from connector.connection import Connection, ConnectionState, Event, Grant
from connector.consent import LOCK_TIMEOUT, check_provider
from connector.consent.account_proof import drop_unproven, unconfirmed
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
from connector.revocation.grant_proof import Finding, access_token_end, examine, token_sets
from connector.revocation.removal import Removal, by_hand, is_over, remove_from_page

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
        connector.errors.ProviderUnavailableError: no proof can be had now; the tokens are kept.
        connector.errors.ConnectorError: as `removal.remove` does.
    """
    try:
        return _revoke(resources, practice_id, removal)
    except (ConnectionNotFoundError, StoreError):
        raise
    except ConnectorError as exc:
        resources.store.append_event(_event(resources, practice_id, exc.kind))
        if isinstance(exc, ProviderUnavailableError):
            exc.hint = f"{exc.hint} The tokens are kept; then go on: ormco revoke {practice_id}".strip()
        raise


def _revoke(resources: Resources, practice_id: str, removal: Removal) -> Revocation:
    deadline = resources.clock.deadline
    with resources.store.lock(practice_id, deadline=deadline(LOCK_TIMEOUT)):
        grant = _get(resources, practice_id)
        if grant.confirm_by is not None:
            # It may be a stranger's, whom nothing that is done to this practice's account cuts off.
            grant = drop_unproven(resources, grant, unconfirmed(grant)) or _get(resources, practice_id)
        if is_over(grant):
            return Revocation(connection=grant.connection, method="already_gone")
        grant = _record_wish(resources, grant, removal)
        if removal.done:
            return _conclude(resources, grant, removal, "by_hand")
        if _tell_endpoint(resources, grant, removal):
            return _conclude(resources, grant, removal, "endpoint")
        if not removal.thorough and (gone := _conclude_if_gone(resources, grant, removal)):
            return gone
    # Without the lock: a person may take their time, and nobody else may use the tokens any more.
    remove_from_page(resources.provider, grant.connection, removal)
    with resources.store.lock(practice_id, deadline=deadline(LOCK_TIMEOUT)):
        grant = _get(resources, practice_id)
        if is_over(grant):
            return Revocation(connection=grant.connection, method=removal.method)
        if grant.connection.state is not ConnectionState.REVOKING:
            raise RevokedError(
                f"{practice_id} was connected anew while it was being revoked",
                hint=f"Look at it: ormco status {practice_id}",
            )
        return _conclude(resources, grant, removal, removal.method)


def _get(resources: Resources, practice_id: str) -> Grant:
    grant = resources.store.existing_grant(practice_id)
    check_provider(grant.connection, resources.config.load_provider())
    return grant


def _record_wish(resources: Resources, grant: Grant, removal: Removal) -> Grant:
    if grant.connection.state is not ConnectionState.REVOKING:
        connection = replace(
            grant.connection,
            state=ConnectionState.REVOKING,
            since=resources.clock.utc_now(),
            reason="revocation_unproved",
        )
        event = _event(resources, connection.practice_id, "begun", state=connection.state)
        grant = _put(resources, replace(grant, connection=connection), event)
    removal.progress("recorded")
    return grant


def _tell_endpoint(resources: Resources, grant: Grant, removal: Removal) -> bool:
    """Revoke at the revocation endpoint; return whether there is one that takes it."""
    if resources.provider.revocation_endpoint is None:
        return False
    try:
        for tokens in token_sets(grant):
            if tokens.refresh_token is not None:
                resources.endpoint.revoke(tokens.refresh_token, hint="refresh_token")
            # Some servers end only what they are given.
            resources.endpoint.revoke(tokens.access_token, hint="access_token")
    except ClientRefusedError:
        # Public clients may be refused there.
        removal.progress("endpoint_refused")
        return False
    removal.progress("endpoint")
    return True


def _conclude_if_gone(resources: Resources, grant: Grant, removal: Removal) -> Revocation | None:
    """Spare a person the way to the page where the practice has removed Ormco already."""
    event = _event(resources, grant.connection.practice_id, "ok", kind="refresh")
    found = examine(resources, grant, event)
    if found.finding is not Finding.DEAD or not found.conclusive or not _is_renewable(grant):
        return None
    removal.progress("proved")
    return _wipe(resources, found.grant, removal, "already_gone")


def _conclude(resources: Resources, grant: Grant, removal: Removal, method: str) -> Revocation:
    practice_id = grant.connection.practice_id
    event = _event(resources, practice_id, "grant_still_honoured", state=ConnectionState.REVOKING)
    found = examine(resources, grant, event)
    if found.finding is Finding.ALIVE:
        raise GrantStillHonouredError(
            f"the provider still honours the grant of {practice_id}: a refresh succeeded {_AFTER[method]}; "
            "the newest tokens are kept",
            hint=by_hand(resources.provider, grant.connection),
        )
    if method == "by_hand" and not (found.conclusive and _is_renewable(grant)):
        _doubt(resources, found.grant)
    removal.progress("proved")
    return _wipe(resources, found.grant, removal, method)


def _doubt(resources: Resources, grant: Grant) -> None:
    """Do not take a person's word while the access token is accepted, where that alone can be asked."""
    until, practice_id = access_token_end(resources, grant), grant.connection.practice_id
    if until is not None:
        raise GrantStillHonouredError(
            f"the provider still accepts the access token of {practice_id}, which ends at {isoformat(until)}",
            hint=by_hand(resources.provider, grant.connection),
        )


def _wipe(resources: Resources, grant: Grant, removal: Removal, method: str) -> Revocation:
    until = access_token_end(resources, grant)
    connection = replace(
        grant.connection,
        state=ConnectionState.REVOKED,
        since=resources.clock.utc_now(),
        reason=None,
        renewable=False,
        expires_at=None,
        last_error=None,
    )
    detail = {"method": method} | ({"access_token_until": isoformat(until) or ""} if until else {})
    event = _event(resources, connection.practice_id, "ok", state=connection.state, detail=detail)
    grant = _put(resources, Grant(connection=connection, stored=grant.stored), event)
    removal.progress("wiped")
    return Revocation(connection=grant.connection, method=method, access_token_until=until)


def _is_renewable(grant: Grant) -> bool:
    return any(tokens.refresh_token for tokens in token_sets(grant))


def _put(resources: Resources, grant: Grant, event: Event) -> Grant:
    generation = grant.connection.token_generation
    return resources.store.put(grant, expected_generation=generation, events=[event])


def _event(
    resources: Resources,
    practice_id: str,
    outcome: str,
    *,
    kind: str = "revoke",
    state: ConnectionState | None = None,
    detail: Mapping[str, str] | None = None,
) -> Event:
    return Event(
        at=resources.clock.utc_now(),
        kind=kind,
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
