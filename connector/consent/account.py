"""Verify the account of new tokens; none is handed out before its account is known and acceptable."""

from __future__ import annotations

from connector.communicate.users import read_account
from connector.connection import (
    Account,
    AccountPolicy,
    Connection,
    ConnectionState,
    refuse_while_revoking,
    require_alive,
)
from connector.consent.account_policy import other_practices, refusal, to_be_confirmed, unconfirmed
from connector.errors import (
    AccountMismatchError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
    RevokedError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.oauth.token_set import TokenSet
from connector.refresh.failures import ANSWER_LOST, dead
from connector.refresh.schedule import LONGEST_BACKOFF, RefreshWait, backoff
from connector.resources import Resources
from connector.store.columns import FromNow, account_columns
from connector.store.database import NotUniqueError
from connector.store.held_token import check_practice_id
from connector.store.row import Row, Rows

__all__ = ["adopt", "drop_unverified", "keep_unverified", "revoke_fresh", "verify_account"]

# The time in which a person can confirm an account.
_CONFIRMABLE_SECONDS = 600.0
_SAVE_SECONDS = 60.0


def keep_unverified(resources: Resources, practice_id: str, tokens: TokenSet, policy: AccountPolicy) -> Row:
    """Store new tokens next to the practice's current ones, before anything else can fail."""
    before = resources.store.grants.rows(practice_id).unverified
    if before is not None and before.confirm_by is not None:
        drop_unverified(resources, before, unconfirmed(before))  # one account at a time
    changes = {
        "reason": "account_unconfirmed" if policy.to_confirm else "account_unread",
        "confirm_by": FromNow(_CONFIRMABLE_SECONDS) if policy.to_confirm else None,
        "with_secret": int(bool(resources.client.client_secret)),
    }
    deadline = resources.clock.deadline(_SAVE_SECONDS)
    while True:  # these tokens exist nowhere else, and their code is spent
        try:
            return resources.store.grants.put_unverified(
                practice_id, resources.provider.name, tokens, policy, changes
            )
        except (StoreUnavailableError, StoreLockedError):
            if not deadline.pause(1.0):
                raise


def verify_account(resources: Resources, practice_id: str, *, confirmed: str | None = None) -> Connection:
    """Read the account behind a practice's unverified tokens, and make them the live ones.

    `confirmed` is the id of the account that a person has confirmed.

    Raises:
        connector.errors.AccountMismatchError: it is another account; the tokens are dropped, and revoked if
            the provider can do that.
        connector.errors.AccountUnconfirmedError: a person has to confirm the account first; all is kept.
        connector.errors.GrantRefusedError: the tokens had to be refreshed, and are dead; they are dropped.
        connector.errors.ProviderUnavailableError: the account cannot be read now; the tokens are kept.
    """
    wait = RefreshWait(resources.clock, practice_id)
    while True:
        rows = resources.store.grants.rows(practice_id)
        if rows.unverified is None:
            return resources.store.existing(practice_id)
        # None: the rows have changed meanwhile, so decide again.
        verified = _verify(resources, rows, rows.unverified, confirmed)
        if verified is not None:
            return verified.connection
        wait.pause()


def _verify(resources: Resources, rows: Rows, row: Row, confirmed: str | None) -> Row | None:
    grants, policy = resources.store.grants, resources.store.grants.policy(row)
    try:
        # They may have expired while they waited.
        is_fresh = row.account_id is not None or row.lasts()
        fresh = row if is_fresh else resources.rotator.rotate(row, force=True)
        if fresh is None:
            return None
        row, account = fresh, _account(resources, fresh, policy)
    except GrantRefusedError as exc:
        _refused(resources, rows, row, exc)
        raise
    except AccountMismatchError as exc:
        drop_unverified(resources, row, exc)
        raise
    mismatch = refusal(resources, rows.live, row, policy, account)
    if mismatch is not None:
        is_used = account is not None and bool(other_practices(resources, row, account))
        drop_unverified(resources, row, mismatch, revoke=not is_used)
        raise mismatch
    if to_be_confirmed(rows.live, policy, account, confirmed):
        seen = row if row.account_id is not None else grants.change(row, account_columns(account))
        if seen is None:
            return None
        raise unconfirmed(seen)
    if rows.live is not None and rows.live.state == ConnectionState.REVOKING:
        # Revocation was requested after the code was sent. The old tokens are needed to prove the grant dead.
        drop_unverified(resources, row, RevokedError("the connection is being revoked"))
        require_alive(row.practice_id, rows.live.state, rows.live.reason)
    return _promote(resources, rows.live, row, policy, account)


def _account(resources: Resources, row: Row, policy: AccountPolicy) -> Account | None:
    provider, store = resources.provider, resources.store
    if row.account_id is not None or not provider.tells_account:
        return row.account
    try:
        return read_account(
            provider,
            store.grants.access_token(row) or "",
            clock=resources.clock,
            subject=policy.subject,
        )
    except ProviderUnavailableError as exc:
        wait = min(exc.retry_after or 0.0, LONGEST_BACKOFF)
        pause = max(wait, backoff(row.failures) if row.failures else 0.0)
        changes = {"failures": row.failures + 1, "retry_at": FromNow(pause), "last_error": exc.message}
        store.grants.change(row, changes)
        raise ProviderUnavailableError(
            f"the account behind the tokens could not be read: {exc.message}",
            hint="The tokens are kept, and handed out as soon as it can be read: try again later.",
            retry_after=exc.retry_after,
            sent=exc.sent,
            answered=exc.answered,
        ) from None


def _promote(
    resources: Resources, live: Row | None, row: Row, policy: AccountPolicy, account: Account | None
) -> Row | None:
    practice_id = row.practice_id
    others = other_practices(resources, row, account) if account is not None else set()
    was_shared = live is not None and live.account_id == row.account_id and bool(live.account_shared)
    changes = account_columns(account) | {
        "account_shared": int(bool(others) and (policy.allow_account_change or was_shared))
    }
    is_change = live is not None and live.account_id is not None and account is not None
    kinds = ["complete"]
    if is_change and live is not None and account is not None and live.account_id != account.id:
        kinds.append("account_change")
    event, state = resources.store.audit.event, ConnectionState.CONNECTED
    events = [event(kind, "ok", practice_id, state=state) for kind in kinds]
    try:
        return resources.store.grants.promote(row, live, changes, events)
    except NotUniqueError:
        return None  # another practice was connected to this account at the same time: the next pass finds it


def _refused(resources: Resources, rows: Rows, row: Row, refusal: GrantRefusedError) -> None:
    """Forget dead tokens; if a response was lost, the connection needs repair."""
    present = resources.store.grants.rows(row.practice_id).unverified or row
    if not row.answer_may_be_lost:
        drop_unverified(resources, present, refusal)
        return
    state = ConnectionState.NEEDS_REPAIR
    shown = state if rows.live is None else ConnectionState(rows.live.state)
    event = resources.store.audit.event("complete", ANSWER_LOST, row.practice_id, state=shown)
    if rows.live is not None:
        resources.store.grants.drop(present, [event])
        return
    resources.store.grants.change(present, dead(ANSWER_LOST, refusal.message), [event])


def drop_unverified(resources: Resources, row: Row, refusal: ConnectorError, *, revoke: bool = True) -> None:
    """Forget tokens that are dead or not acceptable; the latter are revoked first.

    They are not revoked if another practice is connected to their account: some servers revoke all that an
    account has granted to a client.
    """
    revoked = "dead" if revoke else "no: another practice uses this account"
    if revoke and not isinstance(refusal, GrantRefusedError):
        grants = resources.store.grants
        revoked = revoke_fresh(resources, grants.refresh_token(row), grants.access_token(row))
    detail = {"fresh_tokens_revoked": revoked}
    event = resources.store.audit.event("complete", refusal.kind, row.practice_id, detail=detail)
    resources.store.grants.drop(row, [event])


def revoke_fresh(resources: Resources, refresh_token: str | None, access_token: str | None) -> str:
    """Revoke tokens that are not kept, if the provider can; return "yes", or the reason for a failure."""
    try:
        if resources.provider.revocation_endpoint is None:
            return "no endpoint"
        if refresh_token is not None:
            resources.endpoint.revoke(refresh_token, hint="refresh_token")
        if access_token is not None:
            resources.endpoint.revoke(access_token, hint="access_token")
    except ConnectorError as exc:
        return exc.kind
    return "yes"


def adopt(resources: Resources, practice_id: str, refresh_token: str, *, policy: AccountPolicy) -> Connection:
    """Make a connection from a refresh token that another program holds; see `Connector.adopt`.

    The token is stored before it is used, as a token set whose access token has expired. Then it is
    refreshed and its account is verified, like any other unverified token set.
    """
    check_practice_id(practice_id)
    resources.store.check()
    connection = resources.store.connection(practice_id)
    resources.check_provider(connection)
    refuse_while_revoking(connection)
    now = resources.clock.utc_now()
    tokens = TokenSet(access_token="-", refresh_token=refresh_token, received_at=now, expires_at=now)  # noqa: S106
    keep_unverified(resources, practice_id, tokens, policy)
    connection = verify_account(resources, practice_id)
    audit = resources.store.audit
    audit.append(audit.event("adopt", "ok", practice_id))
    return connection
