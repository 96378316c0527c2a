"""Read the token of a connected practice in the fastest way, because this is the most frequent call."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from connector.errors import SettingError
from connector.store.database import TABLE, Database
from connector.store.sealing import grant_data, is_first_version
from connector.store.store_keys import StoreKeys

__all__ = [
    "ASSUMED_LIFETIME",
    "CLOCK_TOLERANCE",
    "LATEST",
    "LIVE",
    "LONGEST_PRACTICE_ID",
    "HeldToken",
    "check_practice_id",
    "is_practice_id",
    "lasts",
    "read_held",
    "valid_until",
]

LIVE = "live"
_CONNECTED = "connected"

LONGEST_PRACTICE_ID = 200
# The assumed lifetime of an access token if the provider does not state it.
ASSUMED_LIFETIME = 3600.0
_TIMES = (float, type(None))
LATEST = 253402300799.0  # the last second of the year 9999
# Seconds by which a clock may be corrected; a stored time that is further in the future is wrong.
CLOCK_TOLERANCE = 60.0
_LONGEST_LIFE = 1e9  # seconds; thirty years


class HeldToken(NamedTuple):
    """A valid access token that needs no refresh. Times are the database's, in seconds since 1970.

    Attributes:
        generation: the number of the token set.
        refreshed_at: when it was received.
        valid_until: when to stop using it.
        now: when it was read.
    """

    value: str
    generation: int
    refreshed_at: float
    valid_until: float
    now: float

    def __repr__(self) -> str:
        return f"<HeldToken of generation {self.generation}>"

    @property
    def lifetime(self) -> float:
        """The whole lifetime in seconds."""
        return max(0.0, self.valid_until - self.refreshed_at)

    def lasts(self, min_ttl: float = 0.0) -> bool:
        """Return whether it is valid for this many more seconds, or for half of its lifetime."""
        left = self.valid_until - self.now
        return left > min_ttl >= 0.0 or lasts(left, self.lifetime, min_ttl)


def read_held(
    database: Database, keys: StoreKeys, practice_id: str, *, timeout: float | None = None
) -> HeldToken | None:
    """Return a practice's token; None if there is none, or if the whole row has to be read.

    `timeout` as for `Database.all`.
    """
    if not is_practice_id(practice_id):
        return None
    found = database.all(_select_sql(database.dialect.now), (practice_id,), timeout=timeout)
    if len(found) != 1:  # no grant, or a new grant that is not verified yet
        return None
    sealed, refreshed_at, expires_at, now, is_connected, generation, account_id, provider = found[0]
    if not is_connected or type(sealed) is not bytes or is_first_version(sealed):
        return None
    if type(refreshed_at) is not float or type(expires_at) not in _TIMES:
        return None  # the code that reads the whole row reports the error
    until = valid_until(refreshed_at, expires_at, now)
    if until <= now:
        return None
    facts = LIVE, generation, _CONNECTED, account_id, provider
    data = grant_data(database.store_id, "access_sealed", practice_id, *facts)
    value = keys.open(sealed, data, row=practice_id)
    return HeldToken(value, generation, refreshed_at, until, now)


def valid_until(refreshed_at: float | None, expires_at: float | None, now: float) -> float:
    """Return when to stop using an access token; 0 if its times are impossible."""
    if refreshed_at is None or not 0.0 <= refreshed_at <= now + CLOCK_TOLERANCE:  # a clock was wrong
        return 0.0
    until = refreshed_at + ASSUMED_LIFETIME if expires_at is None else expires_at
    return until if until < now + _LONGEST_LIFE else 0.0


def lasts(left: float, lifetime: float, min_ttl: float) -> bool:
    """Return whether the rest of a token's lifetime is enough: `min_ttl` seconds, or half of the lifetime."""
    return left > min(max(min_ttl, 0.0), lifetime / 2)


def check_practice_id(practice_id: str) -> None:
    """Refuse a text that is not a valid practice ID.

    Raises:
        connector.errors.SettingError: if it is empty, very long, not printable, or has white space around it.
    """
    if not is_practice_id(practice_id) or practice_id.strip() != practice_id:
        raise SettingError(
            "that is not a practice id",
            hint=f"Use up to {LONGEST_PRACTICE_ID} visible characters, such as practice-42.",
        )


def is_practice_id(practice_id: str) -> bool:
    """Return whether a text can be a practice's id."""
    return (
        isinstance(practice_id, str)
        and practice_id.isprintable()
        and 0 < len(practice_id) <= LONGEST_PRACTICE_ID
    )


@lru_cache
def _select_sql(now: str) -> str:
    return (
        f"SELECT access_sealed, refreshed_at, expires_at, {now}, "  # noqa: S608
        f"slot = '{LIVE}' AND state = '{_CONNECTED}', generation, account_id, provider "
        f"FROM {TABLE} WHERE practice_id = ?"
    )
