"""Decide by earlier failures whether to refresh; record new ones, for all processes or for this one only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from connector.clock import Clock
from connector.connection import ConnectionState, needs_repair
from connector.errors import (
    ClientRefusedError,
    ConfigurationError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
)
from connector.refresh.schedule import LONGEST_BACKOFF, backoff, spare_until
from connector.store.columns import FromNow
from connector.store.row import LIVE, Row
from connector.store.store import Store

__all__ = ["ALIVE", "ANSWER_LOST", "Failures", "dead", "degraded", "is_lost", "log"]

ANSWER_LOST = "answer_lost"
RATE_LIMITED = "rate_limited"
ALIVE = (ConnectionState.CONNECTED, ConnectionState.DEGRADED)


def log(level: int, practice_id: str, kind: str, text: str, *args: object) -> None:
    """Log a text about a practice; the record has the practice and the kind as well."""
    facts = {"practice_id": practice_id, "kind": kind}
    logging.getLogger("connector").log(level, text, *args, extra=facts, stacklevel=2)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A fault of this process, or of its network; other processes do not wait because of it."""

    error: ConnectorError
    failures: int
    until: float


class Failures:
    """Records failed refreshes and lost responses, and decides by them whether to try again.

    Args:
        reuse_seconds: returns the seconds for which the provider accepts a refresh token a second time.
    """

    def __init__(self, store: Store, clock: Clock, reuse_seconds: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._reuse_seconds = reuse_seconds
        self._troubles: dict[tuple[str, str], _Trouble] = {}

    def require_turn(self, row: Row) -> None:
        """Refuse an attempt that has to wait and that no person has requested.

        Raises:
            connector.errors.ProviderUnavailableError: the last attempt failed, or its response may be lost.
            connector.errors.ConnectorError: this process had a fault a short time ago.
        """
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
        self.refuse_fault(row)

    def refuse_fault(self, row: Row) -> None:
        """Refuse an attempt while a fault of this process applies."""
        trouble = self._troubles.get((row.practice_id, row.slot))
        if trouble is not None and self._clock.monotonic() < trouble.until:
            raise trouble.error.with_traceback(None)  # otherwise it would collect the frames of every caller

    def second_use(self, claimed: Row) -> Row | None:
        """Return the row if its refresh token may be sent again immediately; None if not."""
        if not self._may_reuse(claimed):
            return None
        present = self._store.grants.row(claimed.practice_id, claimed.slot)
        return present if present is not None and self._may_reuse(present) else None

    def _may_reuse(self, row: Row) -> bool:
        """Return whether the provider accepts the refresh token a second time and got it only once."""
        since = row.refresh_since
        return row.refresh_sends == 1 and since is not None and row.now - since < self._reuse_seconds()

    def _spare_what_is_valid(self, row: Row) -> None:
        """Refuse an attempt that could end the grant while the old access token is valid.

        If a response was lost, the refresh token may be used up: a provider that detects reuse ends the whole
        grant when it receives the token again.
        """
        until = spare_until(row)
        if row.now >= until:
            return
        if row.slot == LIVE and row.reason != ANSWER_LOST and row.state in ALIVE:
            words = "the response to the last refresh may be lost"
            changes = {**degraded(row, ANSWER_LOST, words), "refresh_by": None, "refresh_until": None}
            event = self._store.audit.event(
                "refresh", ANSWER_LOST, row.practice_id, state=ConnectionState.DEGRADED
            )
            self._store.grants.change(row, changes, [event])
        raise ProviderUnavailableError(
            f"the response to the last refresh of {row.practice_id} may be lost",
            hint="The access token is used until it expires; then one more attempt is made.",
            retry_after=until - row.now,
            sent=False,
        )

    def forget(self, row: Row) -> None:
        """Forget the fault of this process, because the provider has answered."""
        self._troubles.pop((row.practice_id, row.slot), None)

    def refused(self, claimed: Row, exc: GrantRefusedError, *, was_lost: bool) -> Row:
        """Mark a grant dead; if another process has stored newer tokens, return those instead.

        Raises:
            connector.errors.NeedsRepairError: the connection's grant is dead.
            connector.errors.GrantRefusedError: the refused grant is not in use.
        """
        present = self._store.grants.row(claimed.practice_id, claimed.slot)
        if present is not None and present.generation != claimed.generation:
            return self._after_reuse(present)  # another process has stored newer tokens
        self.forget(claimed)
        if claimed.slot != LIVE or claimed.state not in ALIVE:
            self._store.leases.end(claimed, lost=False)
            raise exc
        reason, practice_id = ANSWER_LOST if was_lost else "grant_refused", claimed.practice_id
        event = self._store.audit.event("refresh", reason, practice_id, state=ConnectionState.NEEDS_REPAIR)
        self._store.leases.end(claimed, dead(reason, exc.message), lost=False, events=[event])
        log(logging.ERROR, practice_id, "needs_repair", "%s needs repair: %s", practice_id, exc.message)
        raise needs_repair(practice_id, reason) from None

    def _after_reuse(self, present: Row) -> Row:
        """Record in a row with newer tokens that an old refresh token was sent again.

        The process that stored them had been suspended or killed, and this one took over.
        A provider that detects reuse may have ended the grant; its next refusal has the reason `answer_lost`.
        """
        if present.refresh_sends or present.is_leased:
            return present
        note = {"refresh_sends": 1, "refresh_since": FromNow()}
        return self._store.grants.change(present, note) or present

    def postpone(
        self, claimed: Row, exc: ProviderUnavailableError | ConfigurationError, *, was_lost: bool
    ) -> None:
        """Record a temporary failure: for all processes if the provider failed, otherwise for this one."""
        is_sent = isinstance(exc, ProviderUnavailableError) and exc.sent
        if not is_sent:
            self.note(claimed, exc)
        if isinstance(exc, ConfigurationError):
            self._store.leases.end(claimed, lost=isinstance(exc, ClientRefusedError) and exc.granted)
            return
        practice_id = claimed.practice_id
        log(logging.WARNING, practice_id, exc.kind, "the refresh of %s failed: %s", practice_id, exc.message)
        wait = exc.retry_after
        is_lost_now = is_lost(exc) or was_lost
        reason = RATE_LIMITED if wait is not None else ANSWER_LOST if is_lost_now else exc.kind
        changes = degraded(claimed, reason, exc.message)
        if is_sent:
            pause = max(min(wait or 0.0, LONGEST_BACKOFF), backoff(claimed.failures))
            if claimed.slot != LIVE and not claimed.failures:
                pause = wait or 0.0  # there is no token to hand out meanwhile
            changes |= {"failures": claimed.failures + 1, "retry_at": FromNow(pause)}
        events, state = [], ConnectionState.DEGRADED
        if claimed.slot != LIVE or claimed.state not in ALIVE:
            changes = {name: changes[name] for name in changes if name in ("failures", "retry_at")}
        elif (claimed.state, claimed.reason) != (state, reason):  # one event for an outage
            events = [self._store.audit.event("refresh", exc.kind, practice_id, state=state)]
        self._store.leases.end(claimed, changes, lost=is_lost(exc), events=events)

    def note(self, row: Row, exc: ConnectorError) -> None:
        """Record a fault of this process, or of its network: only this process waits."""
        key = (row.practice_id, row.slot)
        before = self._troubles.get(key)
        failures = 0 if before is None else before.failures + 1
        until = self._clock.monotonic() + backoff(failures)
        self._troubles[key] = _Trouble(exc, failures, until)


def is_lost(exc: ConnectorError) -> bool:
    """Return whether the provider may have issued new tokens although the call failed."""
    return isinstance(exc, ProviderUnavailableError) and exc.sent and not exc.answered


def degraded(row: Row, reason: str, message: str) -> dict[str, object]:
    """Return the changes that mark a grant as degraded."""
    state = ConnectionState.DEGRADED.value
    changes: dict[str, object] = {"state": state, "reason": reason, "last_error": message}
    return changes if row.state == state else {**changes, "since": FromNow()}


def dead(reason: str, message: str) -> dict[str, object]:
    """Return the changes that mark a grant as dead; its tokens stay until there are new ones."""
    return {
        "state": ConnectionState.NEEDS_REPAIR.value,
        "since": FromNow(),
        "reason": reason,
        "last_error": message,
        "retry_at": None,
        "due_at": None,
    }
