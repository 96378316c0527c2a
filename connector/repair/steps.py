"""Diagnose a connection, then take the smallest step that repairs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from connector import consent
from connector.connection import Connection, ConnectionState
from connector.errors import (
    Action,
    CodeRefusedError,
    ConnectorError,
    ConsentRequiredError,
    ProviderUnavailableError,
)
from connector.refresh import AccessTokens
from connector.repair.silent import (
    Step,
    is_unverified_refused,
    repair_silently,
    require_users_api,
    settle_account,
)
from connector.resources import Resources
from connector.revocation import revoke
from connector.revocation.removal import Removal, RevocationSteps, revocation_steps

__all__ = ["LastResort", "Repair", "reconnect", "repair"]

_WHOM_TO_CALL = (
    "Every possible repair was made, up to a new connection. Contact your local 3Shape reseller and "
    "quote this error."
)
# With nothing stored, no call can remove the grant, and none can prove that it is gone.
_REMOVE_BY_HAND = (
    "Start again. If it is refused again, an older grant may prevent it: remove Ormco on the Applications "
    "page of the practice's account, then start again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """The result of a repair.

    Attributes:
        connection: the connection as it is now.
        found: the problem that was found, as a clause.
        step: the step that repaired it.
    """

    connection: Connection
    found: str
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class LastResort:
    """The removal of Ormco before a connection from the start, if nothing less helps.

    Attributes:
        removal: how to remove Ormco.
        agree: called first with the consequences; returns whether to continue.
    """

    removal: Removal
    agree: Callable[[RevocationSteps], bool]


def repair(
    resources: Resources,
    tokens: AccessTokens,
    practice_id: str,
    *,
    options: consent.ConsentOptions | None,
    last_resort: LastResort | None = None,
) -> Repair:
    """Diagnose a connection and repair it; see `Connector.repair`.

    Consent is requested only if nothing else works, and never without `options`. Its `progress` is called
    with "found: …", too. The stored tokens stay until newer ones are stored.
    """
    before = resources.store.connection(practice_id)
    resources.check_provider(before)
    diagnosis = repair_silently(resources, tokens, practice_id)
    if before is not None and options is not None:
        options.progress(f"found: {diagnosis.found}")
    step = diagnosis.step
    if step is Step.CONSENT:
        row = resources.store.grants.rows(practice_id).main
        if row is not None:
            require_users_api(resources, row)
        if options is None:
            raise ConsentRequiredError(
                f"{practice_id} has to give access again: {diagnosis.found}",
                hint="Send a person of the practice through `begin` and `complete`.",
                practice_id=practice_id,
            )
        step = _ask_again(resources, practice_id, options, last_resort)
    connection = resources.store.existing(practice_id)
    if before is not None and step is not Step.NONE:
        _record(resources, connection, found=diagnosis.found, step=step)
    return Repair(connection=connection, found=diagnosis.found, step=step)


def reconnect(
    resources: Resources, practice_id: str, *, options: consent.ConsentOptions, removal: Removal
) -> Connection:
    """Revoke a connection, then connect it from the start; see `Connector.reconnect`."""
    connection = resources.store.existing(practice_id)
    # Find anything that would make the second half fail before the first half removes access.
    resources.config.registration(resources.configured)
    resources.store.check()
    resources.check_reachable()
    # A new grant beside the revoked one: a reconnection stopped after the consent.
    was_interrupted = (
        connection.state is ConnectionState.REVOKED
        and resources.store.grants.rows(practice_id).unverified is not None
    )
    if was_interrupted and settle_account(resources, practice_id):
        return resources.store.existing(practice_id)
    revoke(resources, practice_id, replace(removal, thorough=True))
    return consent.connect(resources, practice_id, options)


def _ask_again(
    resources: Resources, practice_id: str, options: consent.ConsentOptions, last_resort: LastResort | None
) -> Step:
    try:
        consent.connect(resources, practice_id, options)
        return Step.CONSENT
    except (CodeRefusedError, ProviderUnavailableError) as exc:
        if not _is_still_refused(resources, practice_id, exc):
            raise
        if resources.store.connection(practice_id) is None:
            exc.hint = _REMOVE_BY_HAND
            raise
        what = revocation_steps(resources, practice_id) if last_resort is not None else None
        if last_resort is None or what is None or not last_resort.agree(what):
            exc.hint = "An older grant may prevent this: reconnect, which removes it and starts again."
            exc.action = Action.RECONNECT
            raise
    try:
        reconnect(resources, practice_id, options=options, removal=last_resort.removal)
    except (CodeRefusedError, ProviderUnavailableError) as exc:
        if _is_still_refused(resources, practice_id, exc):
            exc.hint = _WHOM_TO_CALL
        raise
    return Step.RECONNECT


def _is_still_refused(resources: Resources, practice_id: str, exc: ConnectorError) -> bool:
    """Return whether consent was given, but the provider refuses the code or the tokens from it."""
    return isinstance(exc, CodeRefusedError) or is_unverified_refused(resources, practice_id)


def _record(resources: Resources, connection: Connection, *, found: str, step: Step) -> None:
    audit, detail = resources.store.audit, {"found": found, "step": step.value}
    audit.append(audit.event("repair", "ok", connection.practice_id, state=connection.state, detail=detail))
