"""Ask a person whose account it is, if an answer without state could be anybody's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from connector.errors import AccountMismatchError, AccountUnconfirmedError, ConsentDeniedError

if TYPE_CHECKING:
    from connector.connection import Connection
    from connector.connector import Connector
    from connector.repair import Repair

__all__ = ["ask_whose", "given_anew"]

_T = TypeVar("_T")


def ask_whose(
    connector: Connector,
    practice_id: str,
    work: Callable[[], _T],
    *,
    confirmed: Callable[[Connection], _T],
    expected: str | None = None,
) -> _T:
    """Do some work; if it leads to an account that somebody has to confirm, ask.

    Args:
        connector: does the work.
        practice_id: whose connection.
        work: may raise an `AccountUnconfirmedError`.
        confirmed: makes the result of the work from the connection that is live after a yes.
        expected: e-mail address of the right account, if that is known; then nobody is asked.

    Raises:
        connector.errors.AccountUnconfirmedError: nobody is at a terminal; the grant waits for ten minutes.
        connector.errors.AccountMismatchError: it is another account than the expected one.
        connector.errors.ConsentDeniedError: the answer is no; the grant is revoked.
    """
    try:
        return work()
    except AccountUnconfirmedError as exc:
        account = exc.account
        if account is None:
            raise
        if expected is not None:
            is_right = expected.casefold() == (account.email or "").casefold()
        elif sys.stdin is not None and sys.stdin.isatty():
            is_right = click.confirm(f"Connect {practice_id} as {account}?", err=True)
        else:
            raise
    if is_right:
        return confirmed(connector.confirm_account(practice_id, account_id=account.id))
    connector.reject_account(practice_id)
    if expected is not None:
        raise AccountMismatchError(
            f"access was given by {account}, not by {expected}; the connection is as it was",
            hint="Sign in as the expected account.",
        )
    raise ConsentDeniedError(f"{practice_id} was not connected to {account}: the answer was no")


def given_anew(connection: Connection) -> Repair:
    """Return what a repair has come to once a person has confirmed the account."""
    from connector.repair import Repair

    return Repair(connection=connection, found="nobody had confirmed the account yet", step="consent")
