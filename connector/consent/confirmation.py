"""A person says whose account it is, where an answer without state can have come from anybody.

Anyone can send a signed-in person to the application's own callback address with a code of their own account
in it. Where the provider returns the state, such an answer is refused. Where that is not known, its grant
waits here, sealed and handed out to nobody, until a person has seen the account.
"""

from __future__ import annotations

import hmac
from dataclasses import replace

from connector.connection import Connection, Grant, UnprovenGrant
from connector.consent.account_proof import drop_unproven, prove, unconfirmed
from connector.errors import AccountMismatchError, RequestExpiredError, StateMismatchError
from connector.hints import ormco_command
from connector.oauth.authorization_request import binding_digest
from connector.resources import Resources

__all__ = ["confirm_account", "end_overdue", "reject_account"]

_LOCK_TIMEOUT = 60.0


def confirm_account(
    resources: Resources, practice_id: str, *, account_id: str, binding: str | None = None
) -> Connection:
    """Make an unconfirmed grant live, because a person has seen whose account it is.

    Args:
        resources: what to work with.
        practice_id: whose connection.
        account_id: of the account that the person was shown.
        binding: what `begin` was given.

    Raises:
        connector.errors.StateMismatchError: nothing waits to be confirmed, or it is another session's.
        connector.errors.RequestExpiredError: it waited for more than ten minutes; it is revoked.
        connector.errors.AccountMismatchError: another account waits than the one that was shown.
        connector.errors.ProviderUnavailableError: the account could not be read yet.
    """
    with resources.store.lock(practice_id, deadline=resources.clock.deadline(_LOCK_TIMEOUT)):
        grant = resources.store.existing_grant(practice_id)
        if grant.confirm_by is None and _is_live(grant, account_id):
            return grant.connection  # it was confirmed already
        waiting = _waiting(resources, grant, binding)
        if waiting.account is None:
            raise unconfirmed(grant)
        if waiting.account.id != account_id:
            raise AccountMismatchError(
                f"it is {waiting.account} that waits to be confirmed, not the account that was shown",
                hint="Show it to the person again; nothing was changed.",
            )
        confirmed = replace(grant, unproven=replace(waiting, to_confirm=False), confirm_by=None)
        return prove(resources, confirmed).connection


def reject_account(resources: Resources, practice_id: str, *, binding: str | None = None) -> None:
    """Revoke and forget an unconfirmed grant: it is not the right account. What was live stays so.

    Args:
        resources: what to work with.
        practice_id: whose connection.
        binding: what `begin` was given.

    Raises:
        connector.errors.StateMismatchError: nothing waits to be confirmed, or it is another session's.
    """
    with resources.store.lock(practice_id, deadline=resources.clock.deadline(_LOCK_TIMEOUT)):
        grant = resources.store.existing_grant(practice_id)
        _waiting(resources, grant, binding)
        drop_unproven(resources, grant, unconfirmed(grant))


def end_overdue(resources: Resources) -> None:
    """Revoke and forget every grant whose account nobody has confirmed in time."""
    for practice_id in resources.store.unconfirmed(resources.clock.utc_now()):
        if not resources.store.try_lock(practice_id):
            continue  # somebody is at it, and the next one who asks will find what is left
        try:
            grant = resources.store.get(practice_id)
            if grant is not None and _is_overdue(resources, grant):
                drop_unproven(resources, grant, unconfirmed(grant))
        finally:
            resources.store.unlock(practice_id)


def _waiting(resources: Resources, grant: Grant, binding: str | None) -> UnprovenGrant:
    """Return the tokens that wait to be confirmed by this session."""
    waiting = grant.unproven
    if waiting is None or grant.confirm_by is None:
        raise StateMismatchError(
            f"no account waits to be confirmed for {grant.connection.practice_id}",
            hint=f"Begin again: {ormco_command('begin', grant.connection.practice_id)}",
        )
    if not hmac.compare_digest(waiting.binding or "", binding_digest(binding) or ""):
        raise StateMismatchError(
            "the account that waits to be confirmed belongs to a request of another session",
            hint="Confirm it in the session that began the request; nothing was changed.",
        )
    if _is_overdue(resources, grant):
        drop_unproven(resources, grant, unconfirmed(grant))
        raise RequestExpiredError(
            "nobody confirmed the account within ten minutes, so the access it gave was revoked",
            hint=f"Begin again: {ormco_command('begin', grant.connection.practice_id)}",
        )
    return waiting


def _is_overdue(resources: Resources, grant: Grant) -> bool:
    return grant.confirm_by is not None and grant.confirm_by <= resources.clock.utc_now()


def _is_live(grant: Grant, account_id: str) -> bool:
    account = grant.connection.account
    return grant.tokens is not None and account is not None and account.id == account_id
