"""Access tokens in memory: how long each is returned without a read of the store."""

from __future__ import annotations

import pytest

from connector.refresh.memory import TokenMemory
from connector.store.held_token import HeldToken
from tests.support.clock import ManualClock


@pytest.fixture
def memory(clock: ManualClock) -> TokenMemory:
    return TokenMemory(clock)


def held(clock: ManualClock, *, lives: float = 3600.0, ahead: float = 0.0, generation: int = 1) -> HeldToken:
    """Return a new token; the database's clock is ahead by some seconds."""
    now = clock.time() + ahead
    return HeldToken("at", generation, now, now + lives, now)


def test_a_token_is_read_again_after_two_seconds(memory: TokenMemory, clock: ManualClock) -> None:
    """A revocation by another process takes effect after at most two seconds."""
    memory.put("p", "at", held(clock))
    clock.advance(1.9)
    assert memory.valid("p", 60.0) is not None
    clock.advance(0.2)
    assert memory.valid("p", 60.0) is None


@pytest.mark.parametrize("ahead", [-500.0, 500.0])
def test_times_are_by_this_clock(memory: TokenMemory, clock: ManualClock, ahead: float) -> None:
    """A database with another time changes neither the expiry of a token nor its refresh."""
    cached = memory.put("p", "at", held(clock, ahead=ahead))
    assert cached.expires_at == pytest.approx(clock.time() + 3600, abs=1)
    assert clock.time() + 2800 < cached.refresh_at < clock.time() + 3600
    assert "'at'" not in repr(cached)


def test_a_token_is_refreshed_at_one_time(memory: TokenMemory, clock: ManualClock) -> None:
    """A token that is read again keeps the time at which it is refreshed; another has its own."""
    times = {memory.put("p", "at", held(clock, generation=each)).refresh_at for each in (1, 1, 2, 2)}
    assert len(times) == 2


def test_a_token_is_never_returned_after_its_expiry(memory: TokenMemory, clock: ManualClock) -> None:
    """Not within the two seconds, nor while the store is unavailable."""
    cached = memory.put("p", "at", held(clock, lives=1.0))
    assert memory.valid("p", 0.0) is cached
    assert memory.valid("p", 5.0) is None
    clock.advance(0.5)
    cached.recheck_later(clock.time())
    clock.advance(0.6)
    assert memory.valid("p", 0.0) is None


def test_an_unavailable_store_is_asked_every_two_seconds(memory: TokenMemory, clock: ManualClock) -> None:
    """A token that could not be read again is returned for two more seconds."""
    cached = memory.put("p", "at", held(clock))
    clock.advance(10.0)
    assert memory.valid("p", 0.0) is None
    cached.recheck_later(clock.time())
    assert memory.valid("p", 0.0) is cached
    clock.advance(-0.1)
    assert memory.valid("p", 0.0) is None
    clock.advance(2.2)
    assert memory.valid("p", 0.0) is None


@pytest.mark.parametrize("min_ttl", ["60", None, 10**400])
def test_an_invalid_time_finds_nothing(memory: TokenMemory, clock: ManualClock, min_ttl: object) -> None:
    """The code that reads the store reports what is wrong with it."""
    memory.put("p", "at", held(clock))
    assert memory.valid("p", min_ttl) is None  # type: ignore[arg-type]


def test_a_closed_memory_keeps_nothing(memory: TokenMemory, clock: ManualClock) -> None:
    """Not what it had, nor what a refresh in progress brings."""
    memory.put("p", "at", held(clock))
    memory.close()
    memory.put("q", "at", held(clock))
    assert (memory.get("p"), memory.get("q")) == (None, None)
