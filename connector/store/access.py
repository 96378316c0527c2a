"""The short way to an access token: the few columns that decide whether it may be handed out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.store.sealing import KeyRing, place
from connector.store.vault import Vault

if TYPE_CHECKING:
    from connector.connection import Grant

__all__ = ["Access", "AccessRecords"]

_AT_ACCESS_TOKEN = place("ormco_connections", "access_token")
_ACCESS_SQL = (
    "SELECT state, good_until, refreshed_at, generation, retry_at, "
    "unproven IS NOT NULL AND confirm_by IS NULL, renewable, access_token "
    "FROM ormco_connections WHERE practice_id = ?"
)


class AccessRecords(Vault):
    """The part of the store that reads access tokens."""

    def access(self, practice_id: str) -> Access | None:
        """Return a practice's access token and what decides whether it may be handed out."""
        row = self._one(_ACCESS_SQL, (practice_id,)) if practice_id.isprintable() else None
        return None if row is None else self._opened(lambda ring: _to_access(row, ring, practice_id))


class Access(NamedTuple):
    """What handing out an access token needs; times in seconds since 1970.

    Attributes:
        state: a value of `ConnectionState`.
        good_until: when to stop using the token.
        received_at: when it arrived.
        generation: rises with each new token set.
        retry_at: no refresh before this moment, or None.
        unproven: whether newer tokens wait for their account to be read, and for nobody to confirm it.
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

    def serves(self, now: float, min_ttl: float) -> bool:
        """Return whether the token may be handed out as it is.

        Args:
            now: seconds since 1970.
            min_ttl: seconds it has to live on, at most half of its life.
        """
        if self.token is None or self.good_until is None or self.received_at is None:
            return False
        if self.unproven and (self.retry_at or 0.0) <= now:
            return False
        return self.good_until - now > min(max(min_ttl, 0.0), (self.good_until - self.received_at) / 2)

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
            unproven=grant.unproven is not None and grant.confirm_by is None,
            renewable=connection.renewable,
            token=None if tokens is None else tokens.access_token,
        )


def _to_access(row: Sequence[Any], ring: KeyRing, practice_id: str) -> Access:
    sealed = row[7]
    token = None if sealed is None else ring.open(sealed, at=_AT_ACCESS_TOKEN, row=practice_id)
    return Access(row[0], row[1], row[2], row[3], row[4], row[5], row[6], token)
