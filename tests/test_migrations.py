"""The schema, from an empty database and from every earlier version."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from connector.errors import StoreUnavailableError
from connector.store import migrations
from connector.store.database import Dialect, Execute
from tests.support.stores import fresh_url, grant_for, store_at


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_url(request.param, tmp_path)


def test_migrate_records_each_step(url: str) -> None:
    """An empty database gets the newest schema, with a record of each step."""
    store = store_at(url)
    store.check()
    rows = store._all("SELECT version FROM ormco_schema ORDER BY version", ())
    assert rows == [(version + 1,) for version in range(len(migrations._STEPS))]
    store.close()


def test_migrate_newer_schema_is_refused(url: str) -> None:
    """A schema from the future is left alone."""
    store = store_at(url)
    store.check()
    store._write(lambda execute: execute("INSERT INTO ormco_schema (version, applied_at) VALUES (99, 0)", ()))
    store.close()
    for attempt in (store.check, lambda: store.get("p")):
        with pytest.raises(StoreUnavailableError, match="newer version"):
            attempt()
    store.close()


def test_migrate_older_schema(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of an earlier version is brought up to date when it is opened, its content kept."""
    store = store_at(url)
    stored = store.put(grant_for("p"), expected_generation=None)
    store.close()

    def m999_note(execute: Execute, dialect: Dialect) -> None:
        execute("ALTER TABLE ormco_connections ADD COLUMN note TEXT", ())

    _with_step(monkeypatch, m999_note)
    assert store.get("p") == stored
    assert store._all("SELECT note FROM ormco_connections", ()) == [(None,)]
    assert store.facts()["schema_version"] == str(len(migrations._STEPS))
    store.close()


def test_migrate_step_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails in its middle is undone as a whole, and runs again the next time."""
    store = store_at(url)
    store.put(grant_for("p"), expected_generation=None)
    store.close()
    failing = [True]

    def m999_note(execute: Execute, dialect: Dialect) -> None:
        execute("ALTER TABLE ormco_connections ADD COLUMN note TEXT", ())
        if failing:
            execute("SELECT * FROM nowhere", ())

    _with_step(monkeypatch, m999_note)
    with pytest.raises(Exception, match="nowhere"):
        store.get("p")
    store.close()
    failing.clear()
    assert store.get("p") is not None
    store.close()


def test_migrate_at_the_same_time(url: str) -> None:
    """Processes that start together make one schema."""
    stores = [store_at(url) for _ in range(6)]
    errors: list[Exception] = []

    def begin(number: int) -> None:
        try:
            stores[number].check()
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for store in stores:
        store.close()


def _with_step(monkeypatch: pytest.MonkeyPatch, step: object) -> None:
    monkeypatch.setattr(migrations, "_STEPS", (*migrations._STEPS, step))
