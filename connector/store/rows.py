"""A `Grant` and its row; a `Connection` and the part of the row that is no secret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from connector.clock import from_timestamp
from connector.connection import (
    Account,
    Connection,
    ConnectionState,
    Grant,
    LabConnection,
    UnprovenGrant,
)
from connector.errors import StoreDamagedError
from connector.oauth.token_set import TokenSet
from connector.store.sealing import KeyRing, place
from connector.store.token_text import dump_rest, dump_unproven, load_tokens, load_unproven

__all__ = [
    "CONNECTION_COLUMNS",
    "GRANT_COLUMNS",
    "SEALED_COLUMNS",
    "TABLE",
    "Stored",
    "as_stored",
    "changes",
    "note_on",
    "sealed",
    "to_connection",
    "to_grant",
]

TABLE = "ormco_connections"
SEALED_COLUMNS = ("access_token", "token_rest", "unproven")
_AT = {column: place(TABLE, column) for column in SEALED_COLUMNS}
_DUE = frozenset({ConnectionState.CONNECTED, ConnectionState.DEGRADED})

_OPEN_COLUMNS = (
    "practice_id",
    "provider",
    "state",
    "since",
    "reason",
    "account_id",
    "account_email",
    "account_name",
    "account_region",
    "scope",
    "renewable",
    "expires_at",
    "connected_at",
    "refreshed_at",
    "generation",
    "lab_state",
    "lab_email",
    "last_error",
)
_REST_COLUMNS = (
    "refresh_sent_at",
    "refresh_owner",
    "failures",
    "retry_at",
    "confirm_by",
    "revision",
    *SEALED_COLUMNS,
)

CONNECTION_COLUMNS = ", ".join(_OPEN_COLUMNS)
GRANT_COLUMNS = ", ".join(_OPEN_COLUMNS + _REST_COLUMNS)


class Stored(NamedTuple):
    """The store's note on a grant: the parts that stand in its row, and the mark of the write that did it."""

    revision: int
    connection: Connection
    tokens: TokenSet | None
    unproven: UnprovenGrant | None
    refresh_sent_at: datetime | None
    refresh_owner: str | None
    failures: int
    retry_at: datetime | None
    confirm_by: datetime | None

    def __repr__(self) -> str:
        """Show the mark alone: there are secrets among the parts."""
        return f"Stored(revision={self.revision})"


_parts = attrgetter(*Stored._fields[1:])


def to_connection(row: Sequence[Any]) -> Connection:
    """Read a row that begins with `CONNECTION_COLUMNS`."""
    values = dict(zip(_OPEN_COLUMNS, row, strict=False))
    try:
        return _connection(values)
    except (ValueError, TypeError, OverflowError) as exc:
        raise _damaged(values["practice_id"]) from exc


def to_grant(row: Sequence[Any], ring: KeyRing) -> Grant:
    """Read a row of `GRANT_COLUMNS` and open what is sealed in it."""
    connection = to_connection(row)
    values = dict(zip(_REST_COLUMNS, row[len(_OPEN_COLUMNS) :], strict=True))
    opened = {
        column: None
        if values[column] is None
        else ring.open(values[column], at=at, row=connection.practice_id)
        for column, at in _AT.items()
    }
    try:
        grant = Grant(
            connection=connection,
            tokens=load_tokens(opened["token_rest"], opened["access_token"]),
            unproven=load_unproven(opened["unproven"]),
            refresh_sent_at=_moment(values["refresh_sent_at"]),
            refresh_owner=values["refresh_owner"],
            failures=values["failures"],
            retry_at=_moment(values["retry_at"]),
            confirm_by=_moment(values["confirm_by"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError) as exc:
        raise _damaged(connection.practice_id) from exc
    return as_stored(grant, values["revision"])


def as_stored(grant: Grant, revision: int) -> Grant:
    """Return a grant with the note that it stands in the store under a revision."""
    stored = Stored(revision, *_parts(grant))
    return Grant(
        connection=stored.connection,
        tokens=stored.tokens,
        unproven=stored.unproven,
        refresh_sent_at=stored.refresh_sent_at,
        refresh_owner=stored.refresh_owner,
        failures=stored.failures,
        retry_at=stored.retry_at,
        confirm_by=stored.confirm_by,
        stored=stored,
    )


def note_on(grant: Grant) -> Stored | None:
    """Return the store's note on a grant, or None where it was never read."""
    return grant.stored if isinstance(grant.stored, Stored) else None


def changes(grant: Grant, before: Stored | None) -> dict[str, object]:
    """Return the values of a grant's row that differ from what stands there, or all where nothing does.

    Those of `SEALED_COLUMNS` are not sealed yet; the revision is not among them.
    """
    if before is None:
        return _connection_values(grant.connection) | _token_values(grant.tokens) | _other_values(grant)
    found: dict[str, object] = {}
    # What `dataclasses.replace` passed on is still the same object.
    if _other_parts(grant) != _other_parts(before):
        found = {
            name: in_row(getattr(grant, name))
            for name, in_row in _OTHERS.items()
            if getattr(grant, name) is not getattr(before, name)
        }
    if grant.connection is not before.connection:
        found |= _differing(_connection_values(grant.connection), _connection_values(before.connection))
    if grant.tokens is not before.tokens:
        found |= _token_values(grant.tokens)
    if (due_at := _due_at(grant)) != _due_at(before):
        found["due_at"] = due_at
    return found


def sealed(values: dict[str, object], ring: KeyRing, practice_id: str) -> dict[str, object]:
    """Return values with the secret ones sealed for their row."""
    found = dict(values)
    for column, at in _AT.items():
        if isinstance(value := values.get(column), str):
            found[column] = ring.seal(value, at=at, row=practice_id)
    return found


def _differing(values: dict[str, object], before: dict[str, object]) -> dict[str, object]:
    return {column: value for column, value in values.items() if value != before[column]}


def _token_values(tokens: TokenSet | None) -> dict[str, object]:
    return {
        "good_until": None if tokens is None else tokens.good_until.timestamp(),
        "access_token": None if tokens is None else tokens.access_token,
        "token_rest": None if tokens is None else dump_rest(tokens),
    }


def _other_values(grant: Grant) -> dict[str, object]:
    found = {name: in_row(getattr(grant, name)) for name, in_row in _OTHERS.items()}
    return found | {"due_at": _due_at(grant)}


def _connection_values(connection: Connection) -> dict[str, object]:
    account, lab = connection.account, connection.lab
    return {
        "practice_id": connection.practice_id,
        "provider": connection.provider,
        "state": connection.state.value,
        "since": connection.since.timestamp(),
        "reason": connection.reason,
        "account_id": account and account.id,
        "account_email": account and account.email,
        "account_name": account and account.name,
        "account_region": account and account.region,
        "scope": connection.scope,
        "renewable": int(connection.renewable),
        "expires_at": _timestamp(connection.expires_at),
        "connected_at": _timestamp(connection.connected_at),
        "refreshed_at": _timestamp(connection.refreshed_at),
        "generation": connection.token_generation,
        "lab_state": lab and lab.state,
        "lab_email": lab and lab.email,
        "last_error": connection.last_error,
    }


def _connection(values: dict[str, Any]) -> Connection:
    account_id, lab_state = values["account_id"], values["lab_state"]
    return Connection(
        practice_id=values["practice_id"],
        provider=values["provider"],
        state=ConnectionState(values["state"]),
        since=from_timestamp(values["since"]),
        reason=values["reason"],
        account=None
        if account_id is None
        else Account(
            id=account_id,
            email=values["account_email"],
            name=values["account_name"],
            region=values["account_region"],
        ),
        scope=values["scope"],
        renewable=bool(values["renewable"]),
        expires_at=_moment(values["expires_at"]),
        connected_at=_moment(values["connected_at"]),
        refreshed_at=_moment(values["refreshed_at"]),
        token_generation=values["generation"],
        lab=None if lab_state is None else LabConnection(state=lab_state, email=values["lab_email"]),
        last_error=values["last_error"],
    )


def _due_at(grant: Grant | Stored) -> float | None:
    tokens, connection = grant.tokens, grant.connection
    if tokens is None or tokens.refresh_token is None or connection.state not in _DUE:
        return None
    return tokens.good_until.timestamp()


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else from_timestamp(seconds)


def _damaged(practice_id: object) -> StoreDamagedError:
    return StoreDamagedError(
        f"what is stored of {practice_id} cannot be right",
        hint="Restore the store from a backup, or `ormco forget` the practice and connect it again.",
    )


# The parts of a grant that have a column each, and how they stand there.
_OTHERS: dict[str, Callable[[Any], object]] = {
    "unproven": lambda unproven: None if unproven is None else dump_unproven(unproven),
    "refresh_sent_at": _timestamp,
    "refresh_owner": lambda owner: owner,
    "failures": lambda failures: failures,
    "retry_at": _timestamp,
    "confirm_by": _timestamp,
}
_other_parts = attrgetter(*_OTHERS)
