"""Whose tokens are these? Nothing is handed out before the account behind it is known and right.

Every function here is called with the practice's lock held.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connector.communicate.users import read_account
from connector.connection import Account, Connection, ConnectionState, Event, Grant, UnprovenGrant
from connector.errors import (
    AccountMismatchError,
    AccountUnconfirmedError,
    ClientRefusedError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
)
from connector.hints import ormco_command
from connector.oauth.token_set import TokenSet
from connector.refresh.asking import ask
from connector.resources import Resources

__all__ = ["drop_unproven", "keep_unproven", "prove", "revoke_fresh", "unconfirmed"]

# How long a person has to say whether an account is the right one.
_CONFIRMABLE_FOR = timedelta(minutes=10)


def keep_unproven(resources: Resources, practice_id: str, unproven: UnprovenGrant) -> Grant:
    """Store tokens beside what the practice has, before anything else can go wrong.

    Args:
        resources: what to work with.
        practice_id: whose connection they are for.
        unproven: the tokens, and which account is acceptable.

    Returns:
        The stored grant.
    """
    before, now = resources.store.get(practice_id), resources.clock.utc_now()
    if before is not None and before.unproven is not None and before.unproven.to_confirm:
        before = drop_unproven(resources, before, unconfirmed(before))  # nobody is asked about two at once
    grant = before or Grant(
        connection=Connection(
            practice_id=practice_id,
            provider=resources.provider.name,
            state=ConnectionState.DEGRADED,
            since=now,
            reason="account_unconfirmed" if unproven.to_confirm else "account_unread",
        )
    )
    return resources.store.put(
        replace(grant, unproven=unproven, confirm_by=now + _CONFIRMABLE_FOR if unproven.to_confirm else None),
        expected_generation=None if before is None else before.connection.token_generation,
    )


def prove(resources: Resources, grant: Grant) -> Grant:
    """Read the account behind a grant's unproven tokens; make them the connection's own.

    Returns:
        The stored grant, connected.

    Raises:
        connector.errors.AccountMismatchError: it is another account; the tokens are dropped, and revoked
            where the provider can.
        connector.errors.AccountUnconfirmedError: a person has to confirm the account first; all is kept.
        connector.errors.GrantRefusedError: the tokens had to be refreshed, and are dead; they are dropped.
        connector.errors.ProviderUnavailableError: the account cannot be read now; the tokens are kept.
    """
    unproven = grant.unproven
    if unproven is None:
        return grant
    answer_lost = unproven.sent
    try:
        grant, account = _read(resources, grant)
    except GrantRefusedError as exc:
        present = resources.store.get(grant.connection.practice_id) or grant
        if answer_lost:
            _bury(resources, present, exc)
        else:
            drop_unproven(resources, present, exc)
        raise
    refusal = _refusal(resources, grant, account)
    if refusal is not None:
        drop_unproven(resources, grant, refusal)
        raise refusal
    if _is_to_be_confirmed(grant, account):
        unproven = replace(grant.unproven or unproven, account=account)
        raise unconfirmed(_put(resources, replace(grant, unproven=unproven)))
    return _promote(resources, grant, account)


def _read(resources: Resources, grant: Grant) -> tuple[Grant, Account | None]:
    """Read the account, with a fresh access token where the first one has ended while waiting."""
    provider, clock, unproven = resources.provider, resources.clock, grant.unproven
    if unproven is not None and unproven.account is not None:
        return grant, unproven.account
    if unproven is not None and unproven.tokens.good_until <= clock.utc_now():
        grant = _refreshed(resources, grant, unproven)
    if not provider.tells_account or grant.unproven is None:
        return grant, None
    return grant, read_account(provider, grant.unproven.tokens.access_token, clock=clock)


def _refreshed(resources: Resources, grant: Grant, unproven: UnprovenGrant) -> Grant:
    """Refresh unproven tokens; whenever this process dies, the store says whether that was under way."""
    tokens = unproven.tokens
    if tokens.refresh_token is None:
        return grant
    sent = _put(resources, replace(grant, unproven=replace(unproven, sent=True)))
    try:
        fresh = ask(resources.endpoint, tokens.refresh_token, clock=resources.clock, is_newest=lambda: True)
    except (ProviderUnavailableError, ClientRefusedError) as exc:
        if isinstance(exc, ClientRefusedError) or not exc.sent or exc.answered:
            _put(resources, replace(sent, unproven=unproven))
        raise
    fresh = replace(fresh, scope=fresh.scope or tokens.scope)
    return _put(resources, replace(sent, unproven=replace(unproven, tokens=fresh, sent=False)))


def _refusal(resources: Resources, grant: Grant, account: Account | None) -> AccountMismatchError | None:
    unproven, before, practice_id = grant.unproven, grant.connection.account, grant.connection.practice_id
    if unproven is None or account is None:
        return None
    expected = unproven.expected_account
    if expected is not None and expected.casefold() != (account.email or "").casefold():
        return _mismatch(
            f"access was given by {account}, not by {expected}", "Sign in as the expected account."
        )
    if unproven.allow_account_change:
        return None
    if before is not None and before.id != account.id:
        return _mismatch(
            f"access was given by {account}, but {practice_id} is connected to {before}",
            "Sign in as the same account as before; --allow-account-change if the practice has a new one.",
        )
    others = set(resources.store.practices_of_account(grant.connection.provider, account.id)) - {practice_id}
    if others:
        return _mismatch(
            f"the account {account} is already connected to {', '.join(sorted(others))}",
            "Check which practice it belongs to; --allow-account-change connects it to both.",
        )
    return None


def _is_to_be_confirmed(grant: Grant, account: Account | None) -> bool:
    """Return whether anybody can have sent these tokens, and nobody has vouched for their account."""
    unproven, before = grant.unproven, grant.connection.account
    if unproven is None or not unproven.to_confirm:
        return False
    is_the_same = before is not None and account is not None and before.id == account.id
    return unproven.expected_account is None and not is_the_same


def unconfirmed(grant: Grant) -> AccountUnconfirmedError:
    """Return the error for a grant whose account waits to be confirmed."""
    practice_id = grant.connection.practice_id
    account = None if grant.unproven is None else grant.unproven.account
    return AccountUnconfirmedError(
        f"access was given by {account or 'an account that could not be read yet'}, in an answer without a "
        f"state, which anybody can have sent: a person has to confirm that {practice_id} is to have it",
        hint="It waits for ten minutes. To answer at a terminal: "
        f"{ormco_command('repair', practice_id)} To name the account beforehand, begin again: "
        f"{ormco_command('begin', practice_id, '--expect-account EMAIL')}",
        account=account,
    )


def _mismatch(what: str, hint: str) -> AccountMismatchError:
    return AccountMismatchError(f"{what}; the connection is as it was", hint=hint)


def _bury(resources: Resources, grant: Grant, refusal: GrantRefusedError) -> None:
    """Note that unproven tokens died of an answer that was lost: somebody has given access for nothing."""
    connection, now = grant.connection, resources.clock.utc_now()
    if grant.tokens is None:
        connection = replace(
            connection,
            state=ConnectionState.NEEDS_REPAIR,
            since=now,
            reason="answer_lost",
            last_error=refusal.message,
        )
    event = Event(
        at=now,
        kind="complete",
        outcome="answer_lost",
        practice_id=connection.practice_id,
        state=connection.state,
    )
    _put(resources, replace(grant, connection=connection, unproven=None, confirm_by=None), event)


def drop_unproven(resources: Resources, grant: Grant, refusal: ConnectorError) -> Grant | None:
    """Forget tokens that are dead or not wanted; those that are not wanted are revoked first.

    Returns:
        What is stored of the practice now.
    """
    dead = isinstance(refusal, GrantRefusedError) or grant.unproven is None
    revoked = "dead" if dead or grant.unproven is None else revoke_fresh(resources, grant.unproven.tokens)
    event = Event(
        at=resources.clock.utc_now(),
        kind="complete",
        outcome=refusal.kind,
        practice_id=grant.connection.practice_id,
        detail={"fresh_tokens_revoked": revoked},
    )
    if grant.tokens is None and grant.connection.connected_at is None:
        resources.store.delete(grant.connection.practice_id, event)
        return None
    return _put(resources, replace(grant, unproven=None, confirm_by=None), event)


def revoke_fresh(resources: Resources, tokens: TokenSet) -> str:
    """Revoke tokens that are not going to be kept, where the provider can; return "yes", or why not."""
    try:
        if resources.provider.revocation_endpoint is None:
            return "no endpoint"
        if tokens.refresh_token is not None:
            resources.endpoint.revoke(tokens.refresh_token, hint="refresh_token")
        resources.endpoint.revoke(tokens.access_token, hint="access_token")
    except ConnectorError as exc:
        return exc.kind
    return "yes"


def _promote(resources: Resources, grant: Grant, account: Account | None) -> Grant:
    if grant.unproven is None:
        return grant
    tokens, before, now = grant.unproven.tokens, grant.connection, resources.clock.utc_now()
    connection = replace(
        before,
        provider=resources.provider.name,
        state=ConnectionState.CONNECTED,
        since=before.since if before.state is ConnectionState.CONNECTED else now,
        reason=None,
        account=account,
        scope=tokens.scope,
        renewable=tokens.refresh_token is not None,
        expires_at=tokens.expires_at,
        connected_at=now,
        refreshed_at=tokens.received_at,
        token_generation=before.token_generation + 1,
        last_error=None,
    )
    events = [
        Event(at=now, kind="complete", outcome="ok", practice_id=before.practice_id, state=connection.state)
    ]
    if before.account is not None and account is not None and before.account.id != account.id:
        events.append(
            Event(
                at=now,
                kind="account_change",
                outcome="ok",
                practice_id=before.practice_id,
                state=connection.state,
            )
        )
    promoted = replace(
        grant,
        connection=connection,
        tokens=tokens,
        unproven=None,
        confirm_by=None,
        refresh_sent_at=None,
        refresh_owner=None,
        failures=0,
        retry_at=None,
    )
    return resources.store.put(promoted, expected_generation=before.token_generation, events=events)


def _put(resources: Resources, grant: Grant, *events: Event) -> Grant:
    generation = grant.connection.token_generation
    return resources.store.put(grant, expected_generation=generation, events=list(events))
