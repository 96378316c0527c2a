"""Claim, call, settle: who is held back by a failure, and who is not; what is sent, and how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from connector.connection import Event
from connector.errors import (
    ClientRefusedError,
    ConnectorError,
    GrantRefusedError,
    NeedsRepairError,
    ProviderUnavailableError,
    RevokedError,
    SettingError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.oauth.http import CALL_SECONDS as HTTP_SECONDS
from connector.oauth.token_set import TokenSet
from connector.refresh import AccessTokens, schedule
from connector.refresh.rotate import Rotator
from connector.store.columns import FromNow
from connector.store.owners import this_process
from connector.store.row import LIVE, UNVERIFIED, Row
from connector.store.store import Store
from tests.support.clock import ManualClock
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


class FakeEndpoint:
    """Returns the responses of a test, and records what it was sent.

    Args:
        answers: one for each call: an error to raise, or None for new tokens.
    """

    def __init__(self, store: Store, *responses: Exception | None) -> None:
        self._store = store
        self._responses = list(responses)
        self.sent: list[str] = []
        self.has_secret = True
        self.lifetime = 3600.0
        self.during: Callable[[], object] = lambda: None

    def refresh(self, refresh_token: str) -> TokenSet:
        self.sent.append(refresh_token)
        self.during()
        response = self._responses.pop(0) if self._responses else None
        if response is not None:
            raise response
        return token_set("p", clock=self._store.clock, lifetime=self.lifetime, number=len(self.sent))


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Store:
    return store_at(fresh_url("sqlite", tmp_path), clock=clock)


def rotating(store: Store, endpoint: FakeEndpoint, **options: Callable[[], float]) -> Rotator:
    """Return a rotator that sends to an endpoint."""
    return Rotator(store, lambda name: endpoint, store.clock, **options)


def handing_out(store: Store, endpoint: FakeEndpoint, **options: Callable[[], float]) -> AccessTokens:
    """Return access tokens that come from an endpoint."""
    return AccessTokens(store, rotating(store, endpoint, **options), store.clock, proactive=False)


def lost() -> ProviderUnavailableError:
    return ProviderUnavailableError("no whole answer", sent=True, answered=False)


def not_bearer() -> ClientRefusedError:
    error = ClientRefusedError("no bearer tokens")
    error.granted = True
    return error


def test_lease_outlives_every_call() -> None:
    """A lease is longer than all calls of its owner, and follows from the limits of a call."""
    # The look-up of a name has no limit but the operating system's.
    assert schedule.CALL_SECONDS >= HTTP_SECONDS + 20
    assert schedule.LEASE_SECONDS > 2 * schedule.CALL_SECONDS + schedule.DOUBT_SECONDS + schedule.SEND_WITHIN
    assert schedule.WAIT_SECONDS > schedule.LEASE_SECONDS


def test_lease_of_another_is_waited_for(store: Store) -> None:
    """Nothing is sent while another process may be refreshing, also if a person requests it."""
    endpoint = FakeEndpoint(store)
    claimed = store.leases.claim(put(store, "p", age=3700), 100.0)
    assert claimed is not None
    elsewhere = store.grants.change(claimed, {"refresh_by": "another-host 1 2"})
    assert elsewhere is not None
    assert rotating(store, endpoint).rotate(elsewhere, force=True) is None
    assert endpoint.sent == []
    assert handing_out(store, endpoint).access_token("p") == "at-p-1"  # after the end of the lease
    assert len(endpoint.sent) == 1


def test_a_grant_that_dies_during_the_wait(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the other refresh was refused, the refresh token is not sent again."""
    endpoint, claimed = FakeEndpoint(store), store.leases.claim(put(store, "p", age=3700), 100.0)
    assert claimed is not None
    refused = {"state": "needs_repair", "reason": "grant_refused"}
    monkeypatch.setattr(clock, "sleep", lambda seconds: store.leases.end(claimed, refused, lost=False))
    with pytest.raises(NeedsRepairError, match="grant_refused"):
        handing_out(store, endpoint).access_token("p")
    assert endpoint.sent == []


def slow_down_claims(
    store: Store, clock: ManualClock, times: int, meanwhile: Callable[[Row], object] = lambda claimed: None
) -> None:
    """Make so many claims slow, as if the process had been stopped or the disk were slow."""
    real, waits = store.leases.claim, [schedule.SEND_WITHIN + 1] * times

    def slow(row: Row, seconds: float) -> Row | None:
        claimed = real(row, seconds)
        if waits and claimed is not None:
            clock.advance(waits.pop())
            meanwhile(claimed)
        return claimed

    store.leases.claim = slow  # type: ignore[method-assign]


def test_slow_claim_is_repeated(store: Store, clock: ManualClock) -> None:
    """A process that was stopped during its claim, or has a slow disk, takes a new lease before it sends."""
    put(store, "p", age=3700)
    endpoint = FakeEndpoint(store)
    slow_down_claims(store, clock, times=2)
    assert handing_out(store, endpoint).access_token("p") == "at-p-1"
    assert (len(endpoint.sent), row_of(store, "p").state) == (1, "connected")


def test_a_slow_claim_that_another_process_has_replaced(store: Store, clock: ManualClock) -> None:
    """A process that was stopped returns the tokens that another one has stored, and sends nothing."""
    put(store, "p", age=3700)
    endpoint, newer = FakeEndpoint(store), token_set("p", clock=clock, number=9)
    slow_down_claims(store, clock, times=1, meanwhile=lambda claimed: store.leases.settle(claimed, newer))
    assert handing_out(store, endpoint).access_token("p") == "at-p-9"
    assert endpoint.sent == []


class SuspendedClock(ManualClock):
    """The clock of a machine that was suspended for as long as a test advances it."""

    def __init__(self) -> None:
        super().__init__()
        self._began = self.time()

    def monotonic(self) -> float:
        return self._began  # time in suspension does not count


@pytest.mark.parametrize("clock", [ManualClock(), SuspendedClock()])
def test_claims_that_stay_slow_send_nothing(store: Store, clock: ManualClock) -> None:
    """Another process may have taken over, also while a machine slept; the row records no failure."""
    put(store, "p", age=3700)
    endpoint = FakeEndpoint(store)
    slow_down_claims(store, clock, times=3)
    with pytest.raises(ProviderUnavailableError, match="takes 6 seconds") as caught:
        handing_out(store, endpoint).access_token("p")
    row = row_of(store, "p")
    assert (endpoint.sent, caught.value.sent, row.state) == ([], False, "connected")
    assert not row.answer_may_be_lost
    assert not row.is_leased


@pytest.mark.parametrize(
    "trouble",
    [
        ClientRefusedError("the old secret"),
        SettingError("the wrong proxy"),
        ProviderUnavailableError("no way", sent=False),
    ],
    ids=["secret", "settings", "never sent"],
)
def test_fault_of_one_process_delays_no_other(
    store: Store, clock: ManualClock, trouble: ConnectorError
) -> None:
    """A wrong setting delays the next attempt of its own process, longer each time, and of no other."""
    put(store, "p", age=3700)
    endpoint = FakeEndpoint(store, *[trouble] * 4)
    broken = handing_out(store, endpoint)
    for seconds, sent in ((0, 1), (0, 1), (1.3, 2), (1.3, 2), (1.3, 3)):
        clock.advance(seconds)
        with pytest.raises(type(trouble)):
            broken.access_token("p")
        assert len(endpoint.sent) == sent
    row = row_of(store, "p")
    assert (row.retry_at, row.failures, row.refresh_by, row.refresh_sends) == (None, 0, None, 0)
    is_degraded = isinstance(trouble, ProviderUnavailableError)
    assert (row.state, row.reason) == (("degraded", trouble.kind) if is_degraded else ("connected", None))
    assert handing_out(store, FakeEndpoint(store)).access_token("p") == "at-p-1"
    assert broken.access_token("p") == "at-p-1"


@pytest.mark.parametrize("response", [None, GrantRefusedError("dead", certain=True)])
def test_fault_is_over_once_the_provider_responds(store: Store, response: Exception | None) -> None:
    """After any response of the provider the next attempt need not wait for the fault's time."""
    put(store, "p", age=3700)
    tokens = handing_out(store, FakeEndpoint(store, ClientRefusedError("the old secret"), response))
    for _ in range(2):
        with suppress(ConnectorError):
            tokens.refresh("p", force=True)
    put(store, "p", age=3700)
    assert tokens.refresh("p").state == "connected"


def test_fault_that_is_raised_again_keeps_no_frames(store: Store) -> None:
    """The error is kept for minutes, and must not keep the frames of the calls that get it."""
    put(store, "p", age=3700)
    broken = handing_out(store, FakeEndpoint(store, ClientRefusedError("the old secret")))
    lengths = set()
    for _ in range(4):
        with pytest.raises(ClientRefusedError) as caught:
            broken.access_token("p")
        lengths.add(len(caught.traceback))
    assert len(lengths) <= 2  # the first one comes from the endpoint


def test_settings_are_found_wrong_before_anything_is_recorded(store: Store) -> None:
    """If no token endpoint can be made, the row is not changed, and the next try waits."""
    version = put(store, "p", age=3700).version
    endpoint = Mock(side_effect=SettingError("no such provider"))
    tokens = AccessTokens(store, Rotator(store, endpoint, store.clock), store.clock)
    for _ in range(2):
        with pytest.raises(SettingError):
            tokens.access_token("p")
    assert (row_of(store, "p").version, endpoint.call_count) == (version, 1)


def test_secret_that_is_not_set_any_more(store: Store) -> None:
    """A grant that was made with a client secret is not refreshed without one, and nothing is sent."""
    put(store, "p", age=3700, with_secret=1)
    endpoint = FakeEndpoint(store)
    endpoint.has_secret = False
    with pytest.raises(SettingError, match="client secret"):
        handing_out(store, endpoint).access_token("p")
    assert endpoint.sent == []
    assert row_of(store, "p").state == "connected"
    put(store, "public", age=3700)
    assert handing_out(store, endpoint).access_token("public") == "at-p-1"


@pytest.mark.parametrize(("asked", "kept"), [(86_400.0, 300.0), (301.0, 300.0), (120.0, 120.0)])
def test_retry_after_of_a_day(store: Store, clock: ManualClock, asked: float, kept: float) -> None:
    """A Retry-After delays attempts by five minutes at most, and no attempt of a person."""
    put(store, "p", age=3700)
    busy = ProviderUnavailableError("busy", retry_after=asked, answered=True)
    endpoint = FakeEndpoint(store, busy, busy)
    tokens = handing_out(store, endpoint)
    with pytest.raises(ProviderUnavailableError) as caught:
        tokens.access_token("p")
    assert caught.value.retry_after == asked
    assert (row_of(store, "p").reason, row_of(store, "p").failures) == ("rate_limited", 1)
    clock.advance(kept - 2)
    with pytest.raises(ProviderUnavailableError, match="busy"):
        tokens.access_token("p")
    assert len(endpoint.sent) == 1
    with pytest.raises(ProviderUnavailableError):
        tokens.refresh("p", force=True)
    assert len(endpoint.sent) == 2
    clock.advance(kept + 2)
    assert tokens.access_token("p") == "at-p-3"


def test_a_grant_of_tokens_that_cannot_be_used_may_have_ended_the_old_ones(store: Store) -> None:
    """A server that rotates has replaced the refresh token: it is not sent while the access token lasts."""
    put(store, "p", age=3000)
    endpoint = FakeEndpoint(store, not_bearer())
    tokens = handing_out(store, endpoint)
    for _ in range(2):
        assert tokens.access_token("p", min_ttl=1000) == "at-p-0"
    assert row_of(store, "p").answer_may_be_lost
    assert endpoint.sent == ["rt-p-0"]


@pytest.mark.parametrize(("age", "left"), [(3500, 100), (3585, 15)])
def test_lost_response_leaves_one_attempt(store: Store, clock: ManualClock, age: float, left: float) -> None:
    """After a lost response the old token is used to ten seconds before its end; one attempt follows."""
    put(store, "p", age=age)
    endpoint = FakeEndpoint(store, lost())
    tokens = handing_out(store, endpoint)
    assert tokens.access_token("p", min_ttl=300) == "at-p-0"
    clock.advance(left - 11)
    assert tokens.access_token("p", min_ttl=300) == "at-p-0"
    assert endpoint.sent == ["rt-p-0"]
    clock.advance(2)
    assert tokens.access_token("p", min_ttl=300) == "at-p-2"
    assert endpoint.sent == ["rt-p-0", "rt-p-0"]


@pytest.mark.parametrize(
    ("reuse", "lost_ago", "sent"),
    [(0.0, None, 1), (30.0, None, 2), (30.0, 20, 1), (30.0, 31, 0)],
    ids=["not accepted twice", "accepted twice", "after a crash", "too late after a crash"],
)
def test_provider_that_accepts_a_token_twice(
    store: Store, reuse: float, lost_ago: float | None, sent: int
) -> None:
    """While the provider accepts a used token, it is sent a second time, once and at once.

    Later, an attempt could end the grant.
    """
    crash: dict[str, Any] = {"refresh_sends": 1, "refresh_since": FromNow(-lost_ago)} if lost_ago else {}
    put(store, "p", age=3000, **crash)
    endpoint = FakeEndpoint(store, lost(), lost(), lost())
    tokens = handing_out(store, endpoint, reuse_seconds=lambda: reuse)
    for _ in range(3):
        assert tokens.access_token("p", min_ttl=1000) == "at-p-0"
    assert endpoint.sent == ["rt-p-0"] * sent


@pytest.mark.parametrize("age", [0, 3000, 3700])
def test_token_accepted_twice_brings_the_connection_back(store: Store, age: float) -> None:
    """A second response within that time is as good as the first, for any refresh."""
    row = put(store, "p", age=age)
    rotator = rotating(store, FakeEndpoint(store, lost()), reuse_seconds=lambda: 30.0)
    rotated = rotator.rotate(row)
    assert rotated == row_of(store, "p")
    assert value_of(store, "p") == ("at-p-2", "rt-p-2")
    assert (rotated.state, rotated.refresh_sends, rotated.rejected_generation) == ("connected", 0, None)


def test_an_unforced_attempt_waits_for_its_time(store: Store) -> None:
    """An unforced rotation, in the background or of a new grant, keeps to the time that a failure has set."""
    endpoint = FakeEndpoint(store)
    with pytest.raises(ProviderUnavailableError, match="busy") as caught:
        rotating(store, endpoint).rotate(put(store, "p", retry_at=FromNow(60), last_error="busy"))
    assert (endpoint.sent, caught.value.sent, caught.value.hint[-11:]) == ([], False, "60 seconds.")


@pytest.mark.parametrize(("seconds", "fault"), [(31, lost()), (0, not_bearer())])
def test_no_second_attempt_that_ends_the_grant_or_is_refused_again(
    store: Store, clock: ManualClock, seconds: float, fault: ConnectorError
) -> None:
    """Once the provider's time is over, and after a refusal of the client, though it has issued tokens."""
    put(store, "p", age=3000)
    endpoint = FakeEndpoint(store, fault)
    endpoint.during = lambda: clock.advance(seconds)
    with pytest.raises(type(fault)):
        handing_out(store, endpoint, reuse_seconds=lambda: 30.0).refresh("p", force=True)
    assert endpoint.sent == ["rt-p-0"]


def test_response_that_a_killed_process_lost_is_recorded_once(store: Store) -> None:
    """The connection is degraded until the one attempt that is left; two reads record one event."""
    put(store, "p", age=3300, refresh_sends=1, refresh_since=FromNow(-20))
    endpoint = FakeEndpoint(store)
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError) as caught:
            handing_out(store, endpoint).refresh("p")
        assert caught.value.retry_after == pytest.approx(300 - 10, abs=1)
        assert handing_out(store, endpoint).access_token("p", min_ttl=1000) == "at-p-0"
    row, events = row_of(store, "p"), store.audit.events(practice_id="p")
    assert (row.state, row.reason, endpoint.sent) == ("degraded", "answer_lost", [])
    assert (row.refresh_by, row.refresh_until, caught.value.sent) == (None, None, False)
    assert [event.outcome for event in events if event.kind == "refresh"] == ["answer_lost"]


def test_refusal_after_a_lost_response_names_it(store: Store, clock: ManualClock) -> None:
    """A grant that a lost response has ended is distinguished from one that the practice has ended."""
    put(store, "p", age=3590)
    endpoint = FakeEndpoint(store, lost(), GrantRefusedError("refused", certain=True))
    tokens = handing_out(store, endpoint)
    assert tokens.access_token("p") == "at-p-0"
    clock.advance(20)
    with pytest.raises(NeedsRepairError, match="answer_lost"):
        tokens.access_token("p")


def test_refusal_after_a_late_write_counts_as_a_lost_response(store: Store, clock: ManualClock) -> None:
    """An old token that is sent again because newer ones were stored late counts as a lost response."""
    refused = GrantRefusedError("reuse", certain=True)
    endpoint = FakeEndpoint(store, refused, refused)
    first = store.leases.claim(put(store, "p", age=3700), 100.0)
    assert first is not None
    killed = store.grants.change(first, {"refresh_by": f"{this_process().rpartition(' ')[0]} 1"})
    assert killed is not None
    endpoint.during = lambda: store.leases.settle(killed, token_set("p", clock=clock, number=1))
    assert handing_out(store, endpoint).access_token("p") == "at-p-1"
    assert row_of(store, "p").refresh_sends == 1
    endpoint.during = lambda: None
    clock.advance(3700)
    with pytest.raises(NeedsRepairError):
        handing_out(store, endpoint).access_token("p")
    assert row_of(store, "p").reason == "answer_lost"


@pytest.mark.parametrize(
    ("response", "failures"),
    [
        (GrantRefusedError("refused", certain=True), 0),
        (ProviderUnavailableError("busy", retry_after=0.0, answered=True), 1),
        (ProviderUnavailableError("no way", sent=False), 0),
        (GrantRefusedError("not renewable", certain=True), 0),
    ],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize("slot", [LIVE, UNVERIFIED])
def test_grant_that_is_not_in_use_keeps_its_state(
    store: Store, slot: str, response: ConnectorError, failures: int
) -> None:
    """A refresh that fails does not change a grant that is being revoked, or whose account is not known."""
    tokens = token_set("p", clock=store.clock, age=3700)
    tokens = replace(tokens, refresh_token=None) if "renewable" in str(response) else tokens
    before = (
        put(store, "p", tokens=tokens, state="revoking")
        if slot == LIVE
        else put_unverified(store, "p", tokens=tokens)
    )
    with pytest.raises(type(response)) as caught:
        rotating(store, FakeEndpoint(store, response)).rotate(before)
    assert getattr(caught.value, "certain", None) == getattr(response, "certain", None)
    after = store.grants.row("p", slot)
    assert after is not None
    assert (after.state, after.reason, after.last_error) == (before.state, before.reason, before.last_error)
    assert (after.refresh_by, after.refresh_sends, after.failures) == (None, 0, failures)
    assert (after.retry_in > 0) is (failures > 0 and slot == LIVE)
    assert store.audit.events() == []


@pytest.mark.parametrize(
    ("response", "logged"),
    [
        (None, ["newer tokens of p were stored meanwhile"]),
        (GrantRefusedError("perhaps", certain=False), []),
    ],
)
def test_newer_tokens_of_another_process_are_kept(
    store: Store, response: Exception | None, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """They are not replaced by older ones; a token that was perhaps refused is not sent a second time."""
    put(store, "p", age=3700)
    endpoint, newer = FakeEndpoint(store, response), token_set("p", clock=store.clock, number=9)
    endpoint.during = lambda: store.leases.settle(row_of(store, "p"), newer)
    assert handing_out(store, endpoint).access_token("p") == "at-p-9"
    assert (endpoint.sent, [record.message for record in caplog.records]) == (["rt-p-0"], logged)


@pytest.mark.parametrize(
    ("end", "response", "error"),
    [
        (
            lambda store: store.database.apply([("DELETE FROM ormco_connections", ())]),
            GrantRefusedError("perhaps", certain=False),
            NeedsRepairError,
        ),
        (lambda store: store.grants.change(row_of(store, "p"), {"state": "revoking"}), None, RevokedError),
    ],
)
def test_a_connection_that_ends_during_its_refresh(
    store: Store, end: Callable[[Store], object], response: Exception | None, error: type[ConnectorError]
) -> None:
    """A doubtful refusal of a deleted one leads to no second call; a revoked one provides no token."""
    put(store, "p", age=3700)
    endpoint = FakeEndpoint(store, response)
    endpoint.during = lambda: end(store)
    with pytest.raises(error):
        handing_out(store, endpoint).access_token("p")
    assert endpoint.sent == ["rt-p-0"]


def test_rejected_token_is_renewed_once(store: Store, clock: ManualClock) -> None:
    """However many calls get 401, early or late, the token is refreshed once; the new one is not."""
    put(store, "p")
    endpoint = FakeEndpoint(store)
    tokens = handing_out(store, endpoint)
    assert tokens.access_token("p") == "at-p-0"
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(partial(tokens.access_token, rejected="at-p-0"), ["p"] * 8)} == {"at-p-1"}
    assert handing_out(store, endpoint).access_token("p", rejected="at-p-0") == "at-p-1"  # another process
    clock.advance(100)
    assert tokens.access_token("p") == "at-p-1"
    for ask in (tokens.access_token, tokens.token):
        with pytest.raises(ProviderUnavailableError, match="just renewed") as caught:
            ask("p", rejected="at-p-1")
        assert caught.value.answered
        assert caught.value.retry_after == pytest.approx(800, abs=1)
    assert len(endpoint.sent) == 1


def test_token_that_is_rejected_much_later(store: Store, clock: ManualClock) -> None:
    """A token that was used for a while and is rejected then may be refreshed again."""
    put(store, "p")
    endpoint = FakeEndpoint(store)
    tokens = handing_out(store, endpoint)
    assert tokens.access_token("p", rejected="at-p-0") == "at-p-1"
    clock.advance(1800)
    assert tokens.access_token("p", rejected="at-p-1") == "at-p-2"


@pytest.mark.parametrize(("lifetime", "second"), [(1.0, 1), (0.0, 2), (-5.0, 2)])
def test_token_that_ends_soon_or_had_ended_when_it_came(store: Store, lifetime: float, second: int) -> None:
    """A token that was just refreshed is returned, however short its lifetime; an expired one only once."""
    put(store, "p", age=3700)
    endpoint = FakeEndpoint(store)
    endpoint.lifetime = lifetime
    tokens = handing_out(store, endpoint)
    assert [tokens.access_token("p", min_ttl=3600) for _ in range(2)] == ["at-p-1", f"at-p-{second}"]


def test_subscriber_may_ask_for_the_same_practice(store: Store) -> None:
    """A subscriber to a repair or a failure may request a token of the same practice."""
    put(store, "p", age=3700, state="degraded")
    tokens = handing_out(store, FakeEndpoint(store))
    heard: list[tuple[int, str]] = []

    def hear(event: Event) -> None:
        heard.append((event.sequence, tokens.access_token("p", min_ttl=10)))

    store.audit.subscribe(hear)
    asking = threading.Thread(target=tokens.access_token, args=("p",), daemon=True)
    asking.start()
    asking.join(30)
    assert not asking.is_alive()
    assert heard == [(store.audit.events()[-1].sequence, "at-p-1")]


def test_a_thread_waits_for_another_only_for_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the refresh of one thread hangs, another thread that needs the token gets an error in the end."""
    monkeypatch.setattr(schedule, "WAIT_SECONDS", 0.1)
    put(store, "p", age=3700)
    endpoint, errors = FakeEndpoint(store), list[BaseException | None]()
    tokens = handing_out(store, endpoint)
    with ThreadPoolExecutor() as pool:
        endpoint.during = lambda: errors.append(pool.submit(tokens.access_token, "p").exception(20))
        assert tokens.access_token("p") == "at-p-1"
    assert [type(error) for error in errors] == [StoreLockedError]


def test_nothing_after_close(store: Store) -> None:
    """A closed connector hands out no token, not even from memory."""
    put(store, "p")
    tokens = handing_out(store, FakeEndpoint(store))
    assert tokens.access_token("p") == "at-p-0"
    tokens.close()
    for attempt in (tokens.access_token, tokens.token, tokens.refresh):
        with pytest.raises(StoreUnavailableError, match="closed"):
            attempt("p")


def test_close_while_a_refresh_is_in_progress(tmp_path: Path, server: TokenServer) -> None:
    """Closing does not wait for a refresh in the background, which still stores its tokens."""
    store = store_at(fresh_url("sqlite", tmp_path))
    put(store, "p", age=3300)
    server.set(latency=1.0)
    tokens = tokens_on(store, server.url, proactive=True)
    assert tokens.access_token("p") == "at-p-0"
    while not server.counts()["under_way"]:
        time.sleep(0.01)
    closed = threading.Event()
    tokens.close(then=closed.set)
    assert not closed.is_set()
    assert closed.wait(30)
    assert value_of(store, "p") == ("at-p-1", "rt-p-1")
