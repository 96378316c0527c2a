"""Take over a grant that another program holds, such as one from before this connector was used."""

from __future__ import annotations

from connector import consent
from connector.connection import Connection, Event, UnprovenGrant
from connector.consent.account_proof import keep_unproven, prove
from connector.oauth.token_set import TokenSet
from connector.resources import Resources

__all__ = ["adopt"]


def adopt(
    resources: Resources, practice_id: str, refresh_token: str, *, terms: consent.Terms | None = None
) -> Connection:
    """Make a connection from a refresh token that another program holds.

    The token is stored before it is used, as a token set whose access token has ended: so it is refreshed,
    and its account proved, like any other that waits for its proof.

    Raises:
        connector.errors.ConnectorError: as `account_proof.prove` does.
    """
    consent.check_practice_id(practice_id)
    resources.store.check()
    consent.check_provider(resources.store.connection(practice_id), resources.provider)
    now, terms = resources.clock.utc_now(), terms or consent.Terms()
    tokens = TokenSet(access_token="-", refresh_token=refresh_token, received_at=now, expires_at=now)  # noqa: S106
    unproven = UnprovenGrant(
        tokens=tokens,
        expected_account=terms.expected_account,
        allow_account_change=terms.allow_account_change,
    )
    with resources.store.lock(practice_id, deadline=resources.clock.deadline(consent.LOCK_TIMEOUT)):
        connection = prove(resources, keep_unproven(resources, practice_id, unproven)).connection
        resources.store.append_event(Event(at=now, kind="adopt", outcome="ok", practice_id=practice_id))
        return connection
