"""The audit record by months: made as events come, read as one, dropped as a whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from connector.connection import Event
from connector.errors import StoreUnavailableError
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.old_stores import MADE_AT, old_store
from tests.support.stores import empty_url, store_at

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return empty_url("postgresql", tmp_path)


def append(store: Store, *times: str) -> None:
    for time in times:
        at = datetime.fromisoformat(time).replace(tzinfo=UTC)
        store.audit.append(Event(at=at, kind="begin", outcome="ok", practice_id="p", detail={"time": time}))


def tables(store: Store) -> dict[str, int]:
    """Return the tables of the record that have events, and how many."""
    sql = "SELECT tableoid::regclass::text, COUNT(*) FROM ormco_events GROUP BY 1"
    return dict(store.database.all(sql, ()))


def months(store: Store) -> list[str]:
    sql = "SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1"
    return [row[0].removeprefix("ormco_events_") for row in store.database.all(sql, ())]


def test_each_month_has_a_table(store: Store) -> None:
    """Events go to the table of their month, and are read in their order from all of them."""
    times = ["2026-03-31T23:59:59.9", "2026-04-01", "2026-04-30", "2025-12-31", "2026-03-01"]
    append(store, *times)
    assert tables(store) == {"ormco_events_2025_12": 1, "ormco_events_2026_03": 2, "ormco_events_2026_04": 2}
    found = store.audit.events()
    assert [event.detail["time"] for event in found] == times
    assert store.audit.events(after=found[2].sequence) == found[3:]
    assert store.audit.events(last=True, limit=2) == found[3:]
    assert store.audit.events(practice_id="p", since=datetime(2026, 4, 1, tzinfo=UTC)) == found[1:3]


@pytest.mark.parametrize("time", ["2019-12-31", "2106-02-08"])
def test_an_event_without_a_month_is_kept(store: Store, time: str) -> None:
    """A clock that is wrong by years makes no table, and loses no event."""
    append(store, time)
    assert tables(store) == {"ormco_events": 1}
    assert [event.detail["time"] for event in store.audit.events()] == [time]


def test_an_event_is_stored_once(store: Store) -> None:
    """An event that is written again after a lost response is stored once, in any table."""
    append(store, "2026-04-01", "2019-04-01")
    again = (
        "INSERT INTO ormco_events (sequence, nonce, at, kind, outcome, actor, detail) "
        "SELECT 100 + sequence, nonce, at, kind, outcome, actor, detail FROM ormco_events "
        "ON CONFLICT (nonce) DO NOTHING"
    )
    store.database.apply([(again, ())])
    assert len(store.audit.events()) == 2


def test_prune_drops_whole_months(store: Store) -> None:
    """A month that is pruned as a whole is dropped, of another the old events are deleted."""
    append(store, "2026-02-03", "2026-02-04", "2026-03-05", "2026-03-20", "2026-04-07", "2019-01-01")
    assert store.audit.prune(datetime(2026, 3, 15, tzinfo=UTC)) == 4
    assert months(store) == ["2026_03", "2026_04", "2026_11"]
    found = store.audit.events()
    assert [event.detail.get("time") for event in found] == ["2026-03-20", "2026-04-07", None]
    assert found[-1].detail["deleted"] == "4"


@pytest.mark.parametrize(
    "change", ["DELETE FROM {}", "UPDATE {} SET actor = 'x'", "UPDATE {} SET sequence = 9"]
)
@pytest.mark.parametrize("table", ["ormco_events", "ormco_events_2026_04"])
def test_a_month_is_append_only(store: Store, change: str, table: str) -> None:
    """No table of the record can be changed."""
    append(store, "2026-04-01")
    before = store.audit.events()
    with pytest.raises(StoreUnavailableError, match="append-only"):
        store.database.apply([(change.format(table), ())])
    assert store.audit.events() == before


def test_forgetting_reaches_every_month(store: Store) -> None:
    """The details of a forgotten practice are gone from all tables."""
    append(store, "2026-04-01", "2026-05-01")
    store.forget("p", Event(at=NOW, kind="forget", outcome="ok", practice_id="p"))
    assert [dict(event.detail) for event in store.audit.events()] == [{}, {}, {}]


def test_a_role_that_may_not_make_tables(store: Store, url: str) -> None:
    """A program whose role can only read and write has months too, and can prune them."""
    database = url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE writer_{database} LOGIN".encode())
        admin.execute(b"REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        grants = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        admin.execute(f"GRANT {grants} TO writer_{database}".encode())
    writer = store_at(url.replace("ormco@", f"writer_{database}@"))
    append(writer, "2026-04-01", "2026-05-01")
    assert months(writer) == ["2026_04", "2026_05"]
    assert writer.audit.events() == store.audit.events()
    assert writer.audit.prune(datetime(2026, 5, 1, tzinfo=UTC)) == 1
    assert months(store) == ["2026_05", "2026_11"]


def test_a_reader_does_not_hold_up_a_prune_for_ever(store: Store, url: str) -> None:
    """A month that is being read is not waited for; its events are deleted one by one."""
    append(store, "2026-02-03", "2026-04-07")
    with psycopg.connect(url) as reader:
        reader.execute(b"SELECT * FROM ormco_events").fetchall()
        assert store.audit.prune(datetime(2026, 3, 1, tzinfo=UTC)) == 1
    assert tables(store)["ormco_events_2026_04"] == 1
    assert store.audit.prune(datetime(2026, 3, 1, tzinfo=UTC)) == 0
    assert "2026_02" not in months(store)


@pytest.mark.parametrize("kind", ["postgresql", "pgbouncer"])
def test_an_upgrade_moves_nothing(kind: str, tmp_path: Path) -> None:
    """Events from before an upgrade are not moved; they are read, numbered and pruned with later ones."""
    store = store_at(old_store(kind, tmp_path), clock=ManualClock(MADE_AT))
    before = store.audit.events()
    append(store, "2026-11-25")
    assert tables(store) == {"ormco_events": len(before), "ormco_events_2026_11": 1}
    after = store.audit.events()
    assert after[:-1] == before
    assert after[-1].sequence > before[-1].sequence
    assert store.audit.prune(datetime(2026, 11, 24, tzinfo=UTC)) == len(before)


def test_months_of_a_schema_of_its_own(url: str) -> None:
    """The months are in the schema of the record, whatever the search path of a program."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(b"CREATE SCHEMA tenant")
    store = store_at(f"{url}&schema=tenant")
    append(store, "2026-04-01")
    assert months(store) == ["2026_04"]
    sql = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'ormco_events_2026_04'"
    assert store.database.all(sql, ()) == [("tenant",)]
    assert store.audit.prune(datetime(2026, 5, 1, tzinfo=UTC)) == 1
    assert months(store) == ["2026_11"]
