"""Keep access tokens in memory, and return them for two seconds without reading the store."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from connector.clock import Clock, from_timestamp
from connector.connection import AccessToken
from connector.refresh.schedule import refresh_time
from connector.store.held_token import HeldToken
from connector.store.row import Row

__all__ = ["CachedToken", "TokenMemory"]

# Seconds for which a token is returned without reading the store; a revocation by another process is
# noticed after them.
_RECHECK_SECONDS = 2.0
_LARGEST_CACHE = 50_000


@dataclass(slots=True)
class CachedToken:
    """A token in memory; its times are by this process's clock."""

    value: str = field(repr=False)
    generation: int
    read_at: float
    check_at: float
    refresh_at: float
    expires_at: float
    spared_until: float = 0.0  # after a failed refresh: the time of the next attempt

    @property
    def token(self) -> AccessToken:
        """The token with its times."""
        return AccessToken(
            value=self.value,
            expires_at=from_timestamp(self.expires_at),
            refresh_at=from_timestamp(self.refresh_at),
        )

    def recheck_later(self, now: float) -> None:
        """Return this token for two more seconds without a read, because the store is unavailable."""
        self.read_at = now
        self.check_at = min(now + _RECHECK_SECONDS, self.expires_at)

    def spare(self) -> None:
        """Return this token for two seconds without a refresh: all callers share one read and one warning."""
        self.spared_until = min(self.read_at + _RECHECK_SECONDS, self.expires_at)


class TokenMemory:
    """The tokens that this process has handed out."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.time
        self.is_closed: bool = False
        self._tokens: dict[str, CachedToken] = {}

    def get(self, practice_id: str) -> CachedToken | None:
        """Return the token in memory, however old, or None."""
        return self._tokens.get(practice_id)

    def valid(self, practice_id: str, min_ttl: float) -> CachedToken | None:
        """Return a token that is valid and was read recently, or None; never wait."""
        try:
            cached = self._tokens.get(practice_id)
            if cached is not None:
                now = self._now()
                if cached.read_at <= now < cached.check_at and now + min_ttl <= cached.expires_at:
                    return cached
        except (TypeError, OverflowError):  # the code that reads the store reports it
            pass
        return None

    def put(self, practice_id: str, value: str, row: Row | HeldToken) -> CachedToken:
        """Keep a token that was just read; the times of its row are by the database's clock."""
        now = self._now()
        offset = now - row.now  # of this process's clock from the database's
        known = self._tokens.get(practice_id)
        if known is not None and known.generation == row.generation:
            refresh_at = known.refresh_at
        else:
            refresh_at = refresh_time(row) + offset
        expires_at = row.valid_until + offset
        check_at = min(now + _RECHECK_SECONDS, refresh_at if now < refresh_at else expires_at)
        cached = CachedToken(value, row.generation, now, check_at, refresh_at, expires_at)
        while practice_id not in self._tokens and len(self._tokens) >= _LARGEST_CACHE:
            with suppress(RuntimeError, StopIteration):  # another thread has changed it in between
                self._tokens.pop(next(iter(self._tokens)), None)  # the oldest
        if not self.is_closed:
            self._tokens[practice_id] = cached
        return cached

    def forget(self, practice_id: str) -> None:
        """Forget a practice's token, so that the next call reads the store."""
        self._tokens.pop(practice_id, None)

    def close(self) -> None:
        """Forget all tokens, and keep no new ones."""
        self.is_closed = True
        self._tokens.clear()
