"""What stands inside the sealed columns: token sets as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from connector.clock import from_timestamp
from connector.connection import Account, UnprovenGrant
from connector.oauth.token_set import TokenSet

__all__ = ["dump_rest", "dump_unproven", "load_tokens", "load_unproven"]


def dump_rest(tokens: TokenSet) -> str:
    """Return all of a token set but its access token, which has a column of its own to be read quickly."""
    # Written out: json makes an encoder for each object anew, which takes longer than all the rest.
    expires_at = "null" if tokens.expires_at is None else repr(tokens.expires_at.timestamp())
    return (
        f'{{"refresh_token": {_string(tokens.refresh_token)}, '
        f'"received_at": {tokens.received_at.timestamp()!r}, "expires_at": {expires_at}, '
        f'"scope": {_string(tokens.scope)}, "id_token": {_string(tokens.id_token)}}}'
    )


def load_tokens(rest: str | None, access_token: str | None) -> TokenSet | None:
    """Return the token set of two columns, or None where there is none."""
    return None if rest is None or access_token is None else _token_set(json.loads(rest), access_token)


def dump_unproven(unproven: UnprovenGrant) -> str:
    """Return tokens that wait for their account to be read."""
    return json.dumps(
        {
            "access_token": unproven.tokens.access_token,
            "tokens": json.loads(dump_rest(unproven.tokens)),
            "expected_account": unproven.expected_account,
            "allow_account_change": unproven.allow_account_change,
            "sent": unproven.sent,
            "to_confirm": unproven.to_confirm,
            "binding": unproven.binding,
            "account": None if unproven.account is None else asdict(unproven.account),
        }
    )


def load_unproven(text: str | None) -> UnprovenGrant | None:
    """Read what `dump_unproven` wrote."""
    if text is None:
        return None
    waiting = json.loads(text)
    account = waiting.get("account")
    return UnprovenGrant(
        tokens=_token_set(waiting["tokens"], waiting["access_token"]),
        expected_account=waiting["expected_account"],
        allow_account_change=waiting["allow_account_change"],
        sent=waiting.get("sent", False),
        to_confirm=waiting.get("to_confirm", False),
        binding=waiting.get("binding"),
        account=None if account is None else Account(**account),
    )


def _string(text: str | None) -> str:
    return "null" if text is None else json.dumps(text)


def _token_set(rest: dict[str, Any], access_token: str) -> TokenSet:
    expires_at = rest["expires_at"]
    return TokenSet(
        access_token=access_token,
        refresh_token=rest["refresh_token"],
        received_at=from_timestamp(rest["received_at"]),
        expires_at=None if expires_at is None else from_timestamp(expires_at),
        scope=rest["scope"],
        id_token=rest["id_token"],
    )
