"""The stored row of a grant: the connection's facts, its sealed tokens, and the lease of a refresh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, get_args, get_type_hints

from connector.clock import from_timestamp
from connector.connection import Account, Connection, ConnectionState, LabConnection
from connector.errors import StoreDamagedError
from connector.hints import ormco_command
from connector.store.database import TABLE
from connector.store.held_token import CLOCK_TOLERANCE, LATEST, LIVE, lasts, valid_until
from connector.store.owners import is_gone

__all__ = [
    "BELIEVED_BACKOFF",
    "BELIEVED_LEASE",
    "COLUMNS",
    "LIVE",
    "UNVERIFIED",
    "Row",
    "Rows",
    "checked_row",
    "damaged",
    "select_rows",
]

UNVERIFIED = "unverified"
# Seconds; a stored time that is further in the future was written by a wrong clock.
BELIEVED_LEASE, BELIEVED_BACKOFF = 600.0, 400.0
# States that need no action, unless there is a new grant.
_SETTLED = (ConnectionState.CONNECTED, ConnectionState.REVOKED)


class Row(NamedTuple):
    """One row of the connections' table. Times are the database's, in seconds since 1970.

    Attributes:
        slot: `LIVE`, or `UNVERIFIED` for a new grant whose account is not known or not confirmed yet.
        version: a random mark of the last write; a change succeeds only on the row that was read.
        generation: rises with each token set; new tokens replace only those that were sent.
        account_shared: whether other practices may be connected to the same account.
        with_secret: whether the client had a secret when the grant was made; None: unknown.
        refresh_by: the process that is refreshing the tokens, or None.
        refresh_since: when the refresh token was first sent, or claimed for that.
        refresh_until: when the lease of the refresh ends.
        refresh_sends: how often the refresh token may have been sent without a response being stored.
        rejected_generation: the generation that was requested because an API had rejected the previous one.
        confirm_by: when an unconfirmed grant is revoked.
    """

    practice_id: str
    slot: str
    version: int
    generation: int
    state: str
    since: float
    expires_at: float | None
    refreshed_at: float | None
    due_at: float | None
    retry_at: float | None
    confirm_by: float | None
    failures: int
    refresh_by: str | None
    refresh_since: float | None
    refresh_until: float | None
    refresh_sends: int
    refresh_count: int
    rejected_generation: int | None
    renewable: int
    with_secret: int | None
    provider: str
    account_id: str | None
    account_email: str | None
    account_name: str | None
    account_region: str | None
    account_shared: int
    reason: str | None
    last_error: str | None
    scope: str | None
    connected_at: float | None
    lab_state: str | None
    lab_email: str | None
    access_sealed: bytes | None
    refresh_sealed: bytes | None
    policy_sealed: bytes | None
    now: float

    def __repr__(self) -> str:
        return f"<Row {self.practice_id} {self.slot}, version {self.version}>"

    @property
    def is_leased(self) -> bool:
        """Whether a refresh is in progress: its lease has not expired, and its owner may be alive."""
        if self.refresh_by is None or self.refresh_until is None or is_gone(self.refresh_by):
            return False
        since = self.refresh_since or self.now
        return (
            since <= self.now + CLOCK_TOLERANCE and self.now < self.refresh_until < self.now + BELIEVED_LEASE
        )

    @property
    def answer_may_be_lost(self) -> bool:
        """Whether the refresh token may have been used up by a call whose response was never stored."""
        return self.refresh_sends > 0 and not self.is_leased

    @property
    def valid_until(self) -> float:
        """When to stop using the access token; 0 if there is none, or if its times are impossible."""
        if self.access_sealed is None:
            return 0.0
        return valid_until(self.refreshed_at, self.expires_at, self.now)

    @property
    def lifetime(self) -> float:
        """The whole lifetime of the access token, in seconds."""
        return max(0.0, self.valid_until - (self.refreshed_at or 0.0))

    def lasts(self, min_ttl: float = 0.0) -> bool:
        """Return whether the access token is valid for `min_ttl` more seconds, or half of its lifetime."""
        return lasts(self.valid_until - self.now, self.lifetime, min_ttl)

    @property
    def retry_in(self) -> float:
        """The seconds until the next refresh may be attempted."""
        left = (self.retry_at or 0.0) - self.now
        return left if 0.0 < left < BELIEVED_BACKOFF else 0.0

    @property
    def account(self) -> Account | None:
        """The account behind the tokens."""
        others = {"email": self.account_email, "name": self.account_name, "region": self.account_region}
        return None if self.account_id is None else Account(id=self.account_id, **others)

    @property
    def connection(self) -> Connection:
        """The connection without its secrets.

        Raises:
            connector.errors.StoreDamagedError: if a value is impossible.
        """
        checked_row(self)
        try:
            return Connection(
                practice_id=self.practice_id,
                provider=self.provider,
                state=ConnectionState(self.state),
                since=from_timestamp(self.since),
                reason=self.reason,
                account=self.account if self.slot == LIVE else None,
                scope=self.scope,
                renewable=bool(self.renewable),
                expires_at=_datetime(self.expires_at),
                connected_at=_datetime(self.connected_at),
                refreshed_at=_datetime(self.refreshed_at),
                token_generation=self.generation if self.slot == LIVE else 0,
                refresh_count=self.refresh_count,
                lab=LabConnection(state=self.lab_state, email=self.lab_email) if self.lab_state else None,
                last_error=self.last_error,
            )
        except (ValueError, TypeError, OverflowError, OSError) as exc:
            raise damaged(self.practice_id) from exc


COLUMNS = tuple(name for name in Row._fields if name != "now")


def select_rows(now: str) -> str:
    """Return the query for rows, without a condition; `now` is the SQL expression for the time."""
    return f"SELECT {', '.join(COLUMNS)}, {now} FROM {TABLE}"  # noqa: S608


# The permitted types of each column, from the annotations of `Row`.
_ALLOWED = tuple(set(get_args(kind)) or {kind} for kind in get_type_hints(Row).values())


def checked_row(values: Sequence[Any]) -> Row:
    """Return a row after checking its types, because SQLite accepts any value in any column.

    Raises:
        connector.errors.StoreDamagedError: if a value has another type, or if a time is out of range.
    """
    if _fits(tuple(map(type, values))):
        row = Row._make(values)
        for time in _times(row):
            if time is not None and not -LATEST < time < LATEST:
                raise damaged(values[0])
        return row
    raise damaged(values[0])


@lru_cache
def _fits(kinds: tuple[type, ...]) -> bool:
    return all(kind in allowed for kind, allowed in zip(kinds, _ALLOWED, strict=True))


_times = attrgetter(*(name for name, allowed in zip(Row._fields, _ALLOWED, strict=True) if float in allowed))


class Rows(NamedTuple):
    """The stored rows of a practice.

    Attributes:
        live: the grant whose tokens are in use.
        unverified: a newer grant that will replace it.
    """

    live: Row | None = None
    unverified: Row | None = None

    @classmethod
    def of(cls, found: Iterable[Row]) -> Rows:
        """Return the rows of one practice by their slots; rows with an unknown slot are ignored."""
        by_slot = {row.slot: row for row in found}
        return cls(by_slot.get(LIVE), by_slot.get(UNVERIFIED))

    @property
    def all(self) -> list[Row]:
        """The rows that exist."""
        return list(filter(None, self))

    @property
    def main(self) -> Row | None:
        """The live row, or the unverified one if there is no live row."""
        return self.live or self.unverified

    @property
    def connection(self) -> Connection | None:
        """The practice's connection without secrets; its reason may explain why a new grant is not in use."""
        found = self.main and self.main.connection
        if found is None or self.unverified is None or found.state not in _SETTLED:
            return found
        return replace(found, reason=self.unverified.reason)


def damaged(practice_id: object) -> StoreDamagedError:
    """Return the error for a damaged row."""
    return StoreDamagedError(
        f"the stored data of {practice_id} is damaged",
        hint="Restore the store from a backup, or delete this data and connect the practice again: "
        f"{ormco_command('forget', str(practice_id))}",
    )


def _datetime(seconds: float | None) -> Any:
    return None if seconds is None else from_timestamp(seconds)
