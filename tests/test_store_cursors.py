"""The positions of watches, the same in both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.connection import Event
from connector.store.cursors import WatchCursor, WatchedCase
from connector.store.store import Store
from tests.support.stores import put, store_at

NOW = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC)
CURSOR = WatchCursor(began_at=NOW, read_from=NOW)
CASE = WatchedCase(
    case_id="c-1", version=3, state="Designed", state_flag=None, designs="d" * 32, standing="rejected"
)


def test_watch_that_never_began(store: Store) -> None:
    """A store in which nothing was ever followed has no cursor, whether or not it exists."""
    assert store.watches.cursor("default", "maple") is None
    assert store.watches.cases("default", "maple", ["c-1"]) == {}


def test_cursor_is_kept(store: Store, url: str) -> None:
    """A cursor is kept for the next process, and a later one replaces it."""
    store.watches.put_cursor("default", "Zahnärzte & Söhne", CURSOR)
    later = replace(CURSOR, read_from=NOW + timedelta(hours=1))
    store.watches.put_cursor("default", "Zahnärzte & Söhne", later)
    other = store_at(url)
    assert other.watches.cursor("default", "Zahnärzte & Söhne") == later


def test_names_and_practices_are_apart(store: Store) -> None:
    """Each watch of its own name has its own cursor for each practice."""
    store.watches.put_cursor("erp", "maple", CURSOR)
    store.watches.put_case("erp", "maple", CASE)
    for name, practice_id in (("mail", "maple"), ("erp", "linden")):
        assert store.watches.cursor(name, practice_id) is None
        assert store.watches.cases(name, practice_id, ["c-1"]) == {}


def test_case_never_goes_back(store: Store) -> None:
    """A late, lower version of a slower process changes nothing."""
    store.watches.put_case("default", "maple", CASE)
    store.watches.put_case("default", "maple", replace(CASE, version=2, standing="sent"))
    assert store.watches.cases("default", "maple", ["c-1", "c-2"]) == {"c-1": CASE}
    newer = replace(CASE, version=4, state_flag="Approved", standing="approved")
    store.watches.put_case("default", "maple", newer)
    assert store.watches.cases("default", "maple", ["c-1", "c-2"]) == {"c-1": newer}


def test_forgetting_a_practice_forgets_its_cursors(store: Store) -> None:
    """Forgetting a practice deletes its cursors; those of others stay."""
    for practice_id in ("maple", "linden"):
        put(store, practice_id)
        store.watches.put_cursor("default", practice_id, CURSOR)
        store.watches.put_case("default", practice_id, CASE)
    store.forget("maple", Event(at=NOW, kind="forget", outcome="ok", practice_id="maple"))
    assert store.watches.cursor("default", "maple") is None
    assert store.watches.cases("default", "maple", ["c-1"]) == {}
    assert store.watches.cursor("default", "linden") == CURSOR


def test_version_without_a_number_replaces_the_last(store: Store) -> None:
    """A case whose versions have no number is kept with its newest content."""
    first = replace(CASE, version=0, content="a" * 32)
    store.watches.put_case("default", "maple", first)
    store.watches.put_case("default", "maple", replace(first, content="b" * 32))
    (known,) = store.watches.cases("default", "maple", ["c-1"]).values()
    assert known.content == "b" * 32


def test_prune_forgets_by_age(store: Store) -> None:
    """Cases are forgotten by the time at which they were last delivered; their cursor stays."""
    store.watches.put_cursor("default", "maple", CURSOR)
    store.watches.put_case("default", "maple", CASE)
    assert store.watches.prune("default", 3600.0) == 0
    assert store.watches.prune("default", -3600.0) == 1
    assert store.watches.cases("default", "maple", ["c-1"]) == {}
    assert store.watches.cursor("default", "maple") == CURSOR


@pytest.mark.parametrize(("names", "left"), [(None, []), (("maple",), ["linden"])])
def test_reset_lets_a_watch_start_again(store: Store, names: Any, left: Any) -> None:
    """A watch is forgotten of the practices that are named, or of all; other watches stay."""
    for practice_id in ("maple", "linden"):
        for watch in ("default", "other"):
            store.watches.put_cursor(watch, practice_id, CURSOR)
            store.watches.put_case(watch, practice_id, CASE)
    store.watches.reset("default", names)
    assert [name for name in ("maple", "linden") if store.watches.cursor("default", name)] == left
    assert store.watches.cursor("other", "maple") == CURSOR


def test_many_cases_are_read_at_once(store: Store) -> None:
    """More cases than fit into one statement are found too."""
    store.watches.put_case("default", "maple", CASE)
    asked = [f"x-{number}" for number in range(2_500)] + ["c-1"]
    assert list(store.watches.cases("default", "maple", asked)) == ["c-1"]
