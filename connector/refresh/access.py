"""Provide a valid access token: from memory, from the store, or from a refresh, by any process."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import suppress

from connector.clock import Clock, Stopwatch
from connector.connection import AccessToken, Connection, ConnectionState, Event
from connector.errors import (
    ConfigurationError,
    ProviderUnavailableError,
    SettingError,
    StoreUnavailableError,
)
from connector.process import after_fork
from connector.refresh.background import BackgroundRefresh
from connector.refresh.failures import log
from connector.refresh.memory import CachedToken, TokenMemory
from connector.refresh.refresher import TokenRefresher
from connector.refresh.rotate import Rotator
from connector.store.held_token import HeldToken, read_held
from connector.store.row import Row, Rows
from connector.store.store import Store

__all__ = ["AccessTokens"]

# Timeout in seconds of a read while the token in memory is valid: without the store, that token is used.
_RECHECK_WITHIN = 0.5
# Events after which a token in memory no longer belongs to the practice's connection.
_REPLACES = {"adopt", "complete", "forget", "revoke"}
# If an API rejects a token that was refreshed after a rejection, it is not refreshed again within this time.
_JUST_RENEWED_SECONDS = 900.0


class AccessTokens:
    """Returns access tokens, and refreshes them before they expire.

    Args:
        verify: reads the account of a practice's unverified grant, and makes that grant the live one.
        proactive: refresh tokens in the background before they expire.
    """

    def __init__(
        self,
        store: Store,
        rotator: Rotator,
        clock: Clock,
        *,
        verify: Callable[[str], object] | None = None,
        proactive: bool = True,
    ) -> None:
        self._store = store
        self._rotator = rotator
        self._now = clock.time
        self._proactive = proactive
        self.memory = TokenMemory(clock)
        self._refresher = TokenRefresher(store, rotator, clock, self.memory, verify)
        self._background = BackgroundRefresh(self._refresher.refresh_if_free)
        store.audit.subscribe(self._forget_replaced)
        after_fork(self)

    def start_in_child(self) -> None:
        """Begin without the threads and locks of the parent."""
        self._background.start()
        self._refresher.start()

    def access_token(self, practice_id: str, *, min_ttl: float = 60.0, rejected: str | None = None) -> str:
        """Return the value of an access token; see `Connector.access_token`."""
        cached = self.memory.valid(practice_id, min_ttl) if rejected is None else None
        return (cached or self._looked_up(practice_id, min_ttl, rejected)).value

    def token(self, practice_id: str, *, min_ttl: float = 60.0, rejected: str | None = None) -> AccessToken:
        """Return an access token that is valid now; see `Connector.token`.

        A token that was just refreshed is returned even if it is valid for less than `min_ttl` seconds.
        """
        cached = self.memory.valid(practice_id, min_ttl) if rejected is None else None
        return (cached or self._looked_up(practice_id, min_ttl, rejected)).token

    def refresh(self, practice_id: str, *, force: bool = False) -> Connection:
        """Refresh a connection if its access token expires soon; see `Connector.refresh`.

        With `force`, a refresh by another process in the meantime is enough.
        """
        self._refuse_if_closed()
        rows = self._refresher.usable(practice_id, self._store.grants.rows(practice_id))
        near = rows.live is None or self._now() >= self._remember(practice_id, rows.live).refresh_at
        if force or near or self._refresher.awaits_account(rows):
            self._remember(practice_id, self._refresher.refresh(practice_id, rows, force=force))
        return self._store.existing(practice_id)

    def finish_refresh(self, claimed: Row, since: Stopwatch) -> bool:
        """Refresh a connection whose lease this process took at `since`; return whether it has new tokens."""
        with self._store.audit.deferred():
            return self._rotator.finish(claimed, since) is not None

    def close(self, then: Callable[[], object] = lambda: None) -> None:
        """Provide no more tokens; refreshes in progress end in the background, and store their tokens.

        `then` is called when the last refresh has ended; immediately if none is in progress.
        """
        self.memory.close()
        self._background.close(then)

    def _forget_replaced(self, event: Event) -> None:
        """Forget a token that this process has revoked or replaced, or a token of a dead grant."""
        is_replaced = event.kind in _REPLACES and event.outcome in ("ok", "begun")
        if event.practice_id and (is_replaced or event.state is ConnectionState.NEEDS_REPAIR):
            self.memory.forget(event.practice_id)

    def _refuse_if_closed(self) -> None:
        if self.memory.is_closed:
            raise StoreUnavailableError("this connector was closed", hint="Create a new one.")

    def _looked_up(self, practice_id: str, min_ttl: float, rejected: str | None) -> CachedToken:
        self._refuse_if_closed()
        _require_seconds(min_ttl)
        cached = self.memory.get(practice_id)
        if cached is not None and rejected is None and cached.read_at <= self._now() < cached.spared_until:
            return cached
        may_serve = cached is not None and rejected is None and self._now() < cached.expires_at
        try:
            if cached is not None and may_serve:
                held = read_held(self._store.database, self._store.keys, practice_id, timeout=_RECHECK_WITHIN)
                is_same = held is not None and held.generation == cached.generation
                if held is not None and is_same and held.lasts(min_ttl) and self._now() < cached.refresh_at:
                    return self._remember(practice_id, held)
            rows = self._store.grants.rows(practice_id, timeout=_RECHECK_WITHIN if may_serve else None)
        except StoreUnavailableError as exc:
            if cached is None or not may_serve:
                raise
            log(logging.WARNING, practice_id, exc.kind, "%s; the token in memory is used", exc.message)
            cached.recheck_later(self._now())
            return cached
        row = self._refresher.usable(practice_id, rows).live
        if row is not None and rejected is not None and self._store.grants.access_token(row) == rejected:
            return self._renewed_for(practice_id, rows, row)
        if row is not None and row.lasts(min_ttl) and not self._refresher.awaits_account(rows):
            return self._handed_out(practice_id, row)
        return self._renewed_or_old(practice_id, rows, min_ttl)

    def _handed_out(self, practice_id: str, row: Row) -> CachedToken:
        cached = self._remember(practice_id, row)
        if row.state == ConnectionState.DEGRADED:
            text = "the connection of %s is degraded; its access token is still valid"
            log(logging.WARNING, practice_id, "degraded", text, practice_id)
        if self._proactive and cached.read_at >= cached.refresh_at:
            self._background.submit(row)
        return cached

    def _renewed_or_old(self, practice_id: str, rows: Rows, min_ttl: float) -> CachedToken:
        """Refresh a token; if that is not possible now, return the old one while it is valid."""
        try:
            return self._remember(practice_id, self._refresher.refresh(practice_id, rows, min_ttl=min_ttl))
        except (ProviderUnavailableError, ConfigurationError) as exc:
            live = self._refresher.usable(practice_id, self._store.grants.rows(practice_id)).live
            if live is None or not live.lasts():
                raise
            text = "%s: %s; the access token is still valid"
            log(logging.WARNING, practice_id, exc.kind, text, practice_id, exc.message)
            cached = self._remember(practice_id, live)
            if not getattr(exc, "sent", False):
                cached.spare()
            return cached

    def _renewed_for(self, practice_id: str, rows: Rows, row: Row) -> CachedToken:
        """Refresh a token that an API has rejected: once, for all callers."""
        age = row.now - (row.refreshed_at or 0.0)
        if row.rejected_generation == row.generation and age < _JUST_RENEWED_SECONDS:
            raise ProviderUnavailableError(
                f"an API rejects the access token of {practice_id}, which was just renewed for that",
                hint="Try again in a few minutes; if this continues, diagnose the connection.",
                practice_id=practice_id,
                retry_after=_JUST_RENEWED_SECONDS - age,
                answered=True,
            )
        renewed = self._refresher.refresh(practice_id, rows, rejected=True)
        return self._remember(practice_id, renewed)

    def _remember(self, practice_id: str, row: Row | HeldToken) -> CachedToken:
        value = row.value if isinstance(row, HeldToken) else self._store.grants.access_token(row) or ""
        return self.memory.put(practice_id, value, row)


def _require_seconds(min_ttl: object) -> None:
    with suppress(OverflowError):
        if isinstance(min_ttl, int | float) and not math.isnan(min_ttl):
            return
    raise SettingError("min_ttl is not a number of seconds", hint="Pass one, such as 60.")
