"""The short way to an access token: the few columns that decide whether it may be handed out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from connector.connection import Grant
from connector.store.sealing import KeyRing, place

__all__ = ["ACCESS_COLUMNS", "Access", "to_access"]

_AT_ACCESS_TOKEN = place("ormco_connections", "access_token")
ACCESS_COLUMNS = (
    "state, good_until, refreshed_at, generation, retry_at, unproven IS NOT NULL, renewable, access_token"
)


class Access(NamedTuple):
    """What handing out an access token needs; times in seconds since 1970.

    Attributes:
        state: a value of `ConnectionState`.
        good_until: when to stop using the token.
        received_at: when it arrived.
        generation: rises with each new token set.
        retry_at: no refresh before this moment, or None.
        unproven: whether newer tokens wait for their account to be read.
        renewable: whether there is a refresh token.
        token: the access token, or None.
    """

    state: str
    good_until: float | None
    received_at: float | None
    generation: int
    retry_at: float | None
    unproven: bool
    renewable: bool
    token: str | None

    @classmethod
    def of(cls, grant: Grant) -> Access:
        """Return what `Store.access` says of a grant."""
        connection, tokens = grant.connection, grant.tokens
        return cls(
            state=connection.state.value,
            good_until=None if tokens is None else tokens.good_until.timestamp(),
            received_at=None if connection.refreshed_at is None else connection.refreshed_at.timestamp(),
            generation=connection.token_generation,
            retry_at=None if grant.retry_at is None else grant.retry_at.timestamp(),
            unproven=grant.unproven is not None,
            renewable=connection.renewable,
            token=None if tokens is None else tokens.access_token,
        )


def to_access(row: Sequence[Any], ring: KeyRing, practice_id: str) -> Access:
    """Read a row of `ACCESS_COLUMNS`."""
    sealed = row[7]
    token = None if sealed is None else ring.open(sealed, at=_AT_ACCESS_TOKEN, row=practice_id)
    return Access(row[0], row[1], row[2], row[3], row[4], row[5], row[6], token)
