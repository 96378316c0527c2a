"""A store is moved to another database: everything, once, and checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.connection import Account, Event
from connector.errors import StoreError, StoreLockedError
from connector.store.copy import NOT_COPIED, TABLES, copy_store
from connector.store.store import Store
from tests.support.stores import DATABASES, fresh_url, put, put_unverified, store_at, token_set

WAYS = list(itertools.permutations(DATABASES, 2))


@pytest.fixture(params=WAYS, ids="-".join)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """A store with 16 connections and their audit record, and an empty database."""
    kind, other = request.param
    with_closing = [store_at(fresh_url(kind, tmp_path)), store_at(fresh_url(other, tmp_path / "other"))]
    source, target = with_closing
    for number in range(16):
        account = Account(
            id=f"{number}", email=f"praxis-{number}@kfo.test", name="Zahnärzte", region="europe"
        )
        put(source, f"practice-{number}", account=account, events=(event(number),))
    put_unverified(source, "practice-neu")
    yield source, target
    for store in with_closing:
        store.close()


def event(number: int) -> Event:
    return Event(
        at=datetime.now(UTC), kind="complete", outcome="ok", practice_id=f"practice-{number}", actor="tests"
    )


def copied(source: Store, target: Store) -> dict[str, int]:
    report = copy_store(source.database, target.database, page=6)
    assert report.deleted == 0
    return dict(report.rows)


def test_everything_is_copied(stores: tuple[Store, Store]) -> None:
    """Connections, tokens and the audit record are the same, under the same key."""
    source, target = stores
    rows = copied(source, target)
    assert (rows["ormco_connections"], rows["ormco_events"]) == (17, 16)
    target.check()
    assert list(target.overview.connections()) == list(source.overview.connections())
    assert target.audit.events() == source.audit.events()
    row, before = target.grants.row("practice-7"), source.grants.row("practice-7")
    assert row is not None
    assert before is not None
    assert target.grants.refresh_token(row) == source.grants.refresh_token(before)


def test_the_copy_is_independent_of_the_source(stores: tuple[Store, Store]) -> None:
    """A new event in the copy gets the next number of the record; the source does not change."""
    source, target = stores
    copied(source, target)
    before = source.audit.events(last=True, limit=1)[0].sequence
    target.audit.append(event(1))
    assert target.audit.events(last=True, limit=1)[0].sequence == before + 1
    assert source.audit.events(last=True, limit=1)[0].sequence == before


class _StopError(Exception):
    pass


def test_an_interrupted_copy_is_finished_by_the_next(stores: tuple[Store, Store]) -> None:
    """Only what is missing is written."""
    source, target = stores

    def stop(table: str, done: int) -> None:
        if table == "ormco_connections" and done >= 6:
            raise _StopError

    with pytest.raises(_StopError):
        copy_store(source.database, target.database, progress=stop)
    report = copy_store(source.database, target.database, page=6)
    assert 0 < report.written < sum(report.rows.values())
    assert list(target.overview.connections()) == list(source.overview.connections())


def test_a_second_copy_takes_over_changes(stores: tuple[Store, Store]) -> None:
    """A second copy takes over changed, new and forgotten practices."""
    source, target = stores
    copied(source, target)
    put(source, "practice-new", events=(event(999),))
    source.forget("practice-3", event(3))
    report = copy_store(source.database, target.database, page=6)
    assert (report.deleted, report.rows["ormco_connections"]) == (1, 17)
    assert list(target.overview.connections()) == list(source.overview.connections())
    assert target.audit.events() == source.audit.events()


def test_another_store_is_not_overwritten(stores: tuple[Store, Store]) -> None:
    """A target that has connections of its own is refused, and is not changed."""
    source, target = stores
    put(target, "practice-42")
    with pytest.raises(StoreError, match="its own connections"):
        copy_store(source.database, target.database, page=6)
    assert [one.practice_id for one in target.overview.connections()] == ["practice-42"]


def test_no_table_is_forgotten(stores: tuple[Store, Store]) -> None:
    """Every table of the schema is copied, or named as one that is not."""
    target = stores[1]
    target.database.open()
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'ormco%'"
    if target.database.dialect.concurrent_indexes:
        sql = (
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() "
            "AND to_regclass(tablename) NOT IN (SELECT inhrelid FROM pg_inherits)"
        )
    found = {row[0] for row in target.database.all(sql, ())}
    assert set(TABLES) <= found <= set(TABLES) | NOT_COPIED


def rotated(store: Store, practice_id: str) -> None:
    """Refresh a connection's tokens, as a process on this store would."""
    row = store.grants.row(practice_id)
    assert row is not None
    claimed = store.leases.claim(row, seconds=60)
    assert claimed is not None
    store.leases.settle(claimed, token_set("practice-7", number=1))


def test_a_copy_that_was_used_is_not_overwritten(stores: tuple[Store, Store]) -> None:
    """Its tokens are the live ones: the old store's are used. Nothing is changed, and the other way works."""
    source, target = stores
    copied(source, target)
    rotated(target, "practice-7")
    before = list(target.overview.connections())
    with pytest.raises(StoreError, match="was used since it was copied"):
        copied(source, target)
    assert list(target.overview.connections()) == before
    copied(target, source)
    assert list(source.overview.connections()) == before


def test_stores_that_have_diverged_are_not_mixed(stores: tuple[Store, Store]) -> None:
    """Each has an event that the other does not have, under one number."""
    source, target = stores
    copied(source, target)
    for store in stores:
        store.audit.append(event(1))
    for one, other in (stores, stores[::-1]):
        with pytest.raises(StoreError, match="was used since it was copied"):
            copied(one, other)


def test_a_refresh_in_progress_is_not_copied(stores: tuple[Store, Store]) -> None:
    """Its new tokens would be missing in the copy: another run is needed."""
    source, target = stores
    row = source.grants.row("practice-7")
    assert row is not None
    claimed = source.leases.claim(row, seconds=60)
    assert claimed is not None
    with pytest.raises(StoreLockedError, match="changed while it was copied"):
        copied(source, target)
    source.leases.settle(claimed, token_set("practice-7", number=1))
    copied(source, target)
    assert list(target.overview.connections()) == list(source.overview.connections())
