"""All connections at a glance: who comes first, and what a text finds."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from connector.connection import Account, ConnectionState, Event
from connector.store.store import Store
from tests.support.stores import put, put_unverified, store_at

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def account(practice_id: str, name: str = "") -> Account:
    return Account(id=f"id of {practice_id}", email=f"desk@{practice_id}.test", name=name or None)


def event(practice_id: str, kind: str = "complete") -> Event:
    return Event(at=NOW, kind=kind, outcome="ok", practice_id=practice_id)


def found(store: Store, text: str = "", limit: int = 100) -> list[str]:
    return [connection.practice_id for connection in store.overview.search(text, limit=limit)]


def test_search_shows_practices_that_need_attention_first(store: Store) -> None:
    """A sound connection with a new account waiting needs attention too, is listed once, and says why."""
    for name in ("a", "b", "c", "d"):
        put(store, name, account=account(name))
    put_unverified(store, "c", reason="account_unconfirmed")
    put_unverified(store, "e", reason="account_unread")
    put(store, "d", state="needs_repair", account=account("d"))
    assert found(store) == ["c", "d", "e", "a", "b"]
    assert found(store, ".TEST") == ["c", "d", "a", "b"]
    assert found(store, limit=4) == ["c", "d", "e", "a"]
    waiting = store.connection("c")
    assert waiting is not None
    assert (waiting.state, waiting.reason) == (ConnectionState.CONNECTED, "account_unconfirmed")
    assert list(store.overview.search("", limit=1)) == [waiting]
    assert waiting in list(store.overview.connections())


PARTS = ["ACTICE-4", "desk@practice-42", "müller", "MU\u0308LLER & SÖHNE", "straße", "50%", " praxis "]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        *((part, ["practice-42"]) for part in PARTS),
        *((other, []) for other in ("zzz", "\0", "42\n\0other", "r_o")),
    ],
)
def test_search_finds_parts_whatever_their_case(store: Store, text: str, names: list[str]) -> None:
    """Of the id, the account's address and its name; in any language, and with no sign that means another."""
    put(store, "practice-42", account=account("practice-42", "Praxis MÜLLER & Söhne, STRASSE 50%"))
    put(store, "other one", account=account("other-one"))
    assert found(store, text) == names
    assert found(store, "%") == ["practice-42"]


def test_search_finds_changes_of_another_process(store: Store, url: str) -> None:
    """New, renamed and forgotten practices, at once; what is not changed is not read again."""
    put(store, "first", account=account("first"), events=(event("first"),))
    other = store_at(url)
    assert found(other, "first") == ["first"]
    put(store, "second", account=account("second"), events=(event("second"),))
    put(store, "first", account=account("first", "Renamed"), events=(event("first"),))
    assert found(other, "renamed") == ["first"]
    assert found(other, "second") == ["second"]
    store.forget("first", event("first", "forget"))
    assert found(other) == ["second"]


def test_search_after_many_changes(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More changes than are worth reading one by one are found as well."""
    monkeypatch.setattr("connector.store.overview._READ_ALONE", 10)
    other = store_at(url)
    assert found(other) == []
    for number in range(20):
        put(store, f"p{number}", events=(event(f"p{number}"),))
    assert len(found(other, "p", limit=1000)) == 20


def test_summary_counts_the_listed_practices(store: Store) -> None:
    """Each practice is counted once, in its displayed state; also one whose first grant is unverified."""
    for name in ("a", "b"):
        put(store, name)
    put_unverified(store, "b", reason="account_unconfirmed")
    put_unverified(store, "c", reason="account_unconfirmed")
    summary = store.overview.summary()
    assert summary.states == Counter(str(each.state) for each in store.overview.connections())
    assert (summary.states, summary.needs_attention) == ({"connected": 2, "degraded": 1}, 2)
