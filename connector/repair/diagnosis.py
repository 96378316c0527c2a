"""What is wrong with a connection, found out by using it; what needs no person is mended on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from connector.communicate.users import TokenVerdict, probe_token
from connector.connection import Connection, ConnectionState, Event, Grant
from connector.consent import LOCK_TIMEOUT
from connector.consent.account_proof import prove
from connector.consent.confirmation import end_overdue
from connector.errors import GrantRefusedError, NeedsRepairError, ProviderUnavailableError
from connector.refresh import Refresher
from connector.refresh.verdict import dead, require_alive
from connector.resources import Resources
from connector.revocation.grant_proof import Finding, examine

__all__ = ["Diagnosis", "Step", "diagnose", "prove_account", "unproven_refused"]


_SETTLED = {ConnectionState.REVOKED, ConnectionState.NEEDS_REPAIR}


class Step(StrEnum):
    """What a connection needed, from the least to the most."""

    NONE = "none"
    REFRESH = "refresh"
    ACCOUNT = "account"
    CONSENT = "consent"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found, and what mended it, or what will: consent and more need a person.

    Attributes:
        found: in words, without a full stop.
        step: done already, unless it is `Step.CONSENT`.
    """

    found: str
    step: Step


def diagnose(resources: Resources, refresher: Refresher, practice_id: str) -> Diagnosis:
    """Use a connection as its users do; refresh it or read its account where that is all it needs.

    Raises:
        connector.errors.RevokedError: it is being revoked.
        connector.errors.AccountMismatchError: its newest tokens are another account's.
        connector.errors.AccountUnconfirmedError: a person has to confirm whose they are.
        connector.errors.ProviderUnavailableError: nothing can be found out now.
        connector.errors.ClientRefusedError: the settings are wrong, not the connection.
    """
    end_overdue(resources)
    grant = resources.store.get(practice_id)
    if grant is None:
        return Diagnosis(found="there was no connection yet", step=Step.CONSENT)
    if grant.connection.state is ConnectionState.REVOKING:
        require_alive(grant.connection)
    if grant.unproven is not None:
        if prove_account(resources, practice_id):
            return Diagnosis(
                found="the account behind the newest tokens had not been read", step=Step.ACCOUNT
            )
        return diagnose(resources, refresher, practice_id)
    if grant.connection.state is ConnectionState.REVOKED:
        return Diagnosis(found="the connection was revoked", step=Step.CONSENT)
    if grant.connection.state is ConnectionState.NEEDS_REPAIR:
        return _second_chance(resources, refresher, grant.connection)
    return _use(resources, refresher, grant.connection)


def prove_account(resources: Resources, practice_id: str) -> bool:
    """Read the account behind a connection's unproven tokens; return False if those are dead, and drop them.

    Raises:
        connector.errors.AccountMismatchError: it is another account than it has to be.
        connector.errors.ProviderUnavailableError: it cannot be read now; the tokens are kept.
    """
    with resources.store.lock(practice_id, deadline=resources.clock.deadline(LOCK_TIMEOUT)):
        grant = resources.store.get(practice_id)
        if grant is None or grant.unproven is None:
            return True  # somebody else has been at it meanwhile
        try:
            prove(resources, grant)
        except GrantRefusedError:
            _drop_unproven(resources, practice_id)
            return False
        except ProviderUnavailableError:
            if not unproven_refused(resources, practice_id):
                raise
            found = examine(
                resources, resources.store.get(practice_id) or grant, _event(resources, practice_id)
            )
            if found.finding is Finding.ALIVE:
                prove(resources, found.grant)
                return True
            _drop_unproven(resources, practice_id)
            return False
        return True


def unproven_refused(resources: Resources, practice_id: str) -> bool:
    """Return whether the newest tokens, whose account is not known yet, are refused by the API."""
    grant = resources.store.get(practice_id)
    if grant is None or grant.unproven is None:
        return False
    return _verdict(resources, grant.unproven.tokens.access_token) is TokenVerdict.REFUSED


def _drop_unproven(resources: Resources, practice_id: str) -> None:
    grant = resources.store.get(practice_id)
    if grant is None:
        return
    after, events = replace(grant, unproven=None, confirm_by=None), list[Event]()
    if grant.tokens is None and grant.connection.state not in _SETTLED:
        message = "the granted tokens ended before their account could be read"
        after, events = dead(after, "grant_refused", message, resources.clock.utc_now())
    resources.store.put(after, expected_generation=grant.connection.token_generation, events=events)


def _use(resources: Resources, refresher: Refresher, before: Connection) -> Diagnosis:
    """Have an access token handed out, and show it to the provider's API."""
    try:
        found = _work(resources, refresher, before.practice_id)
    except NeedsRepairError:
        return _why_dead(resources.store.connection(before.practice_id) or before)
    after = resources.store.connection(before.practice_id) or before
    if found == _STILL_REFUSED:
        return Diagnosis(found=found, step=Step.CONSENT)
    if after.token_generation == before.token_generation:
        return Diagnosis(found=found or "nothing is wrong", step=Step.NONE)
    return Diagnosis(found=found or before.last_error or "the access token had ended", step=Step.REFRESH)


def _work(resources: Resources, refresher: Refresher, practice_id: str) -> str:
    """Do what brings a working access token; return what was found on the way, or ""."""
    refresher.access_token(practice_id)
    if _state(resources, practice_id) is ConnectionState.DEGRADED:
        refresher.refresh(practice_id, force=True)
    if _accepted(resources, practice_id):
        return ""
    refresher.refresh(practice_id, force=True)
    return (
        "the access token was not accepted any more" if _accepted(resources, practice_id) else _STILL_REFUSED
    )


_STILL_REFUSED = "not even a new access token is accepted"


def _accepted(resources: Resources, practice_id: str, *, new: bool = False) -> bool:
    access = resources.store.access(practice_id)
    verdict = _verdict(resources, access.token or "" if access else "")
    if verdict is TokenVerdict.DOUBTFUL and new:
        raise ProviderUnavailableError(
            "the provider's API fails, with a new access token too",
            hint=f"Try again in a few minutes: ormco repair {practice_id}",
        )
    return verdict in (TokenVerdict.ACCEPTED, TokenVerdict.UNASKED)


def _verdict(resources: Resources, access_token: str) -> TokenVerdict:
    return probe_token(resources.provider, access_token, clock=resources.clock)


def _second_chance(resources: Resources, refresher: Refresher, connection: Connection) -> Diagnosis:
    """Try a grant that was given up once more: what was taken for a refusal may have been an outage."""
    practice_id = connection.practice_id
    with resources.store.lock(practice_id, deadline=resources.clock.deadline(LOCK_TIMEOUT)):
        grant = resources.store.get(practice_id)
        is_dead = grant is not None and grant.connection.state is ConnectionState.NEEDS_REPAIR
        if grant is not None and is_dead and not _revive(resources, grant):
            return _why_dead(grant.connection)
    if not is_dead:  # somebody else has mended it meanwhile
        return diagnose(resources, refresher, practice_id)
    found = "the provider accepts the refresh token again, which it had refused"
    return Diagnosis(found=found, step=Step.REFRESH)


def _revive(resources: Resources, grant: Grant) -> bool:
    found = examine(resources, grant, _event(resources, grant.connection.practice_id))
    if found.finding is not Finding.ALIVE:
        return False
    now = resources.clock.utc_now()
    alive = replace(found.grant.connection, state=ConnectionState.CONNECTED, since=now, reason=None)
    grant = replace(found.grant, connection=alive)
    resources.store.put(grant, expected_generation=alive.token_generation)
    return True


def _why_dead(connection: Connection) -> Diagnosis:
    words = {
        "grant_refused": "the provider does not accept the grant any more",
        "answer_lost": "the answer to a refresh was lost, and the provider takes only what was in it",
        "not_renewable": "access has ended, and the provider gave no refresh token",
    }
    found = words.get(connection.reason or "", connection.last_error or "the grant is dead")
    return Diagnosis(found=found, step=Step.CONSENT)


def _state(resources: Resources, practice_id: str) -> ConnectionState | None:
    connection = resources.store.connection(practice_id)
    return None if connection is None else connection.state


def _event(resources: Resources, practice_id: str) -> Event:
    return Event(at=resources.clock.utc_now(), kind="refresh", outcome="ok", practice_id=practice_id)
