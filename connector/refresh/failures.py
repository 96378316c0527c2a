"""Record a failed refresh: in the row for every process, or in this process only."""

from __future__ import annotations

import logging
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
from connector.refresh.schedule import LONGEST_BACKOFF, backoff
from connector.store.columns import FromNow
from connector.store.row import LIVE, Row
from connector.store.store import Store

__all__ = ["ALIVE", "ANSWER_LOST", "Failures", "dead", "degraded", "is_lost", "log_facts"]

ANSWER_LOST = "answer_lost"
RATE_LIMITED = "rate_limited"
ALIVE = (ConnectionState.CONNECTED, ConnectionState.DEGRADED)

_LOG = logging.getLogger("connector")


def log_facts(practice_id: str, kind: str = "refresh") -> dict[str, str]:
    """Return what each log record of a refresh says besides its text."""
    return {"practice_id": practice_id, "kind": kind}


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A fault of this process, or of its way to the provider; other processes are not held back by it."""

    error: ConnectorError
    failures: int
    until: float


class Failures:
    """Records why rows were not refreshed.

    Args:
        store: the store of the rows.
        clock: the time of this process.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._troubles: dict[tuple[str, str], _Trouble] = {}

    def of_this_process(self, row: Row) -> ConnectorError | None:
        """Return the fault of this process that still applies, or None."""
        trouble = self._troubles.get((row.practice_id, row.slot))
        return trouble.error if trouble is not None and self._clock.monotonic() < trouble.until else None

    def forget(self, row: Row) -> None:
        """Forget the fault of this process: the provider has answered."""
        self._troubles.pop((row.practice_id, row.slot), None)

    def refused(self, claimed: Row, exc: GrantRefusedError, *, was_lost: bool) -> Row:
        """Mark a grant dead; if another process has stored newer tokens, return those instead.

        Raises:
            connector.errors.NeedsRepairError: the connection's grant is dead.
            connector.errors.GrantRefusedError: the refused grant was not in use.
        """
        present = self._store.grants.row(claimed.practice_id, claimed.slot)
        if present is not None and present.generation != claimed.generation:
            return self._after_reuse(present)  # another process has stored newer tokens
        self.forget(claimed)
        if claimed.slot != LIVE or claimed.state not in ALIVE:
            self._store.grants.end_lease(claimed, lost=False)
            raise exc
        reason = ANSWER_LOST if was_lost else "grant_refused"
        event = self._store.audit.event(
            "refresh", reason, claimed.practice_id, state=ConnectionState.NEEDS_REPAIR
        )
        self._store.grants.end_lease(claimed, dead(reason, exc.message), lost=False, events=[event])
        _LOG.error(
            "%s needs repair: %s",
            claimed.practice_id,
            exc.message,
            extra=log_facts(claimed.practice_id, "needs_repair"),
        )
        raise needs_repair(claimed.practice_id, reason) from None

    def _after_reuse(self, present: Row) -> Row:
        """Note in a row with newer tokens that an old refresh token was sent again.

        The process that stored them was killed during its last write, or slept. A provider that detects reuse
        may have ended the grant; the process that finds it dead then gets the reason `answer_lost`.
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
            self._store.grants.end_lease(claimed, lost=isinstance(exc, ClientRefusedError) and exc.granted)
            return
        _LOG.warning(
            "the refresh of %s failed: %s",
            claimed.practice_id,
            exc.message,
            extra=log_facts(claimed.practice_id, exc.kind),
        )
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
            events = [self._store.audit.event("refresh", exc.kind, claimed.practice_id, state=state)]
        self._store.grants.end_lease(claimed, changes, lost=is_lost(exc), events=events)

    def note(self, row: Row, exc: ConnectorError) -> None:
        """Note a fault of this process, or of its way to the provider: only this process waits."""
        key = (row.practice_id, row.slot)
        before = self._troubles.get(key)
        failures = 0 if before is None else before.failures + 1
        until = self._clock.monotonic() + backoff(failures)
        self._troubles[key] = _Trouble(exc, failures, until)


def is_lost(exc: ConnectorError) -> bool:
    """Return whether a call failed so that the provider may have issued new tokens nevertheless."""
    return isinstance(exc, ProviderUnavailableError) and exc.sent and not exc.answered


def degraded(row: Row, reason: str, message: str) -> dict[str, object]:
    """Return the changes that mark a grant as failing for now."""
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
