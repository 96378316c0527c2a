"""When to refresh, and how long to wait: within what bounds, as there is jitter in all of it."""

from __future__ import annotations

import pytest

from connector.refresh.schedule import LONGEST_BACKOFF, backoff, poll_delay, refresh_time
from connector.store.held_token import HeldToken

RECEIVED = 1_800_000_000.0


@pytest.mark.parametrize(
    ("lifetime", "earliest", "latest"),
    [
        (3600, 3600 * 0.8, 3600 * 0.9),
        (20, 16, 18),
        (36_000, 36_000 - 900, 36_000 - 900),
        (86_400, 86_400 - 900, 86_400 - 900),
        (86_401, 3600 * 0.8, 3600 * 0.9),
    ],
)
def test_a_token_is_refreshed_in_the_last_part_of_its_lifetime(
    lifetime: float, earliest: float, latest: float
) -> None:
    """A tenth to a fifth of its lifetime before its end, 15 minutes at most; hourly if it lives for days."""
    token = HeldToken("AT", 1, RECEIVED, RECEIVED + lifetime, RECEIVED + 1)
    times = [refresh_time(token) - RECEIVED for _ in range(200)]
    assert earliest <= min(times) <= max(times) <= latest
    assert (len(set(times)) > 1) is (earliest < latest)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 1), (1, 2), (5, 32), (9, LONGEST_BACKOFF), (10_000, LONGEST_BACKOFF)]
)
def test_a_backoff_doubles_up_to_five_minutes(failures: int, seconds: float) -> None:
    """Each failure in a row doubles the wait, a quarter more or less."""
    waits = [backoff(failures) for _ in range(200)]
    assert seconds * 0.75 <= min(waits) < seconds * 0.9
    assert seconds * 1.1 < max(waits) <= seconds * 1.25


@pytest.mark.parametrize(("waited", "seconds"), [(0, 0.02), (1, 0.12), (2.2, 0.24), (60, 0.25)])
def test_polls_of_another_refresh_slow_down(waited: float, seconds: float) -> None:
    """The pause between two reads grows to a quarter of a second, a quarter more or less."""
    pauses = [poll_delay(waited) for _ in range(200)]
    assert seconds * 0.75 <= min(pauses) < seconds * 0.9
    assert seconds * 1.1 < max(pauses) <= seconds * 1.25
