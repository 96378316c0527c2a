"""Ask a person whose account it is, if an answer without state could be anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from connector.errors import AccountMismatchError, AccountUnconfirmedError, ConsentDeniedError

if TYPE_CHECKING:
    from connector.connection import Account
    from connector.connector import Connector

__all__ = ["confirming"]


@contextmanager
def confirming(connector: Connector, practice_id: str, expected: str | None = None) -> Iterator[None]:
    """Have the account confirmed if the work inside leads to one that has to be.

    Args:
        connector: does the work.
        practice_id: whose connection.
        expected: e-mail address of the right account, if that is known; then nobody is asked.

    Raises:
        connector.errors.AccountUnconfirmedError: nobody is at a terminal; the grant waits for ten minutes.
        connector.errors.AccountMismatchError: it is another account than the expected one.
        connector.errors.ConsentDeniedError: the answer is no; the grant is revoked.
    """
    try:
        yield
        return
    except AccountUnconfirmedError as exc:
        account = exc.account
        is_right = None if account is None else _is_right(practice_id, account, expected)
        if is_right is None:
            raise
    if is_right:
        connector.confirm_account(practice_id, account_id=account.id)
        return
    connector.reject_account(practice_id)
    if expected is not None:
        raise AccountMismatchError(
            f"access was given by {account}, not by {expected}; the connection is as it was",
            hint="Sign in as the expected account.",
        )
    raise ConsentDeniedError(f"{practice_id} was not connected to {account}: the answer was no")


def _is_right(practice_id: str, account: Account, expected: str | None) -> bool | None:
    """Return whether the account is the right one; None if nobody is there to be asked."""
    from connector.cli.terminal import ask_person

    if expected is not None:
        return expected.casefold() == (account.email or "").casefold()
    return ask_person(f"Connect {practice_id} as {account}?")
