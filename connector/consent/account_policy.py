"""Decide whether an account is acceptable for a new grant, or has to be confirmed by a person."""

from __future__ import annotations

from connector.connection import Account, AccountPolicy
from connector.errors import AccountMismatchError, AccountUnconfirmedError
from connector.resources import Resources
from connector.store.row import Row

__all__ = ["other_practices", "refusal", "to_be_confirmed", "unconfirmed"]


def refusal(
    resources: Resources, live: Row | None, row: Row, policy: AccountPolicy, account: Account | None
) -> AccountMismatchError | None:
    """Return the error for an unacceptable account; None if it is acceptable, or unknown."""
    if account is None:
        return None
    practice_id, expected = row.practice_id, policy.expected_account
    if expected is not None and expected.casefold() != (account.email or "").casefold():
        return _mismatch(
            f"access was given by {account}, not by {expected}", "Sign in as the expected account."
        )
    before = None if live is None else live.account
    if policy.allow_account_change or (
        live is not None and live.account_shared and live.account_id == account.id
    ):
        return None
    if before is not None and before.id != account.id:
        return _mismatch(
            f"access was given by {account}, but {practice_id} is connected to {before}",
            "Sign in as the same account as before; if the practice has a new one, allow the account change.",
        )
    if others := other_practices(resources, row, account):
        return _mismatch(
            f"the account {account} is already connected to {', '.join(sorted(others))}",
            "Check which practice it belongs to; to connect it to both, allow the account change.",
        )
    return None


def other_practices(resources: Resources, row: Row, account: Account) -> set[str]:
    """Return the other practices that are connected to an account."""
    return set(resources.store.practices_of_account(row.provider, account.id)) - {row.practice_id}


def _mismatch(what: str, hint: str) -> AccountMismatchError:
    return AccountMismatchError(f"{what}; the connection is unchanged", hint=hint)


def to_be_confirmed(
    live: Row | None, policy: AccountPolicy, account: Account | None, confirmed: str | None
) -> bool:
    """Return whether anyone could have sent these tokens and their account is not confirmed."""
    if not policy.to_confirm or policy.expected_account is not None:
        return False
    known = {confirmed, None if live is None else live.account_id} - {None}
    return account is None or account.id not in known


def unconfirmed(row: Row) -> AccountUnconfirmedError:
    """Return the error for a grant whose account waits to be confirmed."""
    practice_id, account = row.practice_id, row.account
    return AccountUnconfirmedError(
        f"access was given by {account or 'an account that could not be read yet'}, in a response without a "
        "state, which anyone could have sent: a person has to confirm that "
        f"it belongs to {practice_id}",
        hint="It waits for ten minutes: show a person the account, and confirm or reject it. No person "
        "is asked if the request is begun with the expected account.",
        practice_id=practice_id,
        account=account,
    )
