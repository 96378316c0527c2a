"""A token that needs nothing done to it, by a narrow read."""

from __future__ import annotations

import pytest

from connector.errors import StoreDamagedError
from connector.store.held_token import read_held
from connector.store.store import Store
from tests.support.stores import put, put_unverified, row_of


def test_a_valid_token_is_that_of_the_row(store: Store) -> None:
    """The token and its times are those of the whole row, and the token is in no repr."""
    put(store, "p", age=100)
    held, row = read_held(store.database, store.keys, "p"), row_of(store, "p")
    assert held is not None
    assert held.value == store.grants.access_token(row) == "at-p-0"
    assert (held.generation, held.refreshed_at, held.valid_until, held.lifetime) == (
        row.generation,
        row.refreshed_at,
        row.valid_until,
        row.lifetime,
    )
    assert held.lasts(60)
    assert row.lasts(60)
    assert held.value not in repr(held)


def test_a_practice_that_needs_a_step_has_no_held_token(store: Store) -> None:
    """The short query finds nothing for a practice without a valid token or state, or with a new grant."""
    put(store, "ended", age=3700)
    put(store, "future", refreshed_at=9e9, expires_at=9e9 + 3600)
    put(store, "degraded", state="degraded")
    put(store, "dead", state="needs_repair")
    put(store, "new grant")
    put_unverified(store, "new grant")
    put_unverified(store, "unverified")
    names = ("ended", "future", "degraded", "dead", "new grant", "unverified", "unknown", "")
    assert [read_held(store.database, store.keys, name) for name in names] == [None] * len(names)


@pytest.mark.parametrize(
    "change", ["account_id = 'another'", "provider = 'another'", "generation = 7", "practice_id = 'q'"]
)
def test_an_edited_row_is_not_handed_out(store: Store, change: str) -> None:
    """A row does not open if a fact that its token is bound to was edited."""
    put(store, "p")
    store.database.apply([(f"UPDATE ormco_connections SET {change}", ())])
    with pytest.raises(StoreDamagedError):
        read_held(store.database, store.keys, "q" if change.startswith("practice_id") else "p")
