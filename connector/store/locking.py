"""The locks under which connections change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from connector.clock import Deadline
from connector.connection import Grant
from connector.errors import StoreLockedError
from connector.store.owner import is_gone, this_process
from connector.store.vault import Vault

__all__ = ["LockRecords", "next_look"]

# Longer than any call of the token endpoint takes, its time-outs and one retry included.
_LONGEST_CALL = 90.0


class LockRecords(Vault):
    """The part of the store that lets one process at a time work on a practice."""

    def try_lock(self, practice_id: str) -> bool:
        """Take a practice's lock if no thread of any process has it; it ends with its owner."""
        return self._db.try_lock(practice_id)

    def unlock(self, practice_id: str) -> None:
        """Give a practice's lock back."""
        self._db.unlock(practice_id)

    @contextmanager
    def lock(self, practice_id: str, *, deadline: Deadline) -> Iterator[None]:
        """Hold a practice's lock; who waits for it keeps nothing of the database and hardly ever looks.

        Raises:
            connector.errors.StoreLockedError: if another still has it at the deadline.
        """
        started = self.clock.monotonic()
        while not self.try_lock(practice_id):
            if not deadline.pause(next_look(self.clock.monotonic() - started)):
                raise self.locked_error(practice_id)
        try:
            yield
        finally:
            self.unlock(practice_id)

    def may_be_under_way(self, grant: Grant) -> bool:
        """Return whether the refresh that a grant records may still be under way, its owner alive.

        To be asked with the lock held. A lock can be free because its owner lost it; the refresh token
        must not be sent by two at once even then.
        """
        owner, sent_at = grant.refresh_owner, grant.refresh_sent_at
        if owner is None or sent_at is None or self._db.locks_prove_death or owner == this_process():
            return False
        return abs(self.clock.time() - sent_at.timestamp()) < _LONGEST_CALL and not is_gone(owner)

    def locked_error(self, practice_id: str) -> StoreLockedError:
        """Return the error for a lock that another process keeps."""
        holder = self._db.holder(practice_id)
        return StoreLockedError(
            f"{practice_id} is being worked on by {holder or 'another process'}, which does not finish",
            hint="Wait for it to end, or end it if it hangs; its lock ends with it.",
        )


def next_look(waited: float) -> float:
    """Return how long to wait before looking again: a little longer each time, never in step with others."""
    return min(0.02 + waited * 0.1, 0.25) * (0.75 + random.random() / 2)  # noqa: S311 - no secret
