"""Refreshes in the background: of which rows, how many at a time, and until when."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from connector.errors import ProviderUnavailableError
from connector.refresh.background import BackgroundRefresh
from connector.store.columns import FromNow
from connector.store.row import Row
from connector.store.store import Store
from tests.support.stores import fresh_url, put, store_at, token_set


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_at(fresh_url("sqlite", tmp_path))


def closed(background: BackgroundRefresh) -> bool:
    """Close it; return whether the last refresh has ended within a time."""
    ended = threading.Event()
    background.close(ended.set)
    return ended.wait(20)


def test_rows_that_cannot_be_refreshed_now_are_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row without a refresh token, one that waits, one of another process, all while Python is ending."""
    refreshed: list[str] = []
    background = BackgroundRefresh(lambda row: refreshed.append(row.practice_id))
    leased = store.leases.claim(put(store, "leased"), 60.0)
    assert leased is not None
    bare = put(store, "bare", tokens=replace(token_set("bare"), refresh_token=None))
    for row in (leased, bare, put(store, "waits", retry_at=FromNow(60)), put(store, "p")):
        background.submit(row)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", Mock(side_effect=RuntimeError))
    background.submit(put(store, "late"))
    assert closed(background)
    assert refreshed == ["p"]


def test_a_practice_is_refreshed_once_at_a_time(store: Store) -> None:
    """Closing waits for no refresh, starts none, and says when the last one has ended, or at once."""
    go, begun, ended = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    refreshed: list[str] = []

    def refresh(row: Row) -> None:
        refreshed.append(row.practice_id)
        begun.release()
        assert go.acquire(timeout=20)

    background = BackgroundRefresh(refresh)
    rows = [put(store, name) for name in ("p", "q")]
    for row in (*rows, *rows):
        background.submit(row)
    assert begun.acquire(timeout=20)
    assert begun.acquire(timeout=20)
    background.close(ended.set)
    go.release()
    assert not ended.wait(0.2)
    go.release()
    assert ended.wait(20)
    background.submit(rows[0])
    assert closed(background)
    assert sorted(refreshed) == ["p", "q"]


def test_failures_are_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """With practice and kind, as ERROR from the third in a row on; a success ends the row."""
    down, row, give_up = ProviderUnavailableError("503"), put(store, "p"), time.monotonic() + 20
    outcomes: list[Exception | None] = [ValueError("made-up"), None, down, down, down]

    def refresh(row: Row) -> None:
        if (error := outcomes.pop()) is not None:
            raise error

    background = BackgroundRefresh(refresh)
    while outcomes and time.monotonic() < give_up:
        background.submit(row)  # ignored until the last one has ended
        time.sleep(0.005)
    assert closed(background)
    failures = [record for record in caplog.records if "ahead of time" in record.message]
    assert [(each.levelname, each.practice_id, each.kind) for each in failures] == [  # type: ignore[attr-defined]
        ("WARNING", "p", "provider_unavailable"),
        ("WARNING", "p", "provider_unavailable"),
        ("ERROR", "p", "provider_unavailable"),
        ("WARNING", "p", "unexpected"),
    ]
    assert failures[0].message.endswith(": 503")
    assert failures[3].message.endswith(": ValueError")
