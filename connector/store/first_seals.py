"""What the first releases sealed, and where: read once, and sealed anew with all that it belongs to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from connector.connection import AccountPolicy
from connector.store.row import LIVE, TABLE, Row, damaged, dump_policy
from connector.store.sealing import KeyRing, first_associated_data, is_first_version

__all__ = ["Contents", "has_any", "opened"]


@dataclass(slots=True, kw_only=True)
class Contents:
    """What a row holds in today's columns.

    Attributes:
        sealed: the texts of columns that are to be sealed.
        columns: the values of the others.
    """

    sealed: dict[str, str | None] = field(default_factory=dict, repr=False)
    columns: dict[str, Any] = field(default_factory=dict)


def has_any(row: Row) -> bool:
    """Return whether a row holds anything that an early release has sealed."""
    for sealed in (row.access_sealed, row.refresh_sealed, row.policy_sealed):
        if sealed is not None and is_first_version(sealed):
            return True
    return False


def opened(row: Row, ring: KeyRing) -> Contents:
    """Open a row.

    Raises:
        connector.errors.StoreDamagedError: if a value is not what was sealed there.
    """

    def read(column: str, first_column: str) -> str | None:
        sealed = getattr(row, column)
        if sealed is None:
            return None
        if not is_first_version(sealed):
            raise damaged(row.practice_id)
        data = first_associated_data(TABLE, first_column, row.practice_id)
        return ring.open(sealed, data, row=row.practice_id)

    try:
        if row.slot == LIVE:
            access, rest = read("access_sealed", "access_token"), read("refresh_sealed", "token_rest")
            refresh = None if rest is None else json.loads(rest)["refresh_token"]
            return Contents(sealed={"access_sealed": access, "refresh_sealed": refresh})
        return _unverified(json.loads(read("policy_sealed", "unproven") or "null"))
    except (ValueError, TypeError, KeyError):
        raise damaged(row.practice_id) from None


def _unverified(waiting: dict[str, Any]) -> Contents:
    tokens, account = waiting["tokens"], waiting.get("account") or {}
    policy = AccountPolicy(
        expected_account=waiting["expected_account"],
        allow_account_change=waiting["allow_account_change"],
        to_confirm=waiting.get("to_confirm", False),
        binding=waiting.get("binding"),
    )
    return Contents(
        sealed={
            "access_sealed": waiting["access_token"],
            "refresh_sealed": tokens["refresh_token"],
            "policy_sealed": dump_policy(policy),
        },
        columns={
            "refreshed_at": tokens["received_at"],
            "expires_at": tokens["expires_at"],
            "scope": tokens["scope"],
            "renewable": int(tokens["refresh_token"] is not None),
            "refresh_sends": int(waiting.get("sent", False)),
            **{f"account_{name}": account.get(name) for name in ("id", "email", "name", "region") if account},
        },
    )
