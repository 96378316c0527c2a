"""Is a grant dead? The one proof is a refresh that fails; one that succeeds is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.clock import from_timestamp
from connector.communicate.probe import TokenVerdict, probe_token
from connector.errors import GrantRefusedError, ProviderUnavailableError
from connector.refresh.failures import ANSWER_LOST
from connector.refresh.schedule import RefreshWait
from connector.resources import Resources
from connector.store.row import Row, Rows

__all__ = ["Finding", "Proof", "access_token_end", "prove"]


class Finding(StrEnum):
    """What a proof has shown of a grant."""

    DEAD = "dead"  # refused for certain
    REFUSED = "refused"  # not taken, in a way that can also have another cause
    ALIVE = "alive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is stored after a proof, and what it has shown.

    Attributes:
        rows: as they are stored now.
        finding: the worst of what its refresh tokens gave.
        conclusive: False if the answer to an earlier refresh was lost: then the refresh token may be refused
            only because a newer one took its place.
    """

    rows: Rows
    finding: Finding
    conclusive: bool

    @property
    def is_renewable(self) -> bool:
        """Whether there was a refresh token to try."""
        return any(row.renewable for row in self.rows.all)


def prove(resources: Resources, practice_id: str, *slots: str) -> Proof:
    """Try to refresh with everything a practice's grants hold; store what that brings.

    Args:
        resources: settings, provider, token endpoint, store and clock.
        practice_id: the practice.
        slots: which of its rows; all if none is named.

    Raises:
        connector.errors.ProviderUnavailableError: no answer; nothing is shown.
        connector.errors.ClientRefusedError: the client is not accepted; nothing is shown.
    """
    conclusive, finding = True, Finding.DEAD
    for row in resources.store.grants.rows(practice_id).all:
        if not row.renewable or row.refresh_sealed is None or (slots and row.slot not in slots):
            continue
        found, was_lost = _try(resources, row)
        if found is Finding.ALIVE:
            finding = Finding.ALIVE
        elif found is Finding.REFUSED and finding is Finding.DEAD:
            finding = Finding.REFUSED
        conclusive = conclusive and (found is Finding.ALIVE or not was_lost)
    return Proof(rows=resources.store.grants.rows(practice_id), finding=finding, conclusive=conclusive)


def access_token_end(resources: Resources, rows: Rows) -> datetime | None:
    """Return when the last access token that is still accepted ends, or None if none is.

    One that nobody can tell of counts as accepted.
    """
    ends = [row.valid_until for row in rows.all if _is_accepted(resources, row)]
    return from_timestamp(max(ends)) if ends else None


def _try(resources: Resources, row: Row) -> tuple[Finding, bool]:
    """Refresh a row; return what that shows, and whether an earlier answer may have been lost when it did."""
    wait, present = RefreshWait(resources.clock, row.practice_id), row
    while True:
        was_lost = present.answer_may_be_lost or present.reason == ANSWER_LOST
        try:
            if resources.rotator.rotate(present, force=True) is not None:
                return Finding.ALIVE, was_lost
        except GrantRefusedError as exc:
            return Finding.DEAD if exc.certain else Finding.REFUSED, was_lost
        wait.pause()
        later = resources.store.grants.row(row.practice_id, row.slot)
        if later is None:
            return Finding.DEAD, was_lost
        if later.generation != row.generation and later.state != row.state:  # it was connected anew
            return Finding.ALIVE, was_lost
        # What another process has refreshed meanwhile may have been answered before the grant was removed.
        present = later


def _is_accepted(resources: Resources, row: Row) -> bool:
    if row.access_sealed is None or row.valid_until <= row.now:
        return False
    token = resources.store.grants.access_token(row) or ""
    try:
        verdict = probe_token(resources.provider, token, clock=resources.clock)
    except ProviderUnavailableError:
        return True
    return verdict in (TokenVerdict.ACCEPTED, TokenVerdict.UNASKED)
