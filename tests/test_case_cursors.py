"""How far a watch has come, kept alike by every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connector.connection import Event
from connector.store.cursors import WatchCursor, WatchedCase
from tests.support.stores import fresh_url, grant_for, store_at

NOW = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC)
CURSOR = WatchCursor(began_at=NOW, read_from=NOW)
CASE = WatchedCase(
    case_id="c-1", version=3, state="Designed", state_flag=None, designs="d" * 32, standing="rejected"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return fresh_url(request.param, tmp_path)


@pytest.fixture
def store(url):
    store = store_at(url)
    yield store
    store.close()


def test_watch_that_never_began(store):
    """A store in which nothing was ever followed has no cursor, whether or not it exists."""
    assert store.watch_cursor("default", "maple") is None
    assert store.watched_case("default", "maple", "c-1") is None


def test_cursor_is_kept(store, url):
    """What was put is there for the next process, and the later one counts."""
    store.put_watch_cursor("default", "Zahnärzte & Söhne", CURSOR)
    later = replace(CURSOR, read_from=NOW + timedelta(hours=1))
    store.put_watch_cursor("default", "Zahnärzte & Söhne", later)
    other = store_at(url)
    assert other.watch_cursor("default", "Zahnärzte & Söhne") == later
    other.close()


def test_names_and_practices_are_apart(store):
    """Each watch of its own name has its own cursor for each practice."""
    store.put_watch_cursor("erp", "maple", CURSOR)
    store.put_watched_case("erp", "maple", CASE)
    for name, practice_id in (("mail", "maple"), ("erp", "linden")):
        assert store.watch_cursor(name, practice_id) is None
        assert store.watched_case(name, practice_id, "c-1") is None


def test_case_never_goes_back(store):
    """A version that comes late, from a slower process, changes nothing."""
    store.put_watched_case("default", "maple", CASE)
    store.put_watched_case("default", "maple", replace(CASE, version=2, standing="sent"))
    assert store.watched_case("default", "maple", "c-1") == CASE
    newer = replace(CASE, version=4, state_flag="Approved", standing="approved")
    store.put_watched_case("default", "maple", newer)
    assert store.watched_case("default", "maple", "c-1") == newer


def test_forgetting_a_practice_forgets_its_cursors(store):
    """What is deleted of a practice includes how far it was followed; the others stay."""
    for practice_id in ("maple", "linden"):
        store.put(grant_for(practice_id), expected_generation=None)
        store.put_watch_cursor("default", practice_id, CURSOR)
        store.put_watched_case("default", practice_id, CASE)
    store.delete("maple", Event(at=NOW, kind="forget", outcome="ok", practice_id="maple"))
    assert store.watch_cursor("default", "maple") is None
    assert store.watched_case("default", "maple", "c-1") is None
    assert store.watch_cursor("default", "linden") == CURSOR
