"""Claim, call, settle: the only place that sends a refresh token.

Whoever wants new tokens comes here: a refresh, the account check of a new grant, the proof after revoking.
Whenever this process dies, the row has the old tokens, the new ones, or a lease that ended without a settle.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from connector.clock import Clock
from connector.connection import ConnectionState, Event, needs_repair
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
from connector.refresh.schedule import (
    DOUBT_SECONDS,
    LEASE_SECONDS,
    LONGEST_BACKOFF,
    SEND_WITHIN,
    backoff,
    spare_until,
)
from connector.store.grants import FromNow
from connector.store.row import LIVE, Row
from connector.store.store import Store

__all__ = ["ANSWER_LOST", "RefreshEndpoint", "Rotator"]

ANSWER_LOST = "answer_lost"
RATE_LIMITED = "rate_limited"

_LOG = logging.getLogger("connector")
_SAVE_SECONDS = 60.0
_ALIVE = (ConnectionState.CONNECTED, ConnectionState.DEGRADED)

Key = tuple[str, str]


class RefreshEndpoint(Protocol):
    """What a refresh needs of a token endpoint."""

    def refresh(self, refresh_token: str) -> TokenSet:
        """Get a new token set; sends the refresh token at most once."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is wrong in this process, or on its way to the provider; no other process is held back by it."""

    error: ConnectorError
    failures: int
    until: float


class Rotator:
    """Gets new tokens for rows.

    Args:
        store: where the rows are.
        endpoint: gives the token endpoint of a provider, by its name.
        clock: the time of this process.
        reuse_seconds: for how long the provider takes a refresh token a second time.
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
        self._reuse_seconds = reuse_seconds
        self._unsaved: dict[Key, tuple[Row, TokenSet, bool]] = {}
        self._troubles: dict[Key, _Trouble] = {}

    def rotate(self, row: Row, *, force: bool = False, rejected: bool = False) -> Row | None:
        """Get new tokens in place of a row's; at most one call, whoever else asks.

        Args:
            row: as it was read.
            force: a person asks: do not wait for a backoff, nor use an old token to its end first.
            rejected: an API has rejected the access token.

        Returns:
            The row with its new tokens; None if another process has changed it, or is refreshing it: look
            again.

        Raises:
            connector.errors.NeedsRepairError: the grant is dead.
            connector.errors.GrantRefusedError: likewise, of a grant that was not to be used any more.
            connector.errors.ProviderUnavailableError: not now.
            connector.errors.ConfigurationError: the settings are wrong.
        """
        key = (row.practice_id, row.slot)
        if key in self._unsaved:
            return self._save(key)
        if row.is_leased:
            return None
        self._require_turn(row, force=force)
        refresh_token = Secret(self._refresh_token(row))
        endpoint = self._endpoint_of(row)  # what is wrong with the settings is found before the claim
        claimed_at = self._clock.monotonic(), self._clock.time()
        claimed = self._store.grants.claim(row, LEASE_SECONDS)
        if claimed is None:
            return None
        try:
            self._require_awake(claimed, *claimed_at)
            tokens = self._call(endpoint, refresh_token, claimed)
        except GrantRefusedError as exc:
            return self._refused(claimed, exc, was_lost=row.answer_may_be_lost)
        except (ProviderUnavailableError, ConfigurationError) as exc:
            self._postpone(claimed, exc, was_lost=row.answer_may_be_lost)
            raise
        except BaseException:
            self._store.grants.end_lease(claimed, lost=True)  # nobody needs to wait for this process
            raise
        self._troubles.pop(key, None)
        self._unsaved[key] = claimed, tokens, rejected
        return self._save(key)

    def _require_turn(self, row: Row, *, force: bool) -> None:
        if force:
            return
        is_second_use = row.answer_may_be_lost and self._may_reuse(row)
        if row.answer_may_be_lost and not is_second_use:
            self._spare_what_is_valid(row)
        if row.retry_in and not is_second_use:
            raise ProviderUnavailableError(
                row.last_error or f"the last refresh of {row.practice_id} failed",
                hint=f"The next attempt is made in {row.retry_in:.0f} seconds.",
                retry_after=row.retry_in,
                sent=False,
            )
        trouble = self._troubles.get((row.practice_id, row.slot))
        if trouble is not None and self._clock.monotonic() < trouble.until:
            raise trouble.error

    def _may_reuse(self, row: Row) -> bool:
        """Return whether the provider takes the refresh token a second time, and it was not tried yet."""
        since = row.refresh_since
        return row.refresh_sends == 1 and since is not None and row.now - since < self._reuse_seconds()

    def _spare_what_is_valid(self, row: Row) -> None:
        """Use the old access token to its end if another attempt could end it.

        An answer may be lost, so the refresh token may be a used one: a provider that detects reuse ends the
        whole grant when it sees it again.
        """
        until = spare_until(row)
        if row.now >= until:
            return
        if row.slot == LIVE and row.reason != ANSWER_LOST and row.state in _ALIVE:
            words = "the answer to the last refresh may be lost"
            changes = {**_degraded(row, ANSWER_LOST, words), "refresh_by": None, "refresh_until": None}
            self._store.grants.change(row, changes, [self._event(row, ANSWER_LOST)])
        raise ProviderUnavailableError(
            f"the answer to the last refresh of {row.practice_id} may be lost",
            hint="The present access token is used to its end before the one attempt that is left.",
            retry_after=until - row.now,
            sent=False,
        )

    def _refresh_token(self, row: Row) -> str:
        token = self._store.grants.refresh_token(row)
        if token is not None:
            return token
        practice_id = row.practice_id
        if row.lasts():
            raise ProviderUnavailableError(
                f"{practice_id} has no refresh token, and its access token is near its end",
                hint="Repair the connection: the practice has to give access again.",
                practice_id=practice_id,
                sent=False,
            )
        words = "the access token ended, and there is no refresh token"
        if row.state not in _ALIVE or row.slot != LIVE:
            raise GrantRefusedError(f"{practice_id}: {words}", certain=True)
        self._store.grants.change(
            row,
            _dead("not_renewable", words),
            [self._event(row, "not_renewable", ConnectionState.NEEDS_REPAIR)],
        )
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
            self._note_trouble(row, exc)
            raise

    def _require_awake(self, claimed: Row, steady: float, wall: float) -> None:
        """Do not send if this process slept since its claim: by now another may have taken over."""
        slept = max(self._clock.monotonic() - steady, self._clock.time() - wall)
        if slept > SEND_WITHIN:
            raise ProviderUnavailableError(
                f"this process was stopped for {slept:.0f} seconds", hint="Try again.", sent=False
            )

    def _call(self, endpoint: RefreshEndpoint, refresh_token: Secret, claimed: Row) -> TokenSet:
        try:
            return endpoint.refresh(refresh_token.reveal() or "")
        except GrantRefusedError as exc:
            if exc.certain or claimed.state not in _ALIVE:
                raise
        # Some servers answer like this for a moment after issuing; others mean it.
        self._clock.sleep(DOUBT_SECONDS)
        present = self._store.grants.row(claimed.practice_id, claimed.slot)
        if present is None or present.generation != claimed.generation:
            raise GrantRefusedError("the refresh token is not the newest any more", certain=True)
        return endpoint.refresh(refresh_token.reveal() or "")

    def _refused(self, claimed: Row, exc: GrantRefusedError, *, was_lost: bool) -> Row:
        present = self._store.grants.row(claimed.practice_id, claimed.slot)
        if present is not None and present.generation != claimed.generation:
            return self._after_reuse(present)  # another process has stored newer tokens
        self._troubles.pop((claimed.practice_id, claimed.slot), None)
        if claimed.slot != LIVE or claimed.state not in _ALIVE:
            self._store.grants.end_lease(claimed, lost=False)
            raise exc
        reason = ANSWER_LOST if was_lost else "grant_refused"
        event = self._event(claimed, reason, ConnectionState.NEEDS_REPAIR)
        self._store.grants.end_lease(claimed, _dead(reason, exc.message), lost=False, events=[event])
        _LOG.error(
            "%s needs repair: %s", claimed.practice_id, exc.message, extra=_facts(claimed, "needs_repair")
        )
        raise needs_repair(claimed.practice_id, reason) from None

    def _after_reuse(self, present: Row) -> Row:
        """Note that an old refresh token was sent again, beside the newer tokens of a row.

        The process that stored them was killed while its last write was on the way, or slept. A provider that
        detects reuse has ended the grant for it; whoever finds it dead is then told of a lost answer.
        """
        if present.refresh_sends or present.is_leased:
            return present
        note = {"refresh_sends": 1, "refresh_since": FromNow()}
        return self._store.grants.change(present, note) or present

    def _postpone(
        self, claimed: Row, exc: ProviderUnavailableError | ConfigurationError, *, was_lost: bool
    ) -> None:
        """Record a failure that may pass: for all, if the provider has failed; otherwise for this process."""
        is_sent = isinstance(exc, ProviderUnavailableError) and exc.sent
        is_lost = isinstance(exc, ProviderUnavailableError) and exc.sent and not exc.answered
        if not is_sent:
            self._note_trouble(claimed, exc)
        if isinstance(exc, ConfigurationError):
            self._store.grants.end_lease(claimed, lost=False)
            return
        _LOG.warning(
            "the refresh of %s failed: %s", claimed.practice_id, exc.message, extra=_facts(claimed, exc.kind)
        )
        wait = exc.retry_after
        is_lost_now = is_lost or was_lost
        reason = RATE_LIMITED if wait is not None else ANSWER_LOST if is_lost_now else exc.kind
        changes = _degraded(claimed, reason, exc.message)
        if is_sent:
            pause = max(min(wait or 0.0, LONGEST_BACKOFF), backoff(claimed.failures))
            if claimed.slot != LIVE and not claimed.failures:
                pause = wait or 0.0  # there is nothing to hand out meanwhile
            changes |= {"failures": claimed.failures + 1, "retry_at": FromNow(pause)}
        # One event for an outage, not one for each attempt.
        is_news = (claimed.state, claimed.reason) != (changes.get("state"), reason)
        events = [self._event(claimed, exc.kind, ConnectionState.DEGRADED)] if is_news else []
        if claimed.slot != LIVE or claimed.state not in _ALIVE:
            changes, events = (
                {name: changes[name] for name in changes if name in ("failures", "retry_at")},
                [],
            )
        self._store.grants.end_lease(claimed, changes, lost=is_lost, events=events)

    def _note_trouble(self, row: Row, exc: ConnectorError) -> None:
        key = (row.practice_id, row.slot)
        before = self._troubles.get(key)
        failures = 0 if before is None else before.failures + 1
        until = self._clock.monotonic() + backoff(failures)
        self._troubles[key] = _Trouble(exc, failures, until)

    def _save(self, key: Key) -> Row | None:
        """Store new tokens, for as long as it takes: nobody else has them."""
        deadline = self._clock.deadline(_SAVE_SECONDS)
        claimed, tokens, rejected = self._unsaved[key]
        while True:
            try:
                stored = self._store.grants.settle(claimed, tokens, rejected=rejected)
                break
            except (StoreUnavailableError, StoreLockedError):
                if not deadline.pause(1.0):
                    raise
            except BaseException:  # Ctrl-C: this process may be about to end
                with suppress(ConnectorError):
                    if self._store.grants.settle(claimed, tokens, rejected=rejected):
                        self._unsaved.pop(key, None)
                raise
        self._unsaved.pop(key, None)
        if stored is None:
            _LOG.warning(
                "newer tokens of %s were stored meanwhile", claimed.practice_id, extra=_facts(claimed)
            )
        else:
            _LOG.info("the tokens of %s were refreshed", claimed.practice_id, extra=_facts(claimed))
        return stored

    def _event(self, row: Row, outcome: str, state: ConnectionState = ConnectionState.DEGRADED) -> Event:
        return Event(
            at=self._clock.utc_now(),
            kind="refresh",
            outcome=outcome,
            practice_id=row.practice_id,
            state=state,
        )


def _degraded(row: Row, reason: str, message: str) -> dict[str, object]:
    state = ConnectionState.DEGRADED.value
    changes: dict[str, object] = {"state": state, "reason": reason, "last_error": message}
    return changes if row.state == state else {**changes, "since": FromNow()}


def _dead(reason: str, message: str) -> dict[str, object]:
    """Return what marks a grant as dead; its tokens stay until there are new ones."""
    return {
        "state": ConnectionState.NEEDS_REPAIR.value,
        "since": FromNow(),
        "reason": reason,
        "last_error": message,
        "retry_at": None,
        "due_at": None,
    }


def _facts(row: Row, kind: str = "refresh") -> dict[str, str]:
    return {"practice_id": row.practice_id, "kind": kind}
