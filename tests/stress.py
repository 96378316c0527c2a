"""The full counts: 64 processes × 16 threads, a thousand kills, 10,000 pastes. Run by scripts/stress."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from connector.store.store import Store
from tests.support.browsers import quick_browser
from tests.support.code_pages import Parser, page_parser, read_by_python
from tests.support.kills import kill_at_random
from tests.support.pastes import pastes
from tests.support.processes import results, workers
from tests.support.stores import KINDS, put
from tests.support.token_server import TokenServer
from tests.support.work import ask

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]

also_pooled = pytest.mark.parametrize("url", KINDS, indirect=True)

PROCESSES, THREADS, RUNS, KILLS = 64, 16, 20, 1000
BATCHES, PASTES = 200, 50


@also_pooled
def test_stampede(url: str, store: Store, server: TokenServer) -> None:
    """In every run all threads of all processes have the new token after one call, and the grant lives."""
    server.set(latency=0.25)
    for run in range(RUNS):
        name = f"p{run}"
        put(store, name, age=3700)
        server.set(calls=0)
        with workers(PROCESSES, ask, url, server.url, name, THREADS) as running:
            found = results(running)
        assert [error for process in found for error in process["errors"]] == []
        assert [token for process in found for token in process["tokens"]] == [f"at-{name}-1"] * (
            PROCESSES * THREADS
        )
        counts = server.counts()
        assert (counts["calls"], counts["reuses"], counts["dead"]) == (1, 0, [])


@also_pooled
def test_kills(url: str, store: Store, server: TokenServer) -> None:
    """Of many kills at random moments none leaves an unreadable store or loses a grant without a word."""
    tally = kill_at_random(store, url, server, kills=KILLS, processes=4)
    assert tally.lost == []
    assert tally.refreshed > KILLS / 10
    assert tally.marked + tally.dead > 0


def test_pastes_on_the_code_page() -> None:
    """Of 10,000 random pastes each has the same verdict, code and words on the page and in Python."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=quick_browser(), args=["--no-sandbox"])
        with page_parser(browser) as parse:
            _compare_pastes(parse)
        browser.close()


def _compare_pastes(parse: Parser) -> None:
    @settings(
        max_examples=BATCHES, suppress_health_check=list(HealthCheck), deadline=None, phases=[Phase.generate]
    )
    @given(st.lists(pastes(), min_size=PASTES, max_size=PASTES))
    def compare(texts: list[str]) -> None:
        assert parse(texts) == [read_by_python(text) for text in texts]

    compare()
