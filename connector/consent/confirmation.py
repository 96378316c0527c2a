"""A person confirms the account of a response without state, which anyone could have sent.

An attacker can send a signed-in person to the application's callback address with a code of the attacker's
account. If the provider returns the state, such a response is refused. If that is not known, its grant waits,
sealed and unused, until a person has confirmed the account.
"""

from __future__ import annotations

import hmac
import logging

from connector.connection import Connection
from connector.consent.account import drop_unverified, verify_account
from connector.consent.account_policy import unconfirmed
from connector.errors import (
    AccountMismatchError,
    RequestExpiredError,
    SealingKeyError,
    StateMismatchError,
    StoreDamagedError,
)
from connector.oauth.authorization_request import binding_digest
from connector.resources import Resources
from connector.store.row import Row, Rows

__all__ = ["confirm_account", "end_all_overdue", "end_overdue", "reject_account"]

_LOG = logging.getLogger("connector")


def confirm_account(
    resources: Resources, practice_id: str, *, account_id: str, binding: str | None = None
) -> Connection:
    """Activate an unconfirmed grant whose account a person has confirmed; see `Connector.confirm_account`."""
    rows = resources.store.grants.existing(practice_id)
    live, waits = rows.live, rows.unverified is not None and rows.unverified.confirm_by is not None
    if live is not None and not waits and live.access_sealed is not None and live.account_id == account_id:
        return live.connection  # it was confirmed already
    waiting = _waiting(resources, rows, practice_id, binding)
    if waiting.account is None:
        raise unconfirmed(waiting)
    if waiting.account_id != account_id:
        raise AccountMismatchError(
            f"the account that waits to be confirmed is {waiting.account}, not the one that was shown",
            hint="Show it to the person again; nothing was changed.",
        )
    return verify_account(resources, practice_id, confirmed=account_id)


def reject_account(resources: Resources, practice_id: str, *, binding: str | None = None) -> None:
    """Revoke and forget an unconfirmed grant of a wrong account; the live grant is not changed."""
    waiting = _waiting(resources, resources.store.grants.existing(practice_id), practice_id, binding)
    drop_unverified(resources, waiting, unconfirmed(waiting))


def end_overdue(resources: Resources, practice_id: str) -> None:
    """Revoke and forget a practice's grant if its account was not confirmed in time.

    Only this practice's grant is checked, so that no call waits for another practice.
    """
    row = resources.store.grants.rows(practice_id).unverified
    if row is not None and _is_overdue(row):
        drop_unverified(resources, row, unconfirmed(row))


def end_all_overdue(resources: Resources) -> None:
    """Revoke and forget all such grants, for a timer; one that cannot be read is kept, and logged."""
    for practice_id in resources.store.grants.overdue():
        try:
            end_overdue(resources, practice_id)
        except (StoreDamagedError, SealingKeyError) as exc:
            _LOG.error(
                "the unconfirmed account of %s cannot be revoked: %s",
                practice_id,
                exc.message,
                extra={"practice_id": practice_id, "kind": exc.kind},
            )


def _waiting(resources: Resources, rows: Rows, practice_id: str, binding: str | None) -> Row:
    """Return the grant that waits to be confirmed by this session."""
    row = rows.unverified
    if row is None or row.confirm_by is None:
        raise StateMismatchError(
            f"no account waits to be confirmed for {practice_id}",
            hint="Begin again.",
            practice_id=practice_id,
        )
    begun_by = resources.store.grants.policy(row).binding
    if not hmac.compare_digest(begun_by or "", binding_digest(binding) or ""):
        raise StateMismatchError(
            "the account that waits to be confirmed belongs to a request of another session",
            hint="Confirm it in the session that began the request; nothing was changed.",
        )
    if _is_overdue(row):
        drop_unverified(resources, row, unconfirmed(row))
        raise RequestExpiredError(
            "the account was not confirmed within ten minutes, so the access it gave was revoked",
            hint="Begin again.",
            practice_id=practice_id,
        )
    return row


def _is_overdue(row: Row) -> bool:
    return row.confirm_by is not None and row.confirm_by <= row.now
