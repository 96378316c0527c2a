"""Diagnose a connection and the remedy it needs; nothing is changed, and no refresh token is sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connector.communicate.users import TokenVerdict, probe_token
from connector.connection import Connection, ConnectionState
from connector.errors import ConfigurationError, ProviderUnavailableError
from connector.repair.silent import require_users_api
from connector.resources import Resources
from connector.store.row import Row, Rows

__all__ = ["Diagnosis", "Need", "diagnose"]


class Need(StrEnum):
    """The remedy that a connection needs."""

    NOTHING = "nothing"
    REFRESH = "refresh"  # `refresh(force=True)` or `repair` brings it back
    CONSENT = "consent"  # a person of the practice has to allow access, or to confirm the account
    RECONNECT = "reconnect"  # a revocation is in progress: finish it, then connect again
    SETTINGS = "settings"  # this process's settings are wrong or missing
    WAIT = "wait"  # the provider fails, and it is tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The diagnosis of a connection.

    Attributes:
        practice_id: the practice.
        found: the problem as a clause without a full stop, or "nothing is wrong".
        needs: the remedy.
        connection: the stored connection, or None if there is none.
    """

    practice_id: str
    found: str
    needs: Need
    connection: Connection | None = None


def diagnose(resources: Resources, practice_id: str) -> Diagnosis:
    """Check the stored connection, and try its access token at the provider's API."""
    rows = resources.store.grants.rows(practice_id)
    connection = rows.main.connection if rows.main is not None else None
    try:
        resources.config.registration(resources.configured)
        found, needs = _needs(resources, rows)
        if needs is Need.CONSENT and rows.main is not None and rows.main.confirm_by is None:
            require_users_api(resources, rows.main)
    except ConfigurationError as exc:
        found, needs = exc.message, Need.SETTINGS
    except ProviderUnavailableError as exc:
        found, needs = exc.message, Need.WAIT
    return Diagnosis(practice_id=practice_id, found=found, needs=needs, connection=connection)


def _needs(resources: Resources, rows: Rows) -> tuple[str, Need]:
    row = rows.main
    if row is None:
        return "there is no connection", Need.CONSENT
    if rows.unverified is not None and rows.unverified.confirm_by is not None:
        return "the new account has not been confirmed yet", Need.CONSENT
    if row.state == ConnectionState.REVOKING:
        return "the connection is being revoked", Need.RECONNECT
    if row.state == ConnectionState.REVOKED:
        return "the connection was revoked", Need.CONSENT
    if row.state == ConnectionState.NEEDS_REPAIR:
        return row.last_error or "the grant is dead", Need.CONSENT
    if rows.unverified is not None:
        return "the account behind the newest tokens is not read yet", Need.REFRESH
    return _by_token(resources, row)


def _by_token(resources: Resources, row: Row) -> tuple[str, Need]:
    if not row.lasts():
        if row.retry_in:
            return row.last_error or "the last refresh failed", Need.WAIT
        if not row.renewable:
            return "the access token has expired, and there is no refresh token", Need.CONSENT
        return row.last_error or "the access token has expired", Need.REFRESH
    token = resources.store.grants.access_token(row) or ""
    verdict = probe_token(resources.provider, token, clock=resources.clock)
    del token  # reporters collect local variables
    if verdict is TokenVerdict.REFUSED:
        return "the provider's API does not accept the access token", Need.REFRESH
    if verdict is TokenVerdict.DOUBTFUL:
        return "the provider's API fails", Need.WAIT
    if row.state == ConnectionState.DEGRADED:
        return row.last_error or "the last refresh failed", Need.WAIT if row.retry_in else Need.REFRESH
    return "nothing is wrong", Need.NOTHING
