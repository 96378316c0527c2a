"""A valid access token at any moment, and the right state, wait and words when there is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import pytest

from connector.connection import ConnectionState
from connector.errors import (
    AccountMismatchError,
    AccountUnconfirmedError,
    ConnectionNotFoundError,
    ConnectorError,
    GrantRefusedError,
    NeedsRepairError,
    ProviderUnavailableError,
    RevokedError,
    SettingError,
    StoreDamagedError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.refresh import AccessTokens
from connector.refresh.rotate import Rotator
from connector.store.columns import FromNow
from connector.store.row import UNVERIFIED
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.forks import fork
from tests.support.stores import (
    fresh_url,
    put,
    put_unverified,
    row_of,
    store_at,
    token_set,
    tokens_on,
    value_of,
)
from tests.support.token_server import TokenServer


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Store:
    return store_at(fresh_url("sqlite", tmp_path), clock=clock)


@pytest.fixture
def tokens(store: Store, server: TokenServer) -> Iterator[AccessTokens]:
    tokens = tokens_on(store, server.url)
    yield tokens
    tokens.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until another thread has made a condition true."""
    ends = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)


def kinds(store: Store) -> list[str]:
    return [f"{event.kind}/{event.outcome}" for event in store.audit.events()]


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str, str]]:
    """Return level, practice, kind and text of each log record."""
    return [(each.levelname, each.practice_id, each.kind, each.message) for each in caplog.records]  # type: ignore[attr-defined]


def state_of(store: Store) -> tuple[str, str | None]:
    connection = store.connection("p")
    assert connection is not None
    return connection.state.value, connection.reason


@pytest.mark.parametrize(("state", "warnings"), [("connected", 0), ("degraded", 1)])
def test_valid_token_needs_no_endpoint(
    store: Store, state: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that is valid for long enough comes from the store; no token endpoint is made."""
    put(store, "p", age=3500, state=state)
    endpoint = Mock()
    tokens = AccessTokens(store, Rotator(store, endpoint, store.clock), store.clock, proactive=False)
    assert tokens.access_token("p") == tokens.token("p").value == "at-p-0"
    assert not endpoint.called
    words = "the connection of p is degraded; its access token is still valid"
    assert logged(caplog) == [("WARNING", "p", "degraded", words)] * warnings


def test_ended_token_is_refreshed(
    store: Store, tokens: AccessTokens, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An expired token is replaced; connection, audit record, log and expiry show it."""
    put(store, "p", age=3700)
    with caplog.at_level(logging.INFO, "connector"):
        assert tokens.access_token("p") == "at-p-1"
    assert logged(caplog) == [("INFO", "p", "refresh", "the tokens of p were refreshed")]
    connection = store.connection("p")
    assert connection is not None
    assert connection.expires_at == clock.utc_now() + timedelta(seconds=3600)
    assert connection.token_generation == 2
    assert kinds(store) == []
    assert value_of(store, "p") == ("at-p-1", "rt-p-1")
    row = row_of(store, "p")
    assert (row.refresh_by, row.refresh_sends, row.rejected_generation) == (None, 0, None)


@pytest.mark.parametrize(
    ("age", "min_ttl", "expected"),
    [
        (3530, 60, "at-p-0"),
        (3550, 60, "at-p-1"),
        (3550, 10, "at-p-0"),
        (1700, 3600, "at-p-0"),
        (1900, 3600, "at-p-1"),
    ],
)
def test_min_ttl(store: Store, tokens: AccessTokens, age: float, min_ttl: float, expected: str) -> None:
    """A token is valid for at least `min_ttl` seconds, or half of its lifetime."""
    put(store, "p", age=age)
    assert tokens.access_token("p", min_ttl=min_ttl) == expected


@pytest.mark.parametrize(
    "ask", [AccessTokens.access_token, lambda *args, **kw: AccessTokens.token(*args, **kw).value]
)
def test_min_ttl_of_a_token_in_memory(
    store: Store,
    tokens: AccessTokens,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[..., str],
) -> None:
    """A token in memory is returned with a narrow read every two seconds, also if that read fails."""
    put(store, "p", age=2000)
    assert ask(tokens, "p", min_ttl=10) == "at-p-0"
    clock.advance(2)
    with monkeypatch.context() as unread:
        unread.setattr(store.grants, "rows", Mock(side_effect=AssertionError))
        assert ask(tokens, "p", min_ttl=10) == "at-p-0"
        unread.setattr(store.database, "all", Mock(side_effect=AssertionError))
        assert ask(tokens, "p") == "at-p-0"
    clock.advance(2)
    with monkeypatch.context() as away:
        away.setattr(store.database, "all", reads := Mock(side_effect=StoreUnavailableError("away")))
        assert [ask(tokens, "p") for _ in range(2)] == ["at-p-0"] * 2
        reads.assert_called_once()
        for practice_id, rejected in (("p", "at-p-0"), ("q", None)):
            with pytest.raises(StoreUnavailableError):
                ask(tokens, practice_id, rejected=rejected)
    assert ask(tokens, "p", min_ttl=1700) == "at-p-1"


@pytest.mark.parametrize(
    ("age", "ask"), [(3700, AccessTokens.access_token), (0, partial(AccessTokens.refresh, force=True))]
)
def test_threads_share_one_call(
    store: Store, tokens: AccessTokens, server: TokenServer, age: float, ask: Callable[..., object]
) -> None:
    """Threads that find a token expired, or force its refresh, make one call; none gets it again."""
    server.set(latency=0.2)
    put(store, "p", age=age)
    with ThreadPoolExecutor(16) as pool:
        assert len({*pool.map(partial(ask, tokens), ["p"] * 16)}) == 1
    assert server.counts()["calls"] == 1
    assert tokens.access_token("p") == "at-p-1"


@pytest.mark.parametrize(("lifetime", "later"), [(3600, 3500), (3_600_000, 3601)])
def test_refresh_before_the_expiry(
    store: Store, tokens: AccessTokens, clock: ManualClock, lifetime: float, later: float
) -> None:
    """An unforced refresh replaces a token near its end, or hourly: 3,600,000 may be milliseconds."""
    put(store, "p", lifetime=lifetime)
    assert tokens.refresh("p").token_generation == 1
    clock.advance(later)
    assert tokens.refresh("p").token_generation == 2


def test_unknown_practice(tokens: AccessTokens) -> None:
    """For a practice without a connection the error says what to do first."""
    with pytest.raises(ConnectionNotFoundError) as caught:
        tokens.access_token("p")
    assert caught.value.hint == "Connect the practice first."


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (ConnectionState.NEEDS_REPAIR, NeedsRepairError),
        (ConnectionState.REVOKING, RevokedError),
        (ConnectionState.REVOKED, RevokedError),
        ("unheard-of", StoreDamagedError),
    ],
)
def test_dead_connection_makes_no_call(
    store: Store,
    tokens: AccessTokens,
    server: TokenServer,
    state: str,
    error: type[ConnectorError],
) -> None:
    """A dead connection provides no token and makes no call, however long its token would be valid."""
    put(store, "p", state=str(state))
    for attempt in (lambda: tokens.access_token("p"), lambda: tokens.refresh("p", force=True)):
        with pytest.raises(error, match="p "):
            attempt()
    assert server.counts()["calls"] == 0


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("UPDATE ormco_connections SET state = 'revoked', access_sealed = NULL", RevokedError),
        ("DELETE FROM ormco_connections", ConnectionNotFoundError),
    ],
)
def test_revocation_elsewhere_reaches_the_cache(
    store: Store, tokens: AccessTokens, clock: ManualClock, sql: str, error: type[ConnectorError]
) -> None:
    """A token that another process revoked is in memory for two seconds at most, and then forgotten."""
    put(store, "p")
    tokens.access_token("p")
    store.database.apply([(sql, ())])
    clock.advance(2)
    with pytest.raises(error):
        tokens.access_token("p")
    assert tokens.memory.get("p") is None


@pytest.mark.parametrize(
    ("kind", "outcome", "state", "kept"),
    [
        *((kind, "ok", None, False) for kind in ("adopt", "complete", "forget", "revoke")),
        *(("revoke", "begun", None, False), ("complete", "failed", None, True), ("lab", "ok", None, True)),
        ("refresh", "grant_refused", ConnectionState.NEEDS_REPAIR, False),
        ("refresh", "provider_unavailable", ConnectionState.DEGRADED, True),
    ],
)
def test_replaced_token_is_forgotten(
    store: Store, tokens: AccessTokens, kind: str, outcome: str, state: ConnectionState | None, kept: bool
) -> None:
    """A process does not return a token that it has replaced, or found dead, not even for two seconds."""
    put(store, "p")
    tokens.access_token("p")
    store.audit.append(store.audit.event(kind, outcome, "p", state=state))
    assert (tokens.memory.get("p") is not None) is kept


def test_invalid_grant_is_dead_at_once(
    store: Store, tokens: AccessTokens, server: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """`invalid_grant` ends the connection, with one call and none afterwards."""
    server.set(faults=["400:invalid_grant"])
    put(store, "p", age=3700)
    for _ in range(2):
        with pytest.raises(NeedsRepairError) as caught:
            tokens.access_token("p")
        assert caught.value.hint.startswith("Repair the connection")
    assert server.counts()["calls"] == 1
    assert state_of(store) == ("needs_repair", "grant_refused")
    assert kinds(store) == ["refresh/grant_refused"]
    row = row_of(store, "p")
    assert (row.retry_at, row.due_at, row.refresh_by, row.refresh_sends) == (None, None, None, 0)
    assert [record[:3] for record in logged(caplog)] == [("ERROR", "p", "needs_repair")]


def test_ambiguous_refusal_is_tried_once_more(
    store: Store, tokens: AccessTokens, server: TokenServer, clock: ManualClock
) -> None:
    """A refusal that may mean something else is retried after a pause, and accepted the second time."""
    server.set(faults=["400"])
    put(store, "p", age=3700)
    assert tokens.access_token("p") == "at-p-1"
    assert max(clock.naps) >= 1
    clock.advance(3700)
    server.set(faults=["400", "400"], calls=0)
    with pytest.raises(NeedsRepairError):
        tokens.access_token("p")
    assert server.counts()["calls"] == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("503", "provider_unavailable"),
        ("500", "answer_lost"),
    ],
)
def test_outage_passes(
    store: Store, tokens: AccessTokens, server: TokenServer, clock: ManualClock, fault: str, reason: str
) -> None:
    """An outage is one event, causes no early call, and ends when the provider is back."""
    server.set(faults=[fault, fault])
    put(store, "p", age=3700)
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError):
            tokens.access_token("p")
    assert server.counts()["calls"] == 1
    assert state_of(store) == ("degraded", reason)
    assert row_of(store, "p").since == pytest.approx(clock.time(), abs=1)
    events, began = store.audit.events(), row_of(store, "p").since
    clock.advance(2)
    with pytest.raises(ProviderUnavailableError):
        tokens.access_token("p")
    assert (store.audit.events(), row_of(store, "p").since) == (events, began)
    assert kinds(store) == ["refresh/provider_unavailable"]
    clock.advance(5)
    assert tokens.access_token("p") == "at-p-1"
    assert state_of(store) == ("connected", None)


@pytest.mark.parametrize(
    ("fault", "kind", "texts"),
    [
        ("503", "provider_unavailable", ["the refresh of p failed", "still valid", "still valid"]),
        ("401:invalid_client", "client_refused", ["still valid"]),
    ],
)
def test_a_valid_token_is_returned_in_an_outage(
    store: Store,
    tokens: AccessTokens,
    server: TokenServer,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    kind: str,
    texts: list[str],
) -> None:
    """It is returned with few warnings, however often it is requested in two seconds."""
    server.set(faults=[fault] * 9)
    put(store, "p", age=3570)
    assert {tokens.access_token("p") for _ in range(50)} == {"at-p-0"}
    assert {record[:3] for record in logged(caplog)} == {("WARNING", "p", kind)}
    assert all(text in record.message for text, record in zip(texts, caplog.records, strict=True))


def test_not_renewable(store: Store, tokens: AccessTokens, clock: ManualClock, server: TokenServer) -> None:
    """Without a refresh token the connection works until its access token expires, then needs repair."""
    only_access = replace(token_set("p", clock=clock, age=3500), refresh_token=None)
    put(store, "p", tokens=only_access)
    assert tokens.access_token("p", min_ttl=200) == "at-p-0"
    with pytest.raises(ProviderUnavailableError) as caught:
        tokens.refresh("p", force=True)
    assert (state_of(store), caught.value.sent) == (("connected", None), False)
    clock.advance(101)
    with pytest.raises(NeedsRepairError, match="not_renewable"):
        Rotator(store, Mock(), clock).rotate(row_of(store, "p"))
    assert state_of(store) == ("needs_repair", "not_renewable")
    assert (kinds(store), server.counts()["calls"]) == (["refresh/not_renewable"], 0)


def verifying(store: Store) -> Callable[[str], object]:
    """Return a function that makes unverified tokens live, whatever their account is."""

    def verify(practice_id: str) -> object:
        rows = store.grants.rows(practice_id)
        assert rows.unverified is not None
        return store.grants.promote(rows.unverified, rows.live, {"account_shared": 0}, [])

    return verify


def test_unverified_tokens_are_not_handed_out(store: Store, server: TokenServer) -> None:
    """Tokens whose account is not known are returned only after the account was verified."""
    put_unverified(store, "p", tokens=token_set("fresh", clock=store.clock))
    with pytest.raises(ProviderUnavailableError, match="account") as caught:
        tokens_on(store, server.url).access_token("p")
    assert caught.value.retry_after is None
    for name in ("fresh", "newer"):  # newer ones are verified before an old one is returned
        put_unverified(store, "p", tokens=token_set(name, clock=store.clock))
        assert tokens_on(store, server.url, verify=verifying(store)).access_token("p") == f"at-{name}-0"


@pytest.mark.parametrize(
    "error",
    [
        AccountMismatchError("another account"),
        AccountUnconfirmedError("another account"),
        GrantRefusedError("another account", certain=True),
    ],
)
def test_unverified_tokens_of_another_account(
    store: Store, server: TokenServer, error: ConnectorError, caplog: pytest.LogCaptureFixture
) -> None:
    """If the new tokens are of another account, the old ones stay in use."""
    put(store, "p")
    new = put_unverified(store, "p", tokens=token_set("fresh", clock=store.clock))

    def verify(practice_id: str) -> object:
        store.grants.drop(new, [])
        raise error

    assert tokens_on(store, server.url, verify=verify).access_token("p") == "at-p-0"
    assert server.counts()["calls"] == 0
    assert logged(caplog) == [("WARNING", "p", error.kind, "p keeps its tokens: another account")]
    new = put_unverified(store, "q")
    with pytest.raises(type(error)):  # there is no other token
        tokens_on(store, server.url, verify=verify).access_token("q")


@pytest.mark.parametrize("trouble", [ProviderUnavailableError("down"), SettingError("no such provider")])
def test_account_that_cannot_be_read_now(
    store: Store,
    server: TokenServer,
    clock: ManualClock,
    trouble: ConnectorError,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While the account cannot be read, the old tokens are used and refreshed, and the new ones wait."""
    put(store, "p")
    put_unverified(store, "p", tokens=token_set("fresh", clock=clock))
    tried: list[int] = []

    def verify(practice_id: str) -> object:
        tried.append(1)
        new = store.grants.row("p", UNVERIFIED)
        assert new is not None
        store.grants.change(new, {"retry_at": FromNow(3)})
        raise trouble

    tokens = tokens_on(store, server.url, verify=verify)
    assert [tokens.access_token("p") for _ in range(3)] == ["at-p-0"] * 3
    assert len(tried) == 1
    text = f"the account of p cannot be read yet: {trouble.message}"
    assert logged(caplog) == [("WARNING", "p", trouble.kind, text)]
    clock.advance(5)
    assert tokens.refresh("p", force=True).token_generation == 2
    assert len(tried) == 2
    assert value_of(store, "p", slot=UNVERIFIED)[0] == "at-fresh-0"


def test_first_account_that_cannot_be_read_now(store: Store, server: TokenServer) -> None:
    """Without older tokens there is none to return; the error says when to try again."""
    waiting = put_unverified(store, "p")
    store.grants.change(waiting, {"retry_at": FromNow(30)})
    tokens = tokens_on(store, server.url, verify=verifying(store))
    for ask in (tokens.access_token, tokens.refresh, partial(tokens.access_token, rejected="at-p-0")):
        with pytest.raises(
            ProviderUnavailableError, match="the account behind p could not be read"
        ) as caught:
            ask("p")
        assert (caught.value.practice_id, caught.value.kind) == ("p", "provider_unavailable")
        assert 0 < (caught.value.retry_after or 0) <= 30


def test_ahead_of_time_in_the_background(store: Store, server: TokenServer, clock: ManualClock) -> None:
    """Before it expires a token is refreshed in the background; the caller gets the old one at once."""
    tokens = tokens_on(store, server.url, proactive=True)
    put(store, "p", age=3300)
    assert tokens.access_token("p") == "at-p-0"
    wait_until(lambda: row_of(store, "p").generation == 2)
    clock.advance(2)
    assert tokens.access_token("p") == "at-p-1"
    assert server.counts()["calls"] == 1


def test_claims_that_never_succeed_end(
    store: Store, tokens: AccessTokens, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If writes go elsewhere than reads (a replica, a shadowing table), no process retries for ever."""
    put(store, "p", age=3700)
    monkeypatch.setattr(store.leases, "claim", lambda *args: clock.advance(6))
    with pytest.raises(StoreLockedError):
        tokens.access_token("p")


def failing_settle(store: Store, monkeypatch: pytest.MonkeyPatch, *errors: BaseException) -> Mock:
    """Let the first attempts to store new tokens fail; return what counts the attempts."""
    settle = Mock(wraps=store.leases.settle, side_effect=chain(errors, repeat(DEFAULT)))
    monkeypatch.setattr(store.leases, "settle", settle)
    return settle


def test_save_that_fails_is_repeated(
    store: Store, tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """New tokens are stored as soon as possible; after a minute without the store, by the next call."""
    put(store, "p", age=3700)
    with monkeypatch.context() as patched:
        failing_settle(store, patched, StoreUnavailableError("away"), StoreLockedError("in use"))
        assert tokens.access_token("p") == "at-p-1"
        clock.advance(3700)
        failing_settle(store, patched, *[StoreUnavailableError("away")] * 1000)
        with pytest.raises(StoreUnavailableError):
            tokens.access_token("p")
    assert clock.naps == [1.0] * 62
    assert tokens.access_token("p") == "at-p-2"


def test_interrupted_save_is_made_once_more(
    store: Store, tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """Ctrl-C while new tokens are stored does not lose them; they are not stored again later."""
    put(store, "p", age=3700)
    settle = failing_settle(store, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tokens.access_token("p")
    assert value_of(store, "p") == ("at-p-1", "rt-p-1")
    clock.advance(3700)
    assert tokens.access_token("p") == "at-p-2"
    assert settle.call_count == 3


def test_interrupted_call_is_recorded(store: Store) -> None:
    """Ctrl-C during the call records that its response is unknown, and leaves no lease."""
    endpoint = Mock(refresh=Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Rotator(store, lambda name: endpoint, store.clock).rotate(put(store, "p", age=3700))
    assert row_of(store, "p").answer_may_be_lost
    assert row_of(store, "p").refresh_by is None


def test_no_secret_in_errors_and_events(store: Store, tokens: AccessTokens, server: TokenServer) -> None:
    """Neither errors nor the audit record hold a token."""
    server.set(faults=["502", "400:invalid_grant"])
    put(store, "p", age=3700)
    words = ""
    for _ in range(2):
        with pytest.raises(ConnectorError) as caught:
            tokens.refresh("p", force=True)
        words += f"{caught.value} {caught.value.hint}"
    words += repr(store.audit.events()) + repr(store.connection("p")) + repr(row_of(store, "p"))
    assert "at-p-" not in words
    assert "rt-p-" not in words


def test_fork_while_a_thread_refreshes(tmp_path: Path, server: TokenServer) -> None:
    """A child forked during a refresh neither hangs nor returns another token; it has its own threads."""
    store = store_at(fresh_url("sqlite", tmp_path))
    tokens = tokens_on(store, server.url, proactive=True)
    for name, age in (("p", 3700), ("q", 3300), ("r", 3300)):
        put(store, name, age=age)
    tokens.access_token("q")
    wait_until(lambda: row_of(store, "q").generation == 2)  # by a thread that the child does not have
    server.set(latency=0.5)
    thread = threading.Thread(target=tokens.access_token, args=("p",))
    thread.start()
    time.sleep(0.2)

    def ask_too() -> None:
        assert tokens.access_token("p") == "at-p-1"
        assert tokens.access_token("r") == "at-r-0"
        wait_until(lambda: row_of(store, "r").generation == 2)

    status = fork(ask_too)
    thread.join()
    assert status() == 0
    assert server.counts()["calls"] == 3


def test_a_full_memory_forgets_the_oldest_token(
    store: Store, tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its limit the memory forgets one token for each new one, and none for one that it has."""
    monkeypatch.setattr("connector.refresh.memory._LARGEST_CACHE", 3)
    names = ["p1", "p2", "p3", "p4"]
    for name in names:
        put(store, name)
        tokens.access_token(name)
    found = [tokens.memory.valid(name, 0) for name in names]
    assert [one and one.value for one in found] == [None, "at-p2-0", "at-p3-0", "at-p4-0"]
    tokens.refresh("p4")
    assert tokens.memory.valid("p2", 0) is not None
