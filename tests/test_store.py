"""The contract that every store keeps."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.clock import Clock
from connector.connection import Account, AccountPolicy, Event, LabConnection
from connector.errors import SettingError, StoreLockedError, StoreUnavailableError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.store.columns import FromNow
from connector.store.held_token import check_practice_id
from connector.store.owners import hold_lease, this_process
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.stores import KINDS, put, put_unverified, row_of, store_at, token_set, value_of
from tests.support.threads import at_once

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


pytestmark = pytest.mark.parametrize("url", KINDS, indirect=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(url: str, clock: ManualClock) -> Store:
    return store_at(url, clock=clock)


def event(kind: str, practice_id: str | None = None, **detail: str) -> Event:
    return Event(at=NOW, kind=kind, outcome="ok", practice_id=practice_id, detail=detail)


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
    """Every read of an empty store works without creating anything."""
    assert store.grants.rows("p").all == []
    assert store.connection("p") is None
    assert list(store.overview.connections()) == []
    assert store.audit.events() == []
    assert store.leases.find_due(900) == []
    assert store.overview.summary().states == {}


@pytest.mark.parametrize("practice_id", HOSTILE)
def test_put_round_trip(store: Store, practice_id: str) -> None:
    """A connection is read as it was stored, whatever the practice id."""
    account = Account(id="u-1", email="dr@example.invalid", name="Dr. Müller", region="europe")
    tokens = replace(token_set("p", clock=store.clock), scope="api offline_access")
    put(store, practice_id, tokens=tokens, account=account, lab_state="active", lab_email="lab@x")
    connection = store.existing(practice_id)
    assert connection.practice_id == practice_id
    assert (connection.account, connection.scope) == (account, "api offline_access")
    assert connection.lab == LabConnection(state="active", email="lab@x")
    assert connection.expires_at is not None
    assert connection.refreshed_at is not None
    assert connection.expires_at - connection.refreshed_at == timedelta(hours=1)
    assert value_of(store, practice_id) == ("at-p-0", "rt-p-0")


def test_put_keeps_secrets_sealed(url: str, store: Store, tmp_path: Path) -> None:
    """No token is in the database in a form that can be read."""
    put(store, "practice-42")
    put_unverified(store, "practice-43", policy=AccountPolicy(expected_account="dr@example.invalid"))
    store.requests.put(request_for("practice-42", "state-9"))
    rows = store.database.all(
        "SELECT access_sealed, refresh_sealed, policy_sealed FROM ormco_connections", ()
    )
    rows += store.database.all("SELECT sealed, state_digest FROM ormco_requests", ())
    text = repr(rows).encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("store.db*"))
    for secret in (b"at-practice-42-0", b"rt-practice-43-0", b"state-9", b"verifier-1", b"dr@example"):
        assert secret not in text


@pytest.mark.parametrize("practice_id", ["", "a\nb", "a\0b", "\ud800", "a" * 201, "zero\u200bwidth", " a"])
def test_ids_that_cannot_be_printed(store: Store, practice_id: str) -> None:
    """An id that is empty, endless or not printable is refused, and asking for it finds nothing."""
    with pytest.raises(SettingError):
        check_practice_id(practice_id)
    assert store.grants.rows(practice_id).all == []
    assert store.connection(practice_id) is None


def test_event_that_cannot_be_stored(store: Store) -> None:
    """An event that cannot be stored keeps the change it belongs to out as well."""
    row = put(store, "p")
    impossible = replace(event("refresh", "p"), kind=None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError):
        store.grants.change(row, {"failures": 1}, [event("refresh", "p"), impossible])
    assert row_of(store, "p").version == row.version
    assert store.audit.events() == []


def test_connections_in_order(store: Store) -> None:
    """All connections are listed by practice id, over any number of pages, or those that need attention."""
    for name in ("b", "a", "Z", "é"):
        put(store, name)
    put_unverified(store, "b")
    put(store, "c", state="needs_repair")
    assert [found.practice_id for found in store.overview.connections()] == ["Z", "a", "b", "c", "é"]
    assert [found.practice_id for found in store.overview.connections(needs_attention=True)] == ["b", "c"]


@pytest.mark.parametrize(
    ("columns", "needs"),
    [
        ({"state": "degraded"}, False),
        ({"state": "degraded", "since": FromNow(-3599)}, False),
        ({"state": "degraded", "since": FromNow(-3601)}, True),
        ({"state": "degraded", "expires_at": FromNow(-1)}, True),
        ({"state": "revoking"}, True),
        ({"state": "needs_repair"}, True),
        ({"state": "revoked"}, False),
        ({"state": "connected", "expires_at": FromNow(-1)}, False),
    ],
)
def test_connections_that_need_attention(store: Store, columns: dict[str, Any], needs: bool) -> None:
    """A connection that is broken, unfinished, or failing for an hour or without a token needs attention."""
    put(store, "p", **columns)
    assert [found.practice_id for found in store.overview.connections(needs_attention=True)] == ["p"] * needs
    assert store.overview.summary().needs_attention == needs


def test_connections_need_no_key(url: str, store: Store) -> None:
    """Status is shown without the sealing key."""
    put(store, "p")
    keyless = store_at(url, keys=None)
    assert keyless.connection("p") == store.connection("p")
    assert len(list(keyless.overview.connections())) == 1
    assert keyless.overview.summary().states == {"connected": 1}


def test_due_most_urgent_first(store: Store) -> None:
    """A token that ends soon is due; one that cannot be renewed, is dead or is in a backoff is not."""
    for name, age in (("later", 3000), ("late", 3500), ("dead", 3400), ("waits", 3400), ("ended", 4000)):
        put(store, name, age=age)
    store.grants.change(row_of(store, "dead"), {"state": "needs_repair", "due_at": None})
    store.grants.change(row_of(store, "waits"), {"retry_at": FromNow(30), "failures": 2})
    put(store, "not renewable", tokens=replace(token_set("n", age=3500), refresh_token=None))
    assert [found.practice_id for found in store.leases.find_due(900)] == ["ended", "late", "later"]
    store.grants.change(row_of(store, "waits"), {"retry_at": FromNow(-1)})
    assert [(found.practice_id, found.has_failed) for found in store.leases.find_due(300)][1:] == [
        ("late", False),
        ("waits", True),
    ]
    assert store.overview.summary().overdue == 1
    assert 399 < store.overview.summary().lag < 460


def test_due_of_tokens_that_live_for_weeks(store: Store) -> None:
    """A token with a stated lifetime over a day is due again within an hour."""
    put(store, "p", age=1900, lifetime=3_600_000)
    put(store, "q", age=1900, lifetime=80_000)
    assert store.leases.find_due(1690) == []
    assert [found.practice_id for found in store.leases.find_due(1710)] == ["p"]


def test_due_after_half_of_the_lifetime(store: Store) -> None:
    """A token that was just refreshed is not due, however long the time; the limit is kept."""
    put(store, "young", age=1700)
    for name in ("first", "second"):
        put(store, name, age=1900)
    assert [found.practice_id for found in store.leases.find_due(86_400)] == ["first", "second"]
    assert store.leases.count_due(86_400) == 2
    assert [found.practice_id for found in store.leases.find_due(86_400, limit=1)] == ["first"]
    assert store.leases.find_due(86_400, before=store.overview.database_time() - 2000) == []


def test_due_at_once_if_a_clock_was_wrong(store: Store) -> None:
    """A token with times in the future is due, as is one whose next attempt would be in years."""
    put(store, "p", refreshed_at=FromNow(1e9), expires_at=FromNow(1.1e9), due_at=FromNow(1.1e9))
    put(store, "q", age=3500, retry_at=FromNow(1e9))
    assert {found.practice_id for found in store.leases.find_due(900)} == {"p", "q"}


def test_a_refresh_that_fails_is_no_lag(store: Store) -> None:
    """A token that cannot be refreshed does not count as lag."""
    put(store, "p", age=4000, failures=3)
    assert (store.overview.summary().overdue, store.overview.summary().lag) == (0, 0.0)


def test_events_in_order(store: Store) -> None:
    """The record is read in order, from any point, for one practice or all, from either end."""
    for number in range(5):
        store.audit.append(event("begin", f"p{number % 2}", number=str(number)))
    found = store.audit.events()
    assert [entry.detail["number"] for entry in found] == list("01234")
    assert found[0].actor == "tests"
    assert store.audit.events(after=found[2].sequence) == found[3:]
    assert store.audit.events(practice_id="p1", limit=1) == [found[1]]
    assert store.audit.events(last=True, limit=2) == found[3:]


@pytest.mark.parametrize("change", ["DELETE FROM ormco_events", "UPDATE ormco_events SET actor = 'nobody'"])
def test_events_stay(store: Store, change: str) -> None:
    """The audit record cannot be changed, not even by a user of the database."""
    store.audit.append(event("begin", "p"))
    before = store.audit.events()
    with pytest.raises(StoreUnavailableError, match="append-only"):
        store.database.apply([(change, ())])
    assert store.audit.events() == before


def test_delete_keeps_the_events_without_details(store: Store) -> None:
    """Forgetting a practice keeps its events without details, and nothing else."""
    put(store, "p")
    store.requests.put(request_for("p", "state-1"))
    store.audit.append(event("complete", "p", email="dr@example.invalid"))
    store.forget("p", event("forget", "p"))
    assert store.connection("p") is None
    assert store.requests.find("state-1") is None
    assert [(entry.kind, dict(entry.detail)) for entry in store.audit.events()] == [
        ("complete", {}),
        ("forget", {}),
    ]


def test_subscribers_get_the_stored_events(store: Store) -> None:
    """Subscribers get each event once it is stored, as readers get it, and may use the store themselves.

    An error of one affects no other.
    """
    heard: list[Event] = []

    def hear(entry: Event) -> None:
        heard.append(entry)
        if entry.kind == "begin":
            store.audit.append(event("lab", "p"))

    store.audit.subscribe(lambda entry: 1 / 0)
    end = store.audit.subscribe(hear)
    store.audit.append(event("begin", "p"))
    put(store, "p", events=(event("complete", "p"),))
    end()
    store.audit.append(event("forget", "p"))
    assert sorted(heard, key=lambda entry: entry.sequence) == store.audit.events()[:3]
    assert [entry.kind for entry in heard[-1:]] == ["complete"]


def test_request_is_taken_once(store: Store) -> None:
    """A request is found by its state until it was taken."""
    request = request_for("p", "state-1")
    store.requests.put(request)
    assert store.requests.find("state-1") == request
    assert store.requests.open_for("p") == [request]
    assert store.requests.take("state-1") is True
    assert store.requests.take("state-1") is False
    assert store.requests.find("state-1") is None
    assert store.requests.open_for("p") == []
    assert store.requests.take("never heard of") is False


def test_requests_expire_and_are_deleted(store: Store, clock: ManualClock) -> None:
    """A dead request can still be distinguished from an unknown one for a while, and is then gone."""
    store.requests.put(request_for("p", "state-1"))
    clock.advance(601)
    assert store.requests.open_for("p") == []
    assert store.requests.find("state-1") is not None
    clock.advance(3600)
    store.requests.put(request_for("p", "state-2", clock.utc_now()))
    assert store.requests.find("state-1") is None


def test_spend_code_once(store: Store, clock: ManualClock) -> None:
    """A code is spent once, by one of many; the record is kept longer than any code is valid."""
    winners = at_once(8, lambda number: store.requests.spend_code("KY-s!IAAA"))
    assert sorted(winners) == [False] * 7 + [True]
    clock.advance(86400)
    assert store.requests.spend_code("another") is True
    assert store.requests.spend_code("KY-s!IAAA") is False
    clock.advance(8 * 86400)
    store.requests.spend_code("a third")
    assert store.database.all("SELECT COUNT(*) FROM ormco_spent_codes", ()) == [(1,)]


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

    def work(number: int) -> None:
        name = f"p{number}"
        put(store, name, events=(event("complete", name),))
        for failures in range(1, 11):
            assert store.grants.change(row_of(store, name), {"failures": failures})
            assert row_of(store, name).failures == failures

    at_once(16, work)
    assert [row_of(store, f"p{number}").failures for number in range(16)] == [10] * 16
    assert [found.sequence for found in store.audit.events()] == list(range(1, 17))


def test_lease_is_for_one_process(store: Store, url: str, clock: ManualClock) -> None:
    """A lease that one process has is refused to the others until it is given back or has ended."""
    other = store_at(url, clock=clock)
    with hold_lease(store.database, "something", 60):
        with pytest.raises(StoreLockedError, match="something"), hold_lease(other.database, "something", 60):
            pass
        with hold_lease(other.database, "something else", -1):
            with hold_lease(other.database, "something else", 60):
                pass
    with hold_lease(other.database, "something", 60):
        pass


@pytest.mark.parametrize(("process", "ends"), [("999999999 1", True), ("{pid} {started}", False)])
def test_lease_ends_with_its_process(store: Store, process: str, ends: bool) -> None:
    """A lease of a process that has ended on this machine is free; that of one that runs is not."""
    host, pid, started = this_process().rsplit(" ", 2)
    owner = f"{host} {process.format(pid=pid, started=started)} 0123456789abcdef"
    sql = "INSERT INTO ormco_leases (name, owner, until) VALUES ('something', ?, 9e9)"
    store.database.apply([(sql, (owner,))])
    with nullcontext() if ends else pytest.raises(StoreLockedError):
        with hold_lease(store.database, "something", 60):
            pass


def test_prune_deletes_old_events(store: Store) -> None:
    """Old events can be deleted by pruning only; the record has an event of it, and continues."""
    for number in range(4):
        store.audit.append(replace(event("begin", f"p{number}"), at=NOW + timedelta(days=number)))
    last = store.audit.events()[-1].sequence
    assert store.audit.prune(NOW + timedelta(days=2)) == 2
    found = store.audit.events()
    assert [entry.kind for entry in found] == ["begin", "begin", "audit"]
    assert found[-1].detail["deleted"] == "2"
    assert found[-1].sequence > last
    with pytest.raises(StoreUnavailableError, match="append-only"):
        store.database.apply([("DELETE FROM ormco_events", ())])
    assert store.audit.events(since=NOW + timedelta(days=3)) == found[1:2]
