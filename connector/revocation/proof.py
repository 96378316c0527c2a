"""Prove that a grant is dead: its refresh must fail. Tokens of a refresh that succeeds are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.clock import from_timestamp
from connector.communicate.users import TokenVerdict, probe_token
from connector.errors import GrantRefusedError, ProviderUnavailableError
from connector.refresh.failures import ANSWER_LOST
from connector.refresh.schedule import RefreshWait
from connector.resources import Resources
from connector.store.row import Row, Rows

__all__ = ["Finding", "Proof", "access_token_end", "prove"]


class Finding(StrEnum):
    """The result of a proof for a grant."""

    DEAD = "dead"  # refused for certain
    REFUSED = "refused"  # refused in a way that can also have another cause
    ALIVE = "alive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The rows after a proof, and its result.

    Attributes:
        rows: the practice's rows as they are stored now.
        finding: the worst result of its refresh tokens.
        conclusive: False if the response to an earlier refresh was lost: then the refresh token may be
            refused only because a newer one replaced it.
    """

    rows: Rows
    finding: Finding
    conclusive: bool

    @property
    def is_renewable(self) -> bool:
        """Whether there was a refresh token to try."""
        return any(row.renewable for row in self.rows.all)


def prove(resources: Resources, practice_id: str, *slots: str) -> Proof:
    """Try to refresh each grant of a practice; store the tokens of a refresh that succeeds.

    Args:
        resources: settings, provider, token endpoint, store and clock.
        practice_id: the practice.
        slots: the rows to try; all if none is named.

    Raises:
        connector.errors.ProviderUnavailableError: no response, so nothing is proved.
        connector.errors.ClientRefusedError: the client is not accepted, so nothing is proved.
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
    """Return when the last access token that is still accepted expires, or None if none is.

    A token counts as accepted if that cannot be found out.
    """
    ends = [row.valid_until for row in rows.all if _is_accepted(resources, row)]
    return from_timestamp(max(ends)) if ends else None


def _try(resources: Resources, row: Row) -> tuple[Finding, bool]:
    """Refresh a row; return the result, and whether an earlier response may have been lost."""
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
        if later.generation != row.generation and later.state != row.state:  # it was connected again
            return Finding.ALIVE, was_lost
        # A refresh by another process meanwhile may have been answered before the grant was removed.
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
