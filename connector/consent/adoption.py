"""Take over a grant that another program holds, such as one from before this connector was used."""

from __future__ import annotations

from connector import consent
from connector.connection import AccountPolicy, Connection
from connector.consent.account import keep_unverified, verify_account
from connector.oauth.token_set import TokenSet
from connector.resources import Resources

__all__ = ["adopt"]


def adopt(
    resources: Resources, practice_id: str, refresh_token: str, *, policy: AccountPolicy | None = None
) -> Connection:
    """Make a connection from a refresh token that another program holds.

    The token is stored before it is used, as a token set whose access token has expired: so it is refreshed
    and its account is verified, like any other unverified token set.

    Raises:
        connector.errors.ConnectorError: as `verify_account` does.
    """
    consent.check_practice_id(practice_id)
    resources.store.check()
    connection = resources.store.connection(practice_id)
    consent.check_provider(connection, resources.provider)
    consent.refuse_while_revoking(connection)
    now = resources.clock.utc_now()
    tokens = TokenSet(access_token="-", refresh_token=refresh_token, received_at=now, expires_at=now)  # noqa: S106
    keep_unverified(resources, practice_id, tokens, policy or AccountPolicy())
    connection = verify_account(resources, practice_id)
    audit = resources.store.audit
    audit.append(audit.event("adopt", "ok", practice_id))
    return connection
