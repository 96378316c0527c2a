"""The contract that every store keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector.clock import Clock
from connector.connection import Account, ConnectionState, Event, Grant, LabConnection, UnprovenGrant
from connector.errors import SettingError, StoreUnavailableError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.store import FencedError, Store
from tests.support.clock import ManualClock
from tests.support.stores import fresh_url, grant_for, store_at

NOW = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC)
HOSTILE = [
    "practice'; DROP TABLE ormco_connections; --",
    'a"b',
    "%s ?",
    "Zahnärzte & Söhne",
    "歯科",
    "a b",
    "🦷",
    "A" * 200,
]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_url(request.param, tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(url: str, clock: ManualClock) -> Iterator[Store]:
    store = store_at(url, clock=clock)
    yield store
    store.close()


def event(kind: str, practice_id: str | None = None, **detail: str) -> Event:
    return Event(at=NOW, kind=kind, outcome="ok", practice_id=practice_id, detail=detail)


def put_new(store: Store, practice_id: str, **changes: object) -> Grant:
    return store.put(replace(grant_for(practice_id, now=NOW), **changes), expected_generation=None)


def request_for(practice_id: str, state: str, created_at: datetime = NOW) -> AuthorizationRequest:
    return AuthorizationRequest(
        practice_id=practice_id,
        provider="test",
        url="https://provider.invalid/authorize",
        state=state,
        nonce="nonce-1",
        code_verifier="verifier-1",
        redirect_uri="https://ormco.com/",
        created_at=created_at,
        expected_account="dr@example.invalid",
    )


def test_get_nothing_stored(store: Store) -> None:
    """An empty store answers every question without making anything."""
    assert store.get("p") is None
    assert store.connection("p") is None
    assert store.access("p") is None
    assert list(store.connections()) == []
    assert store.events() == []
    assert store.due(NOW, 10) == []


@pytest.mark.parametrize("practice_id", HOSTILE)
def test_put_round_trip(store: Store, practice_id: str) -> None:
    """What is stored comes back equal, down to the microsecond, whatever the practice is called."""
    account = Account(id="u-1", email="dr@example.invalid", name="Dr. Müller", region="europe")
    grant = grant_for(practice_id, now=NOW)
    grant = replace(
        grant,
        connection=replace(
            grant.connection, account=account, lab=LabConnection(state="active", email="lab@x")
        ),
        unproven=UnprovenGrant(
            tokens=grant_for("other", now=NOW).tokens, expected_account="dr@example.invalid"
        ),
        failures=3,
        retry_at=NOW + timedelta(seconds=5),
        refresh_sent_at=NOW,
        refresh_owner="host 1 2",
    )
    stored = store.put(grant, expected_generation=None)
    assert store.get(practice_id) == stored
    assert stored == grant
    assert store.connection(practice_id) == grant.connection


def test_put_keeps_secrets_sealed(url: str, store: Store, tmp_path: Path) -> None:
    """No token stands in the database in a form that can be read."""
    put_new(store, "practice-42")
    store.put_request(request_for("practice-42", "state-9"))
    rows = store._all("SELECT access_token, token_rest FROM ormco_connections", ())
    rows += store._all("SELECT sealed, state_digest FROM ormco_requests", ())
    text = repr(rows).encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("store.db*"))
    for secret in (b"at-practice-42-0", b"rt-practice-42-0", b"state-9", b"verifier-1"):
        assert secret not in text


def test_access_reads_only_what_is_needed(store: Store) -> None:
    """The short way to an access token tells what decides whether it may be handed out."""
    put_new(store, "p")
    access = store.access("p")
    assert access is not None
    assert access.token == "at-p-0"
    assert (access.state, access.generation, access.good_until) == ("connected", 1, NOW.timestamp() + 3600)
    assert access.renewable
    assert not access.unproven


@pytest.mark.parametrize("practice_id", ["", "a\nb", "a\0b", "\ud800", "a" * 201, "zero\u200bwidth"])
def test_put_refuses_ids_that_cannot_be_seen(store: Store, practice_id: str) -> None:
    """An id that is empty, endless or not printable is refused, and asking for it finds nothing."""
    with pytest.raises(SettingError):
        put_new(store, practice_id)
    assert store.get(practice_id) is None
    assert store.access(practice_id) is None


def test_put_new_only_once(store: Store) -> None:
    """A connection that must not exist yet is not written over."""
    put_new(store, "p")
    with pytest.raises(FencedError):
        put_new(store, "p", tokens=None)
    assert store.get("p") is not None


def test_put_older_tokens_are_fenced(store: Store) -> None:
    """A writer that started from older tokens than those stored changes nothing."""
    old = put_new(store, "p")
    newer = replace(old, connection=replace(old.connection, token_generation=2))
    stored = store.put(newer, expected_generation=1)
    with pytest.raises(FencedError):
        store.put(newer, expected_generation=1, events=[event("refresh", "p")])
    assert store.get("p") == stored
    assert store.events() == []


def test_put_late_new_tokens_are_saved(store: Store) -> None:
    """A stalled owner that wakes with the newest pair saves it, whatever others made of the old one."""
    read = put_new(store, "p")
    marked = replace(
        read,
        connection=replace(
            read.connection,
            state=ConnectionState.NEEDS_REPAIR,
            reason="answer_lost",
            lab=LabConnection(state="active"),
        ),
    )
    store.put(marked, expected_generation=1)
    late = replace(read, connection=replace(read.connection, token_generation=2))
    store.put(late, expected_generation=1)
    connection = store.connection("p")
    assert connection is not None
    assert (connection.state, connection.token_generation) == (ConnectionState.CONNECTED, 2)
    assert connection.lab == LabConnection(state="active")


def test_put_late_mark_is_fenced(store: Store) -> None:
    """A stalled writer without new tokens does not undo what was recorded meanwhile."""
    read = put_new(store, "p")
    store.put(replace(read, refresh_sent_at=NOW), expected_generation=1)
    with pytest.raises(FencedError):
        store.put(replace(read, failures=1), expected_generation=1)
    stored = store.get("p")
    assert stored is not None
    assert stored.refresh_sent_at == NOW


@pytest.mark.parametrize(
    ("state", "after"), [(ConnectionState.REVOKING, "rt-new"), (ConnectionState.REVOKED, None)]
)
def test_put_late_tokens_after_revoke(store: Store, state: ConnectionState, after: str | None) -> None:
    """A late pair never undoes a revocation; while that is not proved, the pair to revoke is the newest."""
    read = put_new(store, "p")
    tokens = None if state is ConnectionState.REVOKED else read.tokens
    store.put(
        replace(read, connection=replace(read.connection, state=state), tokens=tokens), expected_generation=1
    )
    assert read.tokens is not None
    late = replace(
        read,
        connection=replace(read.connection, token_generation=2),
        tokens=replace(read.tokens, refresh_token="rt-new"),
    )
    if after is None:
        with pytest.raises(FencedError):
            store.put(late, expected_generation=1)
    else:
        store.put(late, expected_generation=1)
    stored = store.get("p")
    assert stored is not None
    assert stored.connection.state is state
    assert (stored.tokens and stored.tokens.refresh_token) == after


def test_put_nothing_comes_back_after_forget(store: Store) -> None:
    """A writer that was held up does not bring a forgotten practice back, not even into its successor."""
    read = put_new(store, "p")
    late = replace(read, connection=replace(read.connection, token_generation=2))
    store.delete("p", event("forget", "p"))
    with pytest.raises(FencedError):
        store.put(late, expected_generation=1)
    again = grant_for("p", now=NOW + timedelta(seconds=1))
    store.put(again, expected_generation=None)
    with pytest.raises(FencedError):
        store.put(late, expected_generation=1)


def test_put_with_events_is_one_transaction(store: Store) -> None:
    """An event that cannot be stored keeps the change it belongs to out as well."""
    read = put_new(store, "p")
    impossible = replace(event("refresh", "p"), kind=None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError):
        store.put(
            replace(read, failures=1), expected_generation=1, events=[event("refresh", "p"), impossible]
        )
    assert store.get("p") == read
    assert store.events() == []


def test_connections_in_order(store: Store) -> None:
    """All connections come by practice id, over any number of pages; attention shows the troubled ones."""
    for name in ("b", "a", "Z", "é"):
        put_new(store, name)
    sick = grant_for("c", now=NOW)
    sick = replace(sick, connection=replace(sick.connection, state=ConnectionState.DEGRADED))
    store.put(sick, expected_generation=None)
    assert [found.practice_id for found in store.connections()] == ["Z", "a", "b", "c", "é"]
    assert [found.practice_id for found in store.connections(needs_attention=True)] == ["c"]


def test_connections_need_no_key(url: str, store: Store) -> None:
    """Status is shown without the sealing key."""
    put_new(store, "p")
    keyless = store_at(url, keys=None)
    assert keyless.connection("p") == store.connection("p")
    assert len(list(keyless.connections())) == 1
    keyless.close()


def test_practices_of_account(store: Store) -> None:
    """The practices behind one account are found."""
    grant = grant_for("p", now=NOW)
    account = Account(id="u-1")
    store.put(replace(grant, connection=replace(grant.connection, account=account)), expected_generation=None)
    assert store.practices_of_account("test", "u-1") == ["p"]
    assert store.practices_of_account("test", "u-2") == []


def test_due_most_urgent_first(store: Store, clock: ManualClock) -> None:
    """What ends soon is due, page by page; what cannot be renewed, is dead or waits for its time is not."""
    for name, age in (("late", 3500), ("later", 3000), ("dead", 3400), ("waits", 3400)):
        grant = grant_for(name, now=NOW, age=age)
        if name == "dead":
            grant = replace(grant, connection=replace(grant.connection, state=ConnectionState.NEEDS_REPAIR))
        if name == "waits":
            grant = replace(grant, retry_at=NOW + timedelta(seconds=30))
        store.put(grant, expected_generation=None)
    before = NOW + timedelta(seconds=900)
    first = store.due(before, 1)
    assert [name for _, name in first] == ["late"]
    assert [name for _, name in store.due(before, 9, after=first[-1])] == ["later"]
    assert store.count_due(before) == 2
    clock.advance(31)
    assert store.count_due(before) == 3


def test_events_in_order(store: Store) -> None:
    """The record is read in order, from any point, for one practice or all, from either end."""
    for number in range(5):
        store.append_event(event("begin", f"p{number % 2}", number=str(number)))
    found = store.events()
    assert [entry.detail["number"] for entry in found] == list("01234")
    assert found[0].actor == "tests"
    assert store.events(after=found[2].sequence) == found[3:]
    assert store.events(practice_id="p1", limit=1) == [found[1]]
    assert store.events(last=True, limit=2) == found[3:]


@pytest.mark.parametrize("change", ["DELETE FROM ormco_events", "UPDATE ormco_events SET actor = 'nobody'"])
def test_events_stay(store: Store, change: str) -> None:
    """The audit record cannot be changed, not even by who has the database."""
    store.append_event(event("begin", "p"))
    before = store.events()
    with pytest.raises(StoreUnavailableError, match="append-only"):
        store._write(lambda execute: execute(change, ()))
    assert store.events() == before


def test_delete_keeps_the_line_without_details(store: Store) -> None:
    """Forgetting a practice leaves that it was there, and nothing else."""
    put_new(store, "p")
    store.put_request(request_for("p", "state-1"))
    store.append_event(event("complete", "p", email="dr@example.invalid"))
    store.delete("p", event("forget", "p"))
    assert store.get("p") is None
    assert store.find_request("state-1") is None
    assert [(entry.kind, dict(entry.detail)) for entry in store.events()] == [
        ("complete", {}),
        ("forget", {}),
    ]


def test_subscribe_hears_what_was_stored(store: Store) -> None:
    """Subscribers hear of each event once it is stored; one that fails disturbs nobody."""
    heard: list[str] = []
    store.subscribe(lambda entry: 1 / 0)
    end = store.subscribe(lambda entry: heard.append(f"{entry.kind} by {entry.actor}"))
    store.append_event(event("begin", "p"))
    store.put(grant_for("p", now=NOW), expected_generation=None, events=[event("complete", "p")])
    end()
    store.append_event(event("lab", "p"))
    assert heard == ["begin by tests", "complete by tests"]


def test_request_is_taken_once(store: Store) -> None:
    """A request is found by its state until somebody has taken it."""
    request = request_for("p", "state-1")
    store.put_request(request)
    assert store.find_request("state-1") == request
    assert store.open_requests("p") == [request]
    assert store.take_request("state-1") is True
    assert store.take_request("state-1") is False
    assert store.find_request("state-1") is None
    assert store.open_requests("p") == []
    assert store.take_request("never heard of") is False


def test_requests_die_and_are_swept(store: Store, clock: ManualClock) -> None:
    """A dead request can still be told from an unknown one for a while, and is then gone."""
    store.put_request(request_for("p", "state-1"))
    clock.advance(601)
    assert store.open_requests("p") == []
    assert store.find_request("state-1") is not None
    clock.advance(3600)
    store.put_request(request_for("p", "state-2", clock.utc_now()))
    assert store.find_request("state-1") is None


def test_spend_code_once(store: Store, clock: ManualClock) -> None:
    """A code is spent once, by one of many; the record outlives any code's life."""
    winners: list[bool] = []
    threads = [
        threading.Thread(target=lambda: winners.append(store.spend_code("KY-s!IAAA"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == [False] * 7 + [True]
    clock.advance(86400)
    assert store.spend_code("another") is True
    assert store.spend_code("KY-s!IAAA") is False
    clock.advance(8 * 86400)
    store.spend_code("a third")
    assert store._all("SELECT COUNT(*) FROM ormco_spent_codes", ()) == [(1,)]


def test_check_leaves_a_usable_store(store: Store) -> None:
    """A store that was checked can be written, and says what it is without a secret."""
    store.check()
    facts = store.facts()
    assert facts["exists"] == "yes"
    assert int(facts["schema_version"]) >= 1
    assert facts["key_source"] == "environment"


def test_many_threads_share_one_store(url: str) -> None:
    """Threads read and write at once without an error, and no write is lost."""
    store = store_at(url, clock=Clock())
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            grant = store.put(grant_for(name), expected_generation=None, events=[event("complete", name)])
            for _ in range(10):
                grant = store.put(replace(grant, failures=grant.failures + 1), expected_generation=1)
                assert store.get(name) == grant
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(f"p{number}",)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [store.get(f"p{number}").failures for number in range(16)] == [10] * 16  # type: ignore[union-attr]
    assert len(store.events()) == 16
    store.close()
