"""A valid access token at any moment, and the right state, wait and words when there is none."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connector.connection import ConnectionState, Event, Grant, UnprovenGrant
from connector.errors import (
    AccountMismatchError,
    ClientRefusedError,
    ConnectionNotFoundError,
    ConnectorError,
    NeedsRepairError,
    ProviderUnavailableError,
    RevokedError,
    StoreUnavailableError,
)
from connector.refresh import Refresher
from connector.store import Store
from tests.support.clock import ManualClock
from tests.support.stores import endpoint_of, fresh_url, grant_for, refresher_on, store_at
from tests.support.token_server import TokenServer


@pytest.fixture(scope="module")
def shared_token_server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture
def server(shared_token_server: TokenServer) -> TokenServer:
    shared_token_server.set(
        faults=[], latency=0, rotate=True, expires_in=3600, on_reuse="revoke", calls=0, newest={}, dead=[]
    )
    return shared_token_server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    store = store_at(fresh_url("sqlite", tmp_path), clock=clock)
    yield store
    store.close()


@pytest.fixture
def refresher(store: Store, server: TokenServer) -> Iterator[Refresher]:
    refresher = refresher_on(store, server.url)
    yield refresher
    refresher.close()


def put(store: Store, *, age: float = 0.0, lifetime: float = 3600.0, **changes: object) -> Grant:
    grant = grant_for("p", now=store.clock.utc_now(), age=age, lifetime=lifetime)
    return store.put(replace(grant, **changes), expected_generation=None)  # type: ignore[arg-type]


def kinds(store: Store) -> list[str]:
    return [f"{event.kind}/{event.outcome}" for event in store.events()]


def state_of(store: Store) -> tuple[str, str | None]:
    connection = store.connection("p")
    assert connection is not None
    return connection.state.value, connection.reason


def test_good_token_is_handed_out(store: Store, refresher: Refresher, server: TokenServer) -> None:
    """A token that lives long enough comes from the store, without a call."""
    put(store)
    assert refresher.access_token("p") == "at-p-0"
    assert server.counts()["calls"] == 0


def test_good_token_needs_no_endpoint(store: Store) -> None:
    """Nothing that speaks HTTP is made for a token that is still good."""
    put(store)
    made: list[str] = []
    refresher = Refresher(store, made.append, store.clock)  # type: ignore[arg-type]
    assert refresher.access_token("p") == "at-p-0"
    assert made == []


def test_ended_token_is_refreshed(store: Store, refresher: Refresher, clock: ManualClock) -> None:
    """A token that has ended is replaced; connection, audit record and expiry tell of it."""
    put(store, age=3700)
    assert refresher.access_token("p") == "at-p-1"
    connection = store.connection("p")
    assert connection is not None
    assert connection.expires_at == clock.utc_now() + timedelta(seconds=3600)
    assert connection.token_generation == 2
    assert kinds(store) == ["refresh/ok"]
    grant = store.get("p")
    assert grant is not None
    assert grant.tokens is not None
    assert grant.tokens.refresh_token == "rt-p-1"
    assert grant.refresh_sent_at is None


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
def test_min_ttl(store: Store, refresher: Refresher, age: float, min_ttl: float, expected: str) -> None:
    """A token has as long to live as is asked for, at most half of its life."""
    put(store, age=age)
    assert refresher.access_token("p", min_ttl=min_ttl) == expected


def test_min_ttl_of_short_lived_tokens(store: Store, refresher: Refresher, server: TokenServer) -> None:
    """A token that was just refreshed is returned as it is, however short its life."""
    server.set(expires_in=1)
    put(store, age=3700)
    assert refresher.access_token("p", min_ttl=3600) == "at-p-1"
    assert refresher.access_token("p", min_ttl=3600) == "at-p-1"
    assert server.counts()["calls"] == 1


def test_refresh_without_rotation_keeps_the_refresh_token(
    store: Store, refresher: Refresher, server: TokenServer, clock: ManualClock
) -> None:
    """Where an answer brings no refresh token, the old one goes on."""
    server.set(rotate=False)
    put(store, age=3700)
    assert refresher.access_token("p") == "at-p-1"
    clock.advance(3700)
    assert refresher.access_token("p") == "at-p-2"


def test_threads_share_one_call(store: Store, refresher: Refresher, server: TokenServer) -> None:
    """Sixteen threads that find the same token ended make one call and get the same answer."""
    server.set(latency=0.1)
    put(store, age=3700)
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda: tokens.append(refresher.access_token("p"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == ["at-p-1"] * 16
    assert server.counts()["calls"] == 1


def test_forced_by_many_is_one_call(store: Store, refresher: Refresher, server: TokenServer) -> None:
    """Threads that were all refused the same token by the API force one refresh, and none gets it again."""
    server.set(latency=0.2)
    put(store)
    assert refresher.access_token("p") == "at-p-0"
    threads = [threading.Thread(target=lambda: refresher.refresh("p", force=True)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.counts()["calls"] == 1
    assert refresher.access_token("p") == "at-p-1"


def test_refresh_in_good_time(
    store: Store, refresher: Refresher, clock: ManualClock, server: TokenServer
) -> None:
    """An unforced refresh leaves a token with most of its life ahead alone."""
    put(store)
    assert refresher.refresh("p").token_generation == 1
    clock.advance(3500)
    assert refresher.refresh("p").token_generation == 2


def test_unknown_practice(refresher: Refresher) -> None:
    """A practice without a connection is told how to get one."""
    with pytest.raises(ConnectionNotFoundError) as caught:
        refresher.access_token("p")
    assert "ormco connect p" in caught.value.hint


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (ConnectionState.NEEDS_REPAIR, NeedsRepairError),
        (ConnectionState.REVOKING, RevokedError),
        (ConnectionState.REVOKED, RevokedError),
    ],
)
def test_dead_connection_makes_no_call(
    store: Store,
    refresher: Refresher,
    server: TokenServer,
    state: ConnectionState,
    error: type[ConnectorError],
) -> None:
    """A connection that is over hands out nothing and asks for nothing, whatever time its token has left."""
    grant = put(store)
    store.put(replace(grant, connection=replace(grant.connection, state=state)), expected_generation=1)
    for attempt in (lambda: refresher.access_token("p"), lambda: refresher.refresh("p", force=True)):
        with pytest.raises(error, match="p "):
            attempt()
    assert server.counts()["calls"] == 0


def test_revocation_elsewhere_reaches_the_cache(
    store: Store, refresher: Refresher, clock: ManualClock
) -> None:
    """What another process revokes is not handed out from memory for longer than a moment."""
    grant = put(store)
    refresher.access_token("p")
    revoked = replace(grant.connection, state=ConnectionState.REVOKED)
    store.put(replace(grant, connection=revoked, tokens=None), expected_generation=1)
    clock.advance(2)
    with pytest.raises(RevokedError):
        refresher.access_token("p")


def test_clock_that_is_set_back(store: Store, refresher: Refresher, clock: ManualClock) -> None:
    """A clock that is set back does not make the memory good for longer."""
    grant = put(store)
    refresher.access_token("p")
    store.delete("p", Event(at=grant.connection.since, kind="forget", outcome="ok", practice_id="p"))
    clock.advance(-600)
    with pytest.raises(ConnectionNotFoundError):
        refresher.access_token("p")


@pytest.mark.parametrize(
    "fault", ["400:invalid_grant", "401:invalid_grant", "403:invalid_grant", "500:invalid_grant"]
)
def test_invalid_grant_is_dead_at_once(
    store: Store, refresher: Refresher, server: TokenServer, fault: str
) -> None:
    """`invalid_grant` ends the connection whatever the status, with one call and none ever after."""
    server.set(faults=[fault])
    put(store, age=3700)
    for _ in range(2):
        with pytest.raises(NeedsRepairError) as caught:
            refresher.access_token("p")
        assert "ormco repair p" in caught.value.hint
    assert server.counts()["calls"] == 1
    assert state_of(store) == ("needs_repair", "grant_refused")
    assert kinds(store) == ["refresh/grant_refused"]


@pytest.mark.parametrize("fault", ["400:invalid_request", "400", "401"])
def test_ambiguous_refusal_is_tried_once_more(
    store: Store, refresher: Refresher, server: TokenServer, clock: ManualClock, fault: str
) -> None:
    """A refusal that may mean something else is retried after a pause, and is believed the second time."""
    server.set(faults=[fault])
    put(store, age=3700)
    assert refresher.access_token("p") == "at-p-1"
    assert max(clock.naps) >= 1
    clock.advance(3700)
    server.set(faults=[fault, fault], calls=0)
    with pytest.raises(NeedsRepairError):
        refresher.access_token("p")
    assert server.counts()["calls"] == 2


@pytest.mark.parametrize("fault", ["400:invalid_client", "401:invalid_client", "403:unauthorized_client"])
def test_refused_client_is_configuration(
    store: Store, refresher: Refresher, server: TokenServer, clock: ManualClock, fault: str
) -> None:
    """A refused client is not a dead grant: put right, the connection goes on."""
    server.set(faults=[fault])
    put(store, age=3700)
    with pytest.raises(ClientRefusedError):
        refresher.access_token("p")
    assert state_of(store) == ("degraded", "client_refused")
    clock.advance(2)
    assert refresher.access_token("p") == "at-p-1"
    assert state_of(store) == ("connected", None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        *((fault, "provider_unavailable") for fault in ("503", "404")),
        *((fault, "answer_lost") for fault in ("500", "502", "504", "408", "html", "200")),
    ],
)
def test_outage_passes(
    store: Store, refresher: Refresher, server: TokenServer, clock: ManualClock, fault: str, reason: str
) -> None:
    """An outage is one event, no call before its time, and over when the provider is back."""
    server.set(faults=[fault, fault])
    put(store, age=3700)
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError):
            refresher.access_token("p")
    assert server.counts()["calls"] == 1
    assert state_of(store) == ("degraded", reason)
    clock.advance(2)
    with pytest.raises(ProviderUnavailableError):
        refresher.access_token("p")
    assert kinds(store) == ["refresh/provider_unavailable"]
    clock.advance(5)
    assert refresher.access_token("p") == "at-p-1"
    assert state_of(store) == ("connected", None)


def test_retry_after_is_kept(
    store: Store, refresher: Refresher, server: TokenServer, clock: ManualClock
) -> None:
    """A provider that names a time is not asked before it, by force or otherwise."""
    server.set(faults=["429:40"])
    put(store, age=3700)
    with pytest.raises(ProviderUnavailableError) as caught:
        refresher.access_token("p")
    assert caught.value.retry_after == 40
    clock.advance(38)
    with pytest.raises(ProviderUnavailableError):
        refresher.refresh("p", force=True)
    assert server.counts()["calls"] == 1
    clock.advance(3)
    assert refresher.access_token("p") == "at-p-1"


def test_degraded_hands_out_what_is_good(
    store: Store, refresher: Refresher, server: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """While the provider is down, a token with time left is handed out with a warning."""
    server.set(faults=["503"] * 9)
    put(store, age=3570)
    with caplog.at_level(logging.WARNING, "connector"):
        assert refresher.access_token("p") == "at-p-0"
    assert "still good" in caplog.text
    assert "at-p-0" not in caplog.text


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_answer_that_is_lost(
    store: Store, refresher: Refresher, server: TokenServer, clock: ManualClock, fault: str
) -> None:
    """After a lost answer the old token serves to its end, then one attempt decides."""
    server.set(faults=[fault])
    put(store, age=3550)
    assert refresher.access_token("p") == "at-p-0"
    assert state_of(store) == ("degraded", "answer_lost")
    clock.advance(30)
    assert refresher.access_token("p") == "at-p-0"
    assert server.counts()["calls"] == 1
    clock.advance(60)
    if fault == "lost":
        with pytest.raises(NeedsRepairError, match="answer_lost"):
            refresher.access_token("p")
        assert state_of(store) == ("needs_repair", "answer_lost")
    else:
        assert refresher.access_token("p") == "at-p-1"
        assert state_of(store) == ("connected", None)
    assert server.counts()["calls"] == 2


def test_provider_that_cannot_be_reached(store: Store, clock: ManualClock) -> None:
    """A request that never left is no lost answer."""
    put(store, age=3700)
    refresher = refresher_on(store, "http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailableError):
        refresher.access_token("p")
    assert state_of(store) == ("degraded", "provider_unavailable")
    grant = store.get("p")
    assert grant is not None
    assert grant.refresh_sent_at is None


def test_not_renewable(store: Store, refresher: Refresher, clock: ManualClock, server: TokenServer) -> None:
    """Without a refresh token the connection serves to the end of its access token, then needs repair."""
    grant = grant_for("p", now=clock.utc_now(), age=3500)
    assert grant.tokens is not None
    connection = replace(grant.connection, renewable=False)
    store.put(
        replace(grant, tokens=replace(grant.tokens, refresh_token=None), connection=connection),
        expected_generation=None,
    )
    assert refresher.access_token("p", min_ttl=200) == "at-p-0"
    assert state_of(store) == ("connected", None)
    clock.advance(101)
    with pytest.raises(NeedsRepairError):
        refresher.access_token("p")
    assert state_of(store) == ("needs_repair", "not_renewable")
    assert server.counts()["calls"] == 0


def test_sibling_was_faster(store: Store, refresher: Refresher, server: TokenServer) -> None:
    """Where the refresh token was an old one, the newer tokens of a sibling are adopted."""
    grant = put(store, age=3700)
    assert grant.tokens is not None

    class Sibling:
        def refresh(self, refresh_token: str) -> object:
            newer = endpoint_of(server.url)("test").refresh(refresh_token)
            present = store.get("p")
            assert present is not None
            connection = replace(present.connection, token_generation=2)
            store.put(replace(present, connection=connection, tokens=newer), expected_generation=1)
            return endpoint_of(server.url)("test").refresh(refresh_token)

    server.set(on_reuse="refuse")
    late = Refresher(store, lambda name: Sibling(), store.clock)  # type: ignore[arg-type, return-value]
    assert late.access_token("p") == "at-p-1"
    assert state_of(store)[0] == "connected"


def test_unproven_tokens_are_not_handed_out(store: Store, server: TokenServer) -> None:
    """Tokens whose account is not known are proved first, and only then handed out."""
    fresh = grant_for("fresh", now=store.clock.utc_now()).tokens
    assert fresh is not None
    grant = put(store, age=3700, tokens=None, unproven=UnprovenGrant(tokens=fresh))
    assert Refresher(store, endpoint_of(server.url), store.clock)._store is store
    with pytest.raises(ProviderUnavailableError, match="account"):
        refresher_on(store, server.url).access_token("p")

    def prove(grant: Grant) -> Grant:
        assert grant.unproven is not None
        connection = replace(grant.connection, token_generation=2)
        proved = replace(grant, connection=connection, tokens=grant.unproven.tokens, unproven=None)
        return store.put(proved, expected_generation=1)

    proving = Refresher(store, endpoint_of(server.url), store.clock, prove=prove)
    assert proving.access_token("p") == "at-fresh-0"
    assert grant.tokens is None


def test_unproven_tokens_of_another_account(store: Store, server: TokenServer) -> None:
    """Where the new tokens turn out to be another account's, the old ones go on."""
    fresh = grant_for("fresh", now=store.clock.utc_now()).tokens
    assert fresh is not None
    put(store, unproven=UnprovenGrant(tokens=fresh))

    def prove(grant: Grant) -> Grant:
        store.put(replace(grant, unproven=None), expected_generation=1)
        raise AccountMismatchError("another account")

    refresher = Refresher(store, endpoint_of(server.url), store.clock, prove=prove)
    assert refresher.access_token("p") == "at-p-0"
    assert server.counts()["calls"] == 0


def test_account_that_cannot_be_read_now(store: Store, server: TokenServer, clock: ManualClock) -> None:
    """While the account cannot be read, the old tokens are handed out and the new ones wait."""
    fresh = grant_for("fresh", now=clock.utc_now()).tokens
    assert fresh is not None
    put(store, unproven=UnprovenGrant(tokens=fresh))
    tried: list[int] = []

    def prove(grant: Grant) -> Grant:
        tried.append(1)
        raise ProviderUnavailableError("down", answered=True)

    refresher = Refresher(store, endpoint_of(server.url), clock, prove=prove)
    assert [refresher.access_token("p") for _ in range(3)] == ["at-p-0"] * 3
    assert len(tried) == 1
    clock.advance(5)
    assert refresher.access_token("p") == "at-p-0"
    assert len(tried) == 2
    grant = store.get("p")
    assert grant is not None
    assert grant.unproven is not None
    assert grant.connection.token_generation == 1


def test_ahead_of_time_in_the_background(store: Store, server: TokenServer, clock: ManualClock) -> None:
    """Near its end a token is renewed in the background, while the caller has the old one at once."""
    refresher = refresher_on(store, server.url, ahead=True)
    put(store, age=3300)
    assert refresher.access_token("p") == "at-p-0"
    refresher.close()
    assert store.connection("p").token_generation == 2  # type: ignore[union-attr]
    clock.advance(2)
    assert refresher.access_token("p") == "at-p-1"
    assert server.counts()["calls"] == 1


def test_ahead_of_time_failure_is_silent(
    store: Store, server: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A refresh ahead of time that fails disturbs nobody, and is not repeated at once."""
    server.set(faults=["503"] * 9)
    refresher = refresher_on(store, server.url, ahead=True)
    put(store, age=3300)
    assert refresher.access_token("p") == "at-p-0"
    refresher.close()
    assert refresher.access_token("p") == "at-p-0"
    refresher.close()
    assert server.counts()["calls"] == 1
    assert "could not be refreshed ahead of time" in caplog.text


def test_save_that_fails_is_repeated(
    store: Store, refresher: Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New tokens that cannot be stored at once are kept and stored as soon as that is possible."""
    put(store, age=3700)
    failing = [1, 1, 1]
    real = store.put

    def failing_put(grant: Grant, **kwargs: object) -> Grant:
        if failing and failing.pop(0):
            raise StoreUnavailableError("away")
        return real(grant, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "put", failing_put)
    assert refresher.access_token("p") == "at-p-1"
    assert failing == []


@pytest.mark.parametrize("intent", ["kept", "lost in a failover"])
def test_save_that_cannot_be_done_now(
    intent: str, store: Store, refresher: Refresher, monkeypatch: pytest.MonkeyPatch, server: TokenServer
) -> None:
    """When the store stays away, the next call stores the tokens before it does anything else."""
    put(store, age=3700)
    real = store.put

    def failing_put(grant: Grant, **kwargs: object) -> Grant:
        if grant.connection.token_generation > 1:
            raise StoreUnavailableError("away")
        return real(grant, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(store, "put", failing_put)
        with pytest.raises(StoreUnavailableError):
            refresher.access_token("p")
    if intent != "kept":
        sent = store.get("p")
        assert sent is not None
        store.put(replace(sent, refresh_sent_at=None, refresh_owner=None), expected_generation=1)
    assert refresher.access_token("p") == "at-p-1"
    assert server.counts()["calls"] == 1


def test_interrupted_call_is_told_of(store: Store) -> None:
    """Ctrl-C during the call leaves the record that its answer is not known, and nobody to wait for."""

    class Interrupted:
        def refresh(self, refresh_token: str) -> object:
            raise KeyboardInterrupt

    put(store, age=3700)
    refresher = Refresher(store, lambda name: Interrupted(), store.clock)  # type: ignore[arg-type, return-value]
    with pytest.raises(KeyboardInterrupt):
        refresher.access_token("p")
    grant = store.get("p")
    assert grant is not None
    assert grant.refresh_sent_at is not None
    assert grant.refresh_owner is None
    assert store.try_lock("p")


def test_no_secret_in_errors_and_events(store: Store, refresher: Refresher, server: TokenServer) -> None:
    """Neither errors nor the audit record hold a token."""
    server.set(faults=["502", "400:invalid_grant"])
    put(store, age=3700)
    words = ""
    for _ in range(2):
        with pytest.raises(ConnectorError) as caught:
            refresher.refresh("p", force=True)
        words += f"{caught.value} {caught.value.hint}"
    words += repr(store.events()) + repr(store.connection("p")) + repr(store.get("p"))
    assert "at-p-" not in words
    assert "rt-p-" not in words


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_a_thread_refreshes(tmp_path: Path, server: TokenServer) -> None:
    """A child that is forked in the middle of a refresh neither hangs nor hands out anything else."""
    store = store_at(fresh_url("sqlite", tmp_path))
    refresher = refresher_on(store, server.url)
    server.set(latency=0.5)
    put(store, age=3700)
    thread = threading.Thread(target=refresher.access_token, args=("p",))
    thread.start()
    time.sleep(0.2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if refresher.access_token("p") == "at-p-1" else 2
        finally:
            os._exit(code)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.counts()["calls"] == 1
    store.close()
