"""Is a grant dead? The one proof is a refresh that fails; one that succeeds is kept.

Every function here is called with the practice's lock held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from connector.communicate.users import TokenVerdict, probe_token
from connector.connection import Event, Grant
from connector.errors import ConnectorError, GrantRefusedError, ProviderUnavailableError
from connector.oauth.token_set import TokenSet
from connector.refresh.verdict import renewed
from connector.resources import Resources
from connector.store import this_process

__all__ = ["Examination", "Finding", "access_token_end", "examine", "token_sets"]


class Finding(StrEnum):
    """What an examination has shown of a grant."""

    DEAD = "dead"  # refused for certain
    REFUSED = "refused"  # not taken, in a way that can also have another cause
    ALIVE = "alive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is stored after an examination, and what it has shown.

    Attributes:
        grant: as it is stored now.
        finding: the worst of what its refresh tokens gave.
        conclusive: False where the answer to an earlier refresh was lost: then the refresh token may be
            refused only because a newer one took its place.
    """

    grant: Grant
    finding: Finding
    conclusive: bool


def token_sets(grant: Grant) -> list[TokenSet]:
    """Return the token sets that a grant holds."""
    unproven = grant.unproven.tokens if grant.unproven is not None else None
    return [tokens for tokens in (grant.tokens, unproven) if tokens is not None]


def examine(resources: Resources, grant: Grant, event: Event) -> Examination:
    """Try to refresh with everything a grant holds; store what that brings.

    Args:
        resources: what to work with.
        grant: as it was read under the lock.
        event: what the audit record says of a refresh that succeeds.

    Raises:
        connector.errors.ProviderUnavailableError: no answer; nothing is shown.
        connector.errors.ClientRefusedError: the client is not accepted; nothing is shown.
    """
    conclusive = grant.refresh_sent_at is None
    finding = Finding.DEAD
    for keep, tokens in _holdings(grant):
        if tokens is None or tokens.refresh_token is None:
            continue
        grant, refusal = _refresh(resources, grant, tokens.refresh_token, keep, event)
        if refusal is None:
            finding, conclusive = Finding.ALIVE, True
        elif not refusal.certain and finding is Finding.DEAD:
            finding = Finding.REFUSED
    return Examination(grant=grant, finding=finding, conclusive=conclusive)


def access_token_end(resources: Resources, grant: Grant) -> datetime | None:
    """Return when the last access token that is still accepted ends, or None if none is.

    One that nobody can tell of counts as accepted.
    """
    return max((each.good_until for each in token_sets(grant) if _lives(resources, each)), default=None)


def _lives(resources: Resources, tokens: TokenSet) -> bool:
    if tokens.good_until <= resources.clock.utc_now():
        return False
    try:
        verdict = probe_token(resources.provider, tokens.access_token, clock=resources.clock)
    except ProviderUnavailableError:
        return True
    return verdict in (TokenVerdict.ACCEPTED, TokenVerdict.UNASKED)


Keep = Callable[[Grant, TokenSet], Grant]


def _holdings(grant: Grant) -> list[tuple[Keep, TokenSet | None]]:
    unproven = grant.unproven.tokens if grant.unproven is not None else None
    return [(_keep_own, grant.tokens), (_keep_unproven, unproven)]


def _keep_own(grant: Grant, tokens: TokenSet) -> Grant:
    before = grant.connection
    after, _ = renewed(grant, tokens, tokens.received_at)
    # A refresh that succeeds is no reason to hand tokens out: that is decided elsewhere.
    connection = replace(after.connection, state=before.state, since=before.since, reason=before.reason)
    return replace(after, connection=connection)


def _keep_unproven(grant: Grant, tokens: TokenSet) -> Grant:
    return (
        grant if grant.unproven is None else replace(grant, unproven=replace(grant.unproven, tokens=tokens))
    )


def _refresh(
    resources: Resources, grant: Grant, refresh_token: str, keep: Keep, event: Event
) -> tuple[Grant, GrantRefusedError | None]:
    """Refresh as safely against a crash as any other refresh: room, intent, call, durable result."""
    store, before = resources.store, grant
    store.make_room()
    grant = _put(
        resources,
        replace(grant, refresh_sent_at=resources.clock.utc_now(), refresh_owner=this_process()),
    )
    try:
        tokens = resources.endpoint.refresh(refresh_token)
    except ConnectorError as exc:
        if isinstance(exc, ProviderUnavailableError) and exc.sent and not exc.answered:
            # The answer may be lost: the mark stays, but nobody needs to wait for this process.
            _put(resources, replace(grant, refresh_owner=None))
            raise
        sent_at, owner = before.refresh_sent_at, before.refresh_owner
        grant = _put(resources, replace(grant, refresh_sent_at=sent_at, refresh_owner=owner))
        if isinstance(exc, GrantRefusedError):
            return grant, exc
        raise
    grant = keep(replace(grant, refresh_sent_at=None, refresh_owner=None), tokens)
    return store.put(grant, expected_generation=before.connection.token_generation, events=[event]), None


def _put(resources: Resources, grant: Grant) -> Grant:
    return resources.store.put(grant, expected_generation=grant.connection.token_generation)
