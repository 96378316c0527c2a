"""Which writes may follow which: tokens only ever become newer, and what was revoked stays revoked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from connector.connection import Connection, ConnectionState, Grant
from connector.errors import StoreError

__all__ = ["FencedError", "admit"]

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class FencedError(StoreError):
    """Another process has stored something newer meanwhile; nothing was changed."""

    def __init__(self, practice_id: str) -> None:
        super().__init__(
            f"{practice_id} was changed by another process meanwhile",
            hint="Look at it again: `ormco status`.",
        )


def admit(
    grant: Grant,
    present: Connection | None,
    *,
    read: int | None,
    stored: int,
    expected_generation: int | None,
) -> Grant:
    """Return what may be stored in place of what is there.

    The writer normally holds the connection's lock, and the row is as it read it. If not, it was held up and
    has lost its lock: then a *new* token set is still let in where nothing newer is stored, whatever others
    have made of the old one meanwhile ("the answer may be lost"); it is the only one the provider knows.

    Args:
        grant: what the writer wants to store.
        present: what is stored, or None.
        read: the mark of what the writer read, or None where it read nothing.
        stored: the mark of what is stored.
        expected_generation: the generation the writer started from; None for a new connection.

    Raises:
        FencedError: if it may not.
    """
    practice_id = grant.connection.practice_id
    if present is None:
        # A row that was read and is gone was forgotten: nothing brings it back.
        if read is not None or expected_generation:
            raise FencedError(practice_id)
        return grant
    if present.token_generation != expected_generation:
        raise FencedError(practice_id)
    if read in (None, stored):
        return grant
    return _late(grant, present)


def _late(grant: Grant, theirs: Connection) -> Grant:
    ours = grant.connection
    is_new = ours.token_generation > theirs.token_generation
    if (
        not is_new
        or theirs.state is ConnectionState.REVOKED
        or (ours.connected_at or _LONG_AGO) != (theirs.connected_at or _LONG_AGO)
    ):
        raise FencedError(ours.practice_id)
    if theirs.state is ConnectionState.REVOKING:
        # The newest pair is the one that has to be revoked; it does not undo the wish to revoke.
        ours = replace(ours, state=theirs.state, since=theirs.since, reason=theirs.reason)
    return replace(grant, connection=replace(ours, lab=theirs.lab))
