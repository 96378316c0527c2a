"""The columns that each change of a grant writes, except the sealed ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from connector.clock import Clock
from connector.connection import Account, AccountPolicy, ConnectionState
from connector.oauth.token_set import TokenSet
from connector.store.database import TABLE, Statement
from connector.store.held_token import ASSUMED_LIFETIME, LIVE
from connector.store.owners import new_mark
from connector.store.row import COLUMNS, UNVERIFIED, Row

__all__ = [
    "WHICH",
    "Changes",
    "FromNow",
    "account_columns",
    "claimed",
    "dump_policy",
    "ended",
    "insert",
    "load_policy",
    "promoted",
    "settled",
    "unverified",
    "update",
]

# A token with a lifetime of days is refreshed every hour, as the provider may have stated milliseconds.
_LONGEST_TRUSTED, _LONGEST_LOOK = 86400.0, 3600.0
_LEASE = ("refresh_by", "refresh_since", "refresh_until", "retry_at")
_CLEARED = ("confirm_by", "rejected_generation", "reason", "last_error", "policy_sealed")
_COUNTS = ("failures", "refresh_sends", "refresh_count", "account_shared")


@dataclass(frozen=True, slots=True)
class FromNow:
    """A time that is a number of seconds from now, by the database's clock."""

    seconds: float = 0.0


Changes = Mapping[str, object]
WHICH = "practice_id = ? AND slot = ? AND version = ?"


def update(row: Row, values: Changes, now: str) -> Statement:
    """Return the statement that changes a row if it is unchanged since it was read."""
    sets = ", ".join([f"{name} = {place}" for name, place in zip(values, _places(values, now), strict=True)])
    which = row.practice_id, row.slot, row.version
    return f"UPDATE {TABLE} SET {sets} WHERE {WHICH}", (*_args(values), *which)  # noqa: S608


def insert(values: Changes, now: str) -> Statement:
    """Return the statement that stores a row, in place of the practice's earlier one in that slot."""
    updates = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)
    sql = (
        f"INSERT INTO {TABLE} ({', '.join(values)}) VALUES ({', '.join(_places(values, now))}) "  # noqa: S608
        f"ON CONFLICT (practice_id, slot) DO UPDATE SET {updates}"
    )
    return sql, _args(values)


def _places(values: Changes, now: str) -> list[str]:
    return [f"{now} + ?" if isinstance(value, FromNow) else "?" for value in values.values()]


def _args(values: Changes) -> list[object]:
    return [value.seconds if isinstance(value, FromNow) else value for value in values.values()]


def account_columns(account: Account | None) -> dict[str, object]:
    """Return the columns of an account."""
    return {f"account_{name}": getattr(account, name, None) for name in ("id", "email", "name", "region")}


def unverified(practice_id: str, provider: str, tokens: TokenSet, clock: Clock) -> dict[str, object]:
    """Return the columns of a new grant whose account is not known yet."""
    return {
        **dict.fromkeys(COLUMNS),
        **dict.fromkeys(_COUNTS, 0),
        "practice_id": practice_id,
        "slot": UNVERIFIED,
        "version": new_mark(),
        "generation": new_mark() >> 20,  # so that no late response is stored in place of an earlier grant
        "state": ConnectionState.DEGRADED.value,
        "since": FromNow(),
        "provider": provider,
        **_token_columns(tokens, clock, renews=False),
    }


def promoted(new: Row, live: Row | None) -> dict[str, object]:
    """Return the columns that make a new grant the live one, in place of `live` if there is one."""
    was_connected = live is not None and live.state == ConnectionState.CONNECTED
    received = new.refreshed_at or 0.0
    return {
        **dict.fromkeys((*_LEASE, *_CLEARED)),
        "slot": LIVE,
        "version": new_mark(),
        "generation": 1 if live is None else live.generation + 1,
        "state": ConnectionState.CONNECTED.value,
        "since": live.since if live is not None and was_connected else FromNow(),
        "connected_at": FromNow(),
        "due_at": received + _due(new.valid_until - received) if new.renewable else None,
        "failures": 0,
        "refresh_sends": 0,
        "refresh_count": 0 if live is None else live.refresh_count,
    }


def claimed(row: Row, owner: str, seconds: float) -> dict[str, object]:
    """Return the columns of a lease, which also record that the refresh token is about to be sent."""
    is_first = row.refresh_sends == 0 or row.refresh_since is None
    return {
        "refresh_by": owner,
        "refresh_since": FromNow() if is_first else row.refresh_since,
        "refresh_until": FromNow(seconds),
        "refresh_sends": row.refresh_sends + 1,
    }


def ended(row: Row, *, lost: bool) -> dict[str, object]:
    """Return the columns of a lease that ended without tokens; `lost`: the refresh token may be used up."""
    sends = row.refresh_sends if lost else max(row.refresh_sends - 1, 0)
    return {
        "refresh_by": None,
        "refresh_until": None,
        "refresh_sends": sends,
        "refresh_since": row.refresh_since if sends else None,
    }


def settled(row: Row, tokens: TokenSet, clock: Clock, *, rejected: bool) -> dict[str, object]:
    """Return the columns of a row with new tokens; a revocation that was requested meanwhile stays."""
    becomes_connected = row.slot == LIVE and row.state != ConnectionState.REVOKING
    state = ConnectionState.CONNECTED.value if becomes_connected else row.state
    return {
        **dict.fromkeys(_LEASE),
        **_token_columns(tokens, clock, renews=becomes_connected),
        "generation": row.generation + 1,
        "state": state,
        "since": row.since if state == row.state else FromNow(),
        "reason": None if becomes_connected else row.reason,
        "last_error": None,
        "scope": tokens.scope or row.scope,
        "refresh_count": row.refresh_count + 1,
        "rejected_generation": row.generation + 1 if rejected else None,
        "failures": 0,
        "refresh_sends": 0,
    }


def _token_columns(tokens: TokenSet, clock: Clock, *, renews: bool) -> dict[str, object]:
    age = max(0.0, clock.time() - tokens.received_at.timestamp())  # the store may have been unavailable since
    lifetime = None
    if tokens.expires_at is not None:
        lifetime = (tokens.expires_at - tokens.received_at).total_seconds()
    due = _due(ASSUMED_LIFETIME if lifetime is None else lifetime)
    return {
        "refreshed_at": FromNow(-age),
        "expires_at": None if lifetime is None else FromNow(lifetime - age),
        "due_at": FromNow(due - age) if renews and tokens.refresh_token is not None else None,
        "renewable": int(tokens.refresh_token is not None),
        "scope": tokens.scope,
    }


def _due(lives: float) -> float:
    return _LONGEST_LOOK if lives > _LONGEST_TRUSTED else lives


def dump_policy(policy: AccountPolicy) -> str:
    """Return an account policy as text, to be sealed."""
    fields = asdict(policy)
    if policy.subject is None:  # an earlier release beside this one does not know it
        del fields["subject"]
    return json.dumps(fields)


def load_policy(text: str) -> AccountPolicy:
    """Return the account policy in a text that `dump_policy` has returned."""
    return AccountPolicy(**json.loads(text))
