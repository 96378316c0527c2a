"""Decide whether a refresh token may be sent now: after a failure, and after a response that may be lost."""

from __future__ import annotations

from collections.abc import Callable

from connector.connection import ConnectionState
from connector.errors import ProviderUnavailableError
from connector.refresh.failures import ALIVE, ANSWER_LOST, Failures, degraded
from connector.refresh.schedule import spare_until
from connector.store.row import LIVE, Row
from connector.store.store import Store

__all__ = ["Attempts"]


class Attempts:
    """Decides by what is recorded of earlier attempts.

    Args:
        store: the store of the rows.
        failures: the faults of this process.
        reuse_seconds: returns the seconds for which the provider accepts a refresh token a second time.
    """

    def __init__(self, store: Store, failures: Failures, reuse_seconds: Callable[[], float]) -> None:
        self._store = store
        self._failures = failures
        self._reuse_seconds = reuse_seconds

    def require_turn(self, row: Row) -> None:
        """Refuse an attempt that nobody has asked for and that has to wait.

        Raises:
            connector.errors.ProviderUnavailableError: the last attempt failed, or its response may be lost.
            connector.errors.ConnectorError: a fault of this process that was found a short while ago.
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
        if (fault := self._failures.of_this_process(row)) is not None:
            raise fault.with_traceback(None)  # or it would hold the frames of every call that got it

    def second_use(self, claimed: Row) -> Row | None:
        """Return the row if its refresh token may be sent a second time at once; None if not."""
        if not self._may_reuse(claimed):
            return None
        present = self._store.grants.row(claimed.practice_id, claimed.slot)
        return present if present is not None and self._may_reuse(present) else None

    def _may_reuse(self, row: Row) -> bool:
        """Return whether the provider accepts the refresh token a second time, and this was not tried yet."""
        since = row.refresh_since
        return row.refresh_sends == 1 and since is not None and row.now - since < self._reuse_seconds()

    def _spare_what_is_valid(self, row: Row) -> None:
        """Keep the old access token until it expires if another attempt could end the grant.

        A response may be lost, so the refresh token may be a used one: a provider that detects reuse ends the
        whole grant when it gets it again.
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
            hint="The present access token is used to its end before the one attempt that is left.",
            retry_after=until - row.now,
            sent=False,
        )
