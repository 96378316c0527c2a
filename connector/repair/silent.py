"""Diagnose a connection by using it, and repair it if that needs no person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connector.communicate.users import TokenVerdict, probe_token
from connector.connection import Connection, ConnectionState, refuse_while_revoking
from connector.consent.account import drop_unverified, verify_account
from connector.consent.confirmation import end_overdue
from connector.errors import GrantRefusedError, NeedsRepairError, ProviderUnavailableError
from connector.refresh import AccessTokens
from connector.refresh.failures import dead
from connector.resources import Resources
from connector.revocation.proof import Finding, prove
from connector.store.row import UNVERIFIED, Row
from connector.words import why

__all__ = [
    "SilentRepair",
    "Step",
    "is_unverified_refused",
    "repair_silently",
    "require_users_api",
    "settle_account",
]


class Step(StrEnum):
    """The step that a connection needed, from the smallest to the largest."""

    NONE = "none"
    REFRESH = "refresh"
    ACCOUNT = "account"
    CONSENT = "consent"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentRepair:
    """The problem that was found, and the step that repaired it, or that needs a person.

    Attributes:
        found: the problem as a clause without a full stop.
        step: the step; it is done already, unless it is `Step.CONSENT`.
    """

    found: str
    step: Step


def repair_silently(resources: Resources, tokens: AccessTokens, practice_id: str) -> SilentRepair:
    """Use a connection as its users do; refresh it or read its account if it needs no more.

    Raises:
        connector.errors.RevokedError: it is being revoked.
        connector.errors.AccountMismatchError: its newest tokens belong to another account.
        connector.errors.AccountUnconfirmedError: a person has to confirm their account.
        connector.errors.ProviderUnavailableError: no diagnosis is possible now.
        connector.errors.ClientRefusedError: the settings are wrong, not the connection.
    """
    end_overdue(resources, practice_id)
    rows = resources.store.grants.rows(practice_id)
    if rows.main is None:
        return SilentRepair(found="there was no connection yet", step=Step.CONSENT)
    connection = rows.main.connection
    refuse_while_revoking(connection)
    if rows.unverified is not None and rows.unverified.state == ConnectionState.DEGRADED:
        if settle_account(resources, practice_id):
            return SilentRepair(
                found="the account behind the newest tokens had not been read", step=Step.ACCOUNT
            )
        return repair_silently(resources, tokens, practice_id)
    if connection.state is ConnectionState.REVOKED:
        return SilentRepair(found="the connection was revoked", step=Step.CONSENT)
    if connection.state is ConnectionState.NEEDS_REPAIR:
        return _second_chance(resources, tokens, connection)
    return _use(resources, tokens, connection)


def settle_account(resources: Resources, practice_id: str) -> bool:
    """Read the account behind unverified tokens; if they are dead, drop them and return False.

    Raises:
        connector.errors.AccountMismatchError: the account is not acceptable.
        connector.errors.ProviderUnavailableError: it cannot be read now; the tokens are kept.
    """
    try:
        verify_account(resources, practice_id)
    except GrantRefusedError as exc:
        _drop(resources, practice_id, exc)
        return False
    except ProviderUnavailableError:
        if not is_unverified_refused(resources, practice_id):
            raise
        if prove(resources, practice_id, UNVERIFIED).finding is Finding.ALIVE:
            verify_account(resources, practice_id)
            return True
        _drop(resources, practice_id, GrantRefusedError("the granted tokens ended", certain=True))
        return False
    return True


def require_users_api(resources: Resources, row: Row) -> None:
    """Refuse to ask a person for consent while the account behind it could not be read.

    A 500 is accepted: 3Shape's hosts return it for an expired token, and the tokens here have expired.

    Raises:
        connector.errors.ProviderUnavailableError: the users API gives no usable response.
    """
    _verdict(resources, resources.store.grants.access_token(row) or "ended")


def is_unverified_refused(resources: Resources, practice_id: str) -> bool:
    """Return whether the newest tokens, whose account is not known yet, are refused by the API."""
    row = resources.store.grants.rows(practice_id).unverified
    if row is None or row.access_sealed is None:
        return False
    return _verdict(resources, resources.store.grants.access_token(row) or "") is TokenVerdict.REFUSED


def _drop(resources: Resources, practice_id: str, refusal: GrantRefusedError) -> None:
    """Forget dead tokens; if there are no others, the connection needs repair."""
    rows = resources.store.grants.rows(practice_id)
    if rows.unverified is None:
        return
    if rows.live is not None:
        drop_unverified(resources, rows.unverified, refusal)
        return
    state = ConnectionState.NEEDS_REPAIR
    event = resources.store.audit.event("refresh", "grant_refused", practice_id, state=state)
    words = "the granted tokens ended before their account could be read"
    resources.store.grants.change(rows.unverified, dead("grant_refused", words), [event])


def _use(resources: Resources, tokens: AccessTokens, before: Connection) -> SilentRepair:
    """Get an access token, and try it at the provider's API."""
    try:
        found = _work(resources, tokens, before.practice_id)
    except NeedsRepairError:
        return _why_dead(resources.store.connection(before.practice_id) or before)
    after = resources.store.connection(before.practice_id) or before
    if found == _STILL_REFUSED:
        return SilentRepair(found=found, step=Step.CONSENT)
    if after.token_generation == before.token_generation:
        return SilentRepair(found=found or "nothing is wrong", step=Step.NONE)
    return SilentRepair(found=found or before.last_error or "the access token had expired", step=Step.REFRESH)


def _work(resources: Resources, tokens: AccessTokens, practice_id: str) -> str:
    """Get a working access token; return the problem that was found, or ""."""
    state = resources.store.existing(practice_id).state
    if state is ConnectionState.DEGRADED:
        tokens.refresh(practice_id, force=True)
    else:
        tokens.access_token(practice_id)
    if _present_verdict(resources, practice_id) in _GOOD:
        return ""
    # Also after a doubtful response: some of 3Shape's hosts return 500 for an expired token.
    tokens.refresh(practice_id, force=True)
    verdict = _present_verdict(resources, practice_id)
    if verdict is TokenVerdict.DOUBTFUL:
        raise ProviderUnavailableError(
            "the provider's API fails, with a new access token too; the connection itself was refreshed",
            hint="No new consent is needed. Repair it again in a few minutes.",
            practice_id=practice_id,
        )
    return "the access token was no longer accepted" if verdict in _GOOD else _STILL_REFUSED


_GOOD = (TokenVerdict.ACCEPTED, TokenVerdict.UNASKED)
_STILL_REFUSED = "not even a new access token is accepted"


def _present_verdict(resources: Resources, practice_id: str) -> TokenVerdict:
    """Return the verdict of the provider's API on the current access token."""
    row = resources.store.grants.row(practice_id)
    return _verdict(resources, "" if row is None else resources.store.grants.access_token(row) or "")


def _verdict(resources: Resources, access_token: str) -> TokenVerdict:
    return probe_token(resources.provider, access_token, clock=resources.clock)


def _second_chance(resources: Resources, tokens: AccessTokens, connection: Connection) -> SilentRepair:
    """Try a grant marked dead once more: the refusal may have been an outage."""
    proof = prove(resources, connection.practice_id)
    if proof.finding is not Finding.ALIVE:
        return _why_dead(connection)
    found = "the provider accepts the refresh token again, which it had refused"
    return SilentRepair(found=found, step=Step.REFRESH)


def _why_dead(connection: Connection) -> SilentRepair:
    return SilentRepair(found=why(connection) or "the grant is dead", step=Step.CONSENT)
