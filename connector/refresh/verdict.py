"""What an answer to a refresh makes of a grant: values in, values and audit events out."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta

from connector.connection import Connection, ConnectionState, Event, Grant
from connector.errors import (
    ClientRefusedError,
    NeedsRepairError,
    ProviderUnavailableError,
    RevokedError,
)
from connector.oauth.token_set import TokenSet

__all__ = [
    "ANSWER_LOST",
    "RATE_LIMITED",
    "answer_lost",
    "dead",
    "needs_repair",
    "postponed",
    "renewed",
    "require_alive",
    "serves_until",
]

ANSWER_LOST = "answer_lost"
RATE_LIMITED = "rate_limited"
_LONGEST_BACKOFF = 300.0
_MOST_FAILURES = 30

Change = tuple[Grant, list[Event]]


def renewed(grant: Grant, tokens: TokenSet, now: datetime) -> Change:
    """Return a grant with its new tokens."""
    before = grant.connection
    if tokens.refresh_token is None and grant.tokens is not None:
        tokens = replace(tokens, refresh_token=grant.tokens.refresh_token)
    connection = replace(
        before,
        state=ConnectionState.CONNECTED,
        since=before.since if before.state is ConnectionState.CONNECTED else now,
        reason=None,
        scope=tokens.scope or before.scope,
        renewable=tokens.refresh_token is not None,
        expires_at=tokens.expires_at,
        refreshed_at=tokens.received_at,
        token_generation=before.token_generation + 1,
        last_error=None,
    )
    after = replace(grant, connection=connection, tokens=tokens, failures=0, retry_at=None)
    event = _event(connection, "ok", now, {"generation": str(connection.token_generation)})
    return replace(after, refresh_sent_at=None, refresh_owner=None), [event]


def dead(grant: Grant, reason: str, message: str, now: datetime) -> Change:
    """Return a grant that only a new consent can replace; its tokens stay until then."""
    state = ConnectionState.NEEDS_REPAIR
    connection = replace(grant.connection, state=state, since=now, reason=reason, last_error=message)
    after = replace(grant, connection=connection, refresh_sent_at=None, refresh_owner=None, retry_at=None)
    return after, [_event(connection, reason, now)]


def postponed(
    grant: Grant,
    failure: ProviderUnavailableError | ClientRefusedError,
    now: datetime,
    *,
    lost_at: datetime | None,
) -> Change:
    """Return a grant whose refresh failed for a reason that may pass.

    Args:
        grant: with the intent of the refresh that failed.
        failure: what happened.
        now: the moment.
        lost_at: when an earlier refresh was sent whose answer is not known either, or None.
    """
    wait, sent_at = None, lost_at
    if isinstance(failure, ProviderUnavailableError):
        wait = failure.retry_after
        if failure.sent and not failure.answered:
            sent_at = grant.refresh_sent_at
    reason = RATE_LIMITED if wait is not None else ANSWER_LOST if sent_at is not None else failure.kind
    # Jitter, so that a provider that comes back is not met by everybody at once.
    backoff = min(2.0**grant.failures, _LONGEST_BACKOFF) * random.uniform(0.75, 1.25)  # noqa: S311
    connection = _degraded(grant.connection, reason, failure.message, now)
    after = replace(
        grant,
        connection=connection,
        refresh_sent_at=sent_at,
        refresh_owner=None,
        failures=min(grant.failures + 1, _MOST_FAILURES),
        retry_at=_not_before(
            grant, now + timedelta(seconds=max(wait or 0.0, backoff)), lost=sent_at is not None
        ),
    )
    # One event for an outage, not one for each attempt.
    same = (grant.connection.state, grant.connection.reason) == (connection.state, reason)
    return after, [] if same else [_event(connection, failure.kind, now)]


def answer_lost(grant: Grant, now: datetime) -> Change:
    """Return a grant whose owner died between sending a refresh and storing its answer."""
    connection = _degraded(grant.connection, ANSWER_LOST, "the answer to the last refresh may be lost", now)
    after = replace(
        grant, connection=connection, refresh_owner=None, retry_at=_not_before(grant, now, lost=True)
    )
    return after, [_event(connection, ANSWER_LOST, now)]


def serves_until(tokens: TokenSet) -> datetime:
    """Return until when an access token is used where another attempt could kill it."""
    return tokens.good_until - min(timedelta(seconds=10), (tokens.good_until - tokens.received_at) / 10)


def require_alive(connection: Connection) -> None:
    """Refuse a connection that gives no tokens any more.

    Raises:
        connector.errors.NeedsRepairError: its grant is dead.
        connector.errors.RevokedError: it was revoked, or is being revoked.
    """
    practice_id = connection.practice_id
    if connection.state is ConnectionState.NEEDS_REPAIR:
        raise needs_repair(connection)
    if connection.state is ConnectionState.REVOKED:
        raise RevokedError(
            f"the connection of {practice_id} was revoked",
            hint=f"Connect it again: ormco connect {practice_id}",
        )
    if connection.state is ConnectionState.REVOKING:
        raise RevokedError(
            f"the connection of {practice_id} is being revoked",
            hint=f"Finish it: ormco revoke {practice_id} --confirm-done",
        )


def needs_repair(connection: Connection) -> NeedsRepairError:
    """Return the error for a dead grant."""
    practice_id = connection.practice_id
    return NeedsRepairError(
        f"the connection of {practice_id} needs repair ({connection.reason or 'no reason is recorded'})",
        hint=f"Have the practice give access again: ormco repair {practice_id}",
    )


def _not_before(grant: Grant, moment: datetime, *, lost: bool) -> datetime:
    return moment if not lost or grant.tokens is None else max(moment, serves_until(grant.tokens))


def _degraded(connection: Connection, reason: str, message: str, now: datetime) -> Connection:
    state = ConnectionState.DEGRADED
    since = connection.since if connection.state is state else now
    return replace(connection, state=state, since=since, reason=reason, last_error=message)


def _event(
    connection: Connection, outcome: str, now: datetime, detail: dict[str, str] | None = None
) -> Event:
    return Event(
        at=now,
        kind="refresh",
        outcome=outcome,
        practice_id=connection.practice_id,
        state=connection.state,
        detail=detail or {},
    )
