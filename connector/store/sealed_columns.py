"""The sealed columns of a grant's row, and the facts that they are bound to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.store.database import Database
from connector.store.sealing import associated_data
from connector.store.store_keys import StoreKeys

if TYPE_CHECKING:
    from connector.oauth.token_set import TokenSet
    from connector.store.row import Row

__all__ = ["SEALED_COLUMNS", "TABLE", "Bound", "SealedColumns", "bound_to", "grant_data", "sealed_data"]

TABLE = "ormco_connections"
SEALED_COLUMNS = ("access_sealed", "refresh_sealed", "policy_sealed")


class Bound(NamedTuple):
    """The facts that a sealed value of a row is bound to, besides its store and column.

    The account's address and name are bound by `policy_sealed` alone: they are what a person is shown who has
    to confirm the account.
    """

    practice_id: str
    slot: str
    generation: int
    state: str
    account_id: str | None
    provider: str
    account_email: str | None = None
    account_name: str | None = None


def bound_to(row: Row, changes: Mapping[str, Any]) -> Bound:
    """Return what a row's sealed values are bound to once it has been changed."""
    return Bound(
        row.practice_id,
        changes.get("slot", row.slot),
        changes.get("generation", row.generation),
        changes.get("state", row.state),
        changes.get("account_id", row.account_id),
        changes.get("provider", row.provider),
        changes.get("account_email", row.account_email),
        changes.get("account_name", row.account_name),
    )


def sealed_data(store_id: str, bound: Row | Bound, column: str) -> bytes:
    """Return the associated data of a sealed column of a row."""
    facts = (bound.slot, bound.generation, bound.state, bound.account_id, bound.provider)
    data = grant_data(store_id, column, bound.practice_id, facts)
    if column == "policy_sealed" and bound.account_id is not None:
        data += associated_data(bound.account_email, bound.account_name)
    return data


def grant_data(
    store_id: str, column: str, practice_id: str, facts: tuple[str, int, str, str | None, str]
) -> bytes:
    """Return a grant's part of the associated data, with what `associated_data` does written out for speed.

    Args:
        store_id: the store's own id.
        column: the sealed column.
        practice_id: the practice.
        facts: slot, generation, state, account id and provider.
    """
    slot, number, state, account_id, provider = facts
    generation = str(number)
    account = "-" if account_id is None else f"{len(account_id)}:{account_id}"
    text = (
        f"{len(practice_id)}:{practice_id}{len(slot)}:{slot}{len(generation)}:{generation}"
        f"{len(state)}:{state}{account}{len(provider)}:{provider}"
    )
    return _place(store_id, column) + text.encode("utf-8", "surrogatepass")


@lru_cache
def _place(store_id: str, column: str) -> bytes:
    return associated_data(store_id, TABLE, column)


_BOUND = frozenset(Bound._fields)


class SealedColumns:
    """Opens and seals them."""

    def __init__(self, database: Database, keys: StoreKeys) -> None:
        self._database = database
        self._keys = keys

    def open(self, row: Row, column: str) -> str | None:
        """Return what a column of a row holds."""
        sealed: bytes | None = getattr(row, column)
        if sealed is None:
            return None
        return self._keys.open(sealed, sealed_data(self._database.store_id, row, column), row=row.practice_id)

    def sealed(self, bound: Bound, texts: Mapping[str, str | None]) -> dict[str, object]:
        """Return columns with texts sealed."""
        columns: dict[str, object] = {}
        for column, text in texts.items():
            columns[column] = None
            if text is not None:
                ring = self._keys.ring()
                columns[column] = ring.seal(text, sealed_data(self._database.store_id, bound, column))
        return columns

    def changed(
        self, row: Row, values: Mapping[str, object], tokens: TokenSet | None = None
    ) -> dict[str, object]:
        """Return the columns with new tokens, and with what a row holds if it is bound to what changes."""
        texts: dict[str, str | None] = {}
        if tokens is not None:
            texts = {"access_sealed": tokens.access_token, "refresh_sealed": tokens.refresh_token}
        for name in () if _BOUND.isdisjoint(values) else SEALED_COLUMNS:
            if getattr(row, name) is not None and name not in texts and name not in values:
                texts[name] = self.open(row, name)
        return self.sealed(bound_to(row, values), texts) if texts else {}
