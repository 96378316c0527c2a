"""State and due time of each connection, kept apart from its row: the same as there, and quick to count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from connector.store.row import LIVE
from connector.store.store import Store
from tests.support.old_stores import old_store
from tests.support.stores import fresh_url, put, put_unverified, row_of, store_at, token_set

COLUMNS = "practice_id, slot, state, due_at, failures"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return fresh_url("postgresql", tmp_path)


def rows(store: Store, table: str) -> list[Any]:
    return store.database.all(f"SELECT {COLUMNS} FROM {table} ORDER BY practice_id, slot", ())


def test_states_follow_every_write(store: Store) -> None:
    """A grant that is stored, claimed, refreshed, failed, renamed or deleted is so in both tables."""
    put(store, "gone")
    put(store, "failed")
    put(store, "refreshed", age=3000)
    put_unverified(store, "new")
    store.grants.change(row_of(store, "failed"), {"failures": 3, "state": "degraded"})
    claimed = store.leases.claim(row_of(store, "refreshed"), 60)
    assert claimed is not None
    store.leases.settle(claimed, token_set("refreshed", number=1))
    store.grants.drop(row_of(store, "gone"), [])
    store.database.apply([("UPDATE ormco_connections SET slot = ? WHERE slot <> ?", (LIVE, LIVE))])
    assert rows(store, "ormco_states") == rows(store, "ormco_connections")
    assert [row[0] for row in rows(store, "ormco_states")] == ["failed", "new", "refreshed"]


def test_a_claim_leaves_states_alone(store: Store, url: str) -> None:
    """A refresh writes a state once, not at its claim as well."""
    put(store, "one", age=3000)
    before = store.database.all("SELECT xmin::text FROM ormco_states", ())
    assert store.leases.claim(row_of(store, "one"), 60) is not None
    assert store.database.all("SELECT xmin::text FROM ormco_states", ()) == before


def test_states_of_an_upgraded_store(tmp_path: Path) -> None:
    """What is there before the upgrade is counted after it."""
    upgraded = store_at(old_store("postgresql", tmp_path))
    upgraded.check()
    assert rows(upgraded, "ormco_states") == rows(upgraded, "ormco_connections") != []


def test_a_role_whose_rights_are_older_than_the_table(store: Store, url: str) -> None:
    """A role with rights from before the upgrade can write connections, and count them."""
    database = url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE counter_{database} LOGIN".encode())
        rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        admin.execute(b"DROP TABLE ormco_states; DROP FUNCTION ormco_note_state CASCADE")
        admin.execute(b"DELETE FROM ormco_schema WHERE version = (SELECT MAX(version) FROM ormco_schema)")
        admin.execute(f"GRANT {rights} TO counter_{database}".encode())
    store_at(url).check()
    program = store_at(url.replace("ormco@", f"counter_{database}@"))
    put(program, "one", age=4000)
    assert program.overview.summary().states == {"connected": 1}
    assert program.overview.summary().overdue == 1
