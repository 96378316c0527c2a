"""Claim, call, settle: the only place that sends a refresh token.

A refresh, the account check of a new grant and the proof after a revocation all call `rotate`. At whatever
point this process dies, the row has the old tokens, the new ones, or a lease that ended without a settle.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from connector.clock import Clock, Stopwatch
from connector.connection import ConnectionState, needs_repair
from connector.errors import (
    ConfigurationError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
    SettingError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.oauth.token_set import TokenSet
from connector.redact import Secret
from connector.refresh.failures import ALIVE, Failures, dead, is_lost, log
from connector.refresh.schedule import DOUBT_SECONDS, LEASE_SECONDS, SEND_WITHIN
from connector.store.row import LIVE, Row, checked_row
from connector.store.store import Store

__all__ = ["RefreshEndpoint", "Rotator"]

_SAVE_SECONDS = 60.0
_CLAIM_TRIES = 3

Key = tuple[str, str]


class _Unsaved(NamedTuple):
    """New tokens that are not stored yet, and the row that was claimed for them."""

    claimed: Row
    tokens: TokenSet
    rejected: bool  # whether an API had rejected the old access token


class RefreshEndpoint(Protocol):
    """The part of a token endpoint that a refresh uses."""

    def refresh(self, refresh_token: str) -> TokenSet:
        """Return a new token set; the refresh token is sent at most once."""


class Rotator:
    """Gets new tokens for rows.

    Args:
        endpoint: returns the token endpoint of a provider, by the provider's name.
        reuse_seconds: returns the seconds for which the provider accepts a refresh token a second time.
    """

    def __init__(
        self,
        store: Store,
        endpoint: Callable[[str], RefreshEndpoint],
        clock: Clock,
        *,
        reuse_seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._store = store
        self._endpoint = endpoint
        self._clock = clock
        self._unsaved: dict[Key, _Unsaved] = {}
        self._failures = Failures(store, clock, reuse_seconds)

    def rotate(self, row: Row, *, force: bool = False, rejected: bool = False) -> Row | None:
        """Replace a row's tokens with new ones; at most one token call by all processes together.

        `force`: a person requested it, so do not wait for a backoff, nor until the old token expires.
        `rejected`: an API has rejected the access token.

        Returns:
            The row with its new tokens; None if another process has changed or is refreshing it. Read it
            again then.

        Raises:
            connector.errors.NeedsRepairError: the grant is dead.
            connector.errors.GrantRefusedError: the refresh token of a grant that is not in use was refused.
            connector.errors.ProviderUnavailableError: the tokens cannot be refreshed now.
            connector.errors.ConfigurationError: the settings are wrong.
        """
        key = (row.practice_id, row.slot)
        if (unsaved := self._unsaved.get(key)) is not None:
            return self._save(key, unsaved)
        if row.is_leased:
            return None
        if not force:
            self._failures.require_turn(row)
        # Find wrong settings before the claim.
        refresh_token, endpoint = Secret(self._refresh_token(row)), self._endpoint_of(row)
        claimed = self._claim(row)
        return claimed and self._exchange(claimed, endpoint, refresh_token, rejected=rejected)

    def finish(self, claimed: Row, since: Stopwatch) -> Row | None:
        """Replace the tokens of a row whose lease this process took at `since`, as `rotate` does."""
        key = (claimed.practice_id, claimed.slot)
        if (unsaved := self._unsaved.get(key)) is not None:
            return self._save(key, unsaved)
        try:
            self._failures.refuse_fault(checked_row(claimed))
            refresh_token, endpoint = Secret(self._refresh_token(claimed)), self._endpoint_of(claimed)
            if (took := since.seconds) > SEND_WITHIN:
                raise _too_slow(claimed.practice_id, took)
        except BaseException:
            self._store.leases.end(claimed, lost=False)
            raise
        return self._exchange(claimed, endpoint, refresh_token, rejected=False)

    def _exchange(
        self, claimed: Row, endpoint: RefreshEndpoint, refresh_token: Secret, *, rejected: bool
    ) -> Row | None:
        was_lost = claimed.refresh_sends > 1
        try:
            tokens = self._call(endpoint, refresh_token, claimed)
        except GrantRefusedError as exc:
            return self._failures.refused(claimed, exc, was_lost=was_lost)
        except (ProviderUnavailableError, ConfigurationError) as exc:
            self._failures.postpone(claimed, exc, was_lost=was_lost)
            if not is_lost(exc) or (present := self._failures.second_use(claimed)) is None:
                raise
            return self.rotate(present, force=True, rejected=rejected)
        except BaseException:
            self._store.leases.end(claimed, lost=True)  # no other process has to wait for this one
            raise
        self._failures.forget(claimed)
        key = (claimed.practice_id, claimed.slot)
        self._unsaved[key] = unsaved = _Unsaved(claimed, tokens, rejected)
        return self._save(key, unsaved)

    def _refresh_token(self, row: Row) -> str:
        token = self._store.grants.refresh_token(row)
        if token is not None:
            return token
        practice_id = row.practice_id
        if row.lasts():
            raise ProviderUnavailableError(
                f"{practice_id} has no refresh token, and its access token expires soon",
                hint="Repair the connection: the practice has to give access again.",
                practice_id=practice_id,
                sent=False,
            )
        words = "the access token has expired, and there is no refresh token"
        if row.state not in ALIVE or row.slot != LIVE:
            raise GrantRefusedError(f"{practice_id}: {words}", certain=True)
        state = ConnectionState.NEEDS_REPAIR
        event = self._store.audit.event("refresh", "not_renewable", practice_id, state=state)
        self._store.grants.change(row, dead("not_renewable", words), [event])
        raise needs_repair(practice_id, "not_renewable")

    def _endpoint_of(self, row: Row) -> RefreshEndpoint:
        try:
            endpoint = self._endpoint(row.provider)
            if row.with_secret and not getattr(endpoint, "has_secret", True):
                raise SettingError(
                    f"the grant of {row.practice_id} was made with a client secret, and none is set",
                    hint="Set ORMCO_CLIENT_SECRET, or ORMCO_CLIENT_SECRET_FILE; nothing was sent.",
                )
            return endpoint
        except ConnectorError as exc:
            self._failures.note(row, exc)
            raise

    def _claim(self, row: Row) -> Row | None:
        """Take the lease; take it again if that took long, because it might end during the call."""
        for _ in range(_CLAIM_TRIES):
            since = Stopwatch(self._clock)
            claimed = self._store.leases.claim(row, LEASE_SECONDS)
            took = since.seconds
            if claimed is None or took <= SEND_WITHIN:
                return claimed
            if (free := self._store.leases.end(claimed, lost=False)) is None:
                return None
            row = free
        raise _too_slow(row.practice_id, took)

    def _call(self, endpoint: RefreshEndpoint, refresh_token: Secret, claimed: Row) -> TokenSet:
        try:
            return endpoint.refresh(refresh_token.reveal() or "")
        except GrantRefusedError as exc:
            if exc.certain or claimed.state not in ALIVE:
                raise
        # Some servers refuse a refresh token shortly after issuing it; so try a second time.
        self._clock.sleep(DOUBT_SECONDS)
        present = self._store.grants.row(claimed.practice_id, claimed.slot)
        if present is None or present.generation != claimed.generation:
            raise GrantRefusedError("the refresh token is no longer the newest one", certain=True)
        return endpoint.refresh(refresh_token.reveal() or "")

    def _save(self, key: Key, unsaved: _Unsaved) -> Row | None:
        """Store new tokens; retry for a minute, because they exist nowhere else."""
        deadline = self._clock.deadline(_SAVE_SECONDS)
        claimed, tokens, rejected = unsaved
        while True:
            try:
                stored = self._store.leases.settle(claimed, tokens, rejected=rejected)
                break
            except (StoreUnavailableError, StoreLockedError):
                if not deadline.pause(1.0):
                    raise
            except BaseException:  # Ctrl-C: this process may be about to end
                with suppress(ConnectorError):
                    if self._store.leases.settle(claimed, tokens, rejected=rejected):
                        self._unsaved.pop(key, None)
                raise
        self._unsaved.pop(key, None)
        name = claimed.practice_id
        if stored is None:
            log(logging.WARNING, name, "refresh", "newer tokens of %s were stored meanwhile", name)
        else:
            log(logging.INFO, name, "refresh", "the tokens of %s were refreshed", name)
        return stored


def _too_slow(practice_id: str, seconds: float) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"it takes {seconds:.0f} seconds to record that {practice_id} is being refreshed",
        hint="The store's disk or server is too slow, or this process was stopped. Try again.",
        sent=False,
    )
