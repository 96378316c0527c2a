"""The work of the tests' other processes."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

import connector.oauth.token_endpoint  # noqa: F401 - imported here so that the import is not measured
from connector.clock import Clock
from connector.errors import GrantError, ProviderUnavailableError
from connector.oauth.token_set import TokenSet
from connector.refresh import AccessTokens
from connector.refresh.rotate import Rotator
from connector.store.database import Execute, Statement
from connector.store.row import Row
from connector.store.store import Store
from tests.support.stores import endpoint_of, store_at, tokens_on

STEPS = (
    "before the claim",
    "inside the claim",
    "after the claim",
    "after the answer",
    "inside the settle",
    "after the settle",
)


def ask(line: Connection, url: str, server: str, practice_id: str, threads: int, number: int) -> None:
    """Ask for an access token from many threads; "{}" in the practice is this process's number."""
    store = store_at(url)
    store.check()
    handed_out = tokens_on(store, server)
    tokens: list[str] = []
    errors: list[str] = []

    def one() -> None:
        try:
            tokens.append(handed_out.access_token(practice_id.format(number)))
        except Exception as exc:
            errors.append(f"{type(exc).__name__}: {exc}")

    asking = [threading.Thread(target=one) for _ in range(threads)]
    line.send("ready")
    line.recv()
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    line.send({"tokens": tokens, "errors": errors, "at": time.monotonic()})
    store.close()


def refresh_for_ever(line: Connection, url: str, server: str, practices: int, number: int) -> None:
    """Refresh some practices again and again, until killed."""
    store = store_at(url)
    store.check()
    handed_out = tokens_on(store, server)
    line.send("ready")
    while True:
        try:
            handed_out.refresh(f"p{random.randrange(practices)}", force=True)
        except (GrantError, ProviderUnavailableError):
            time.sleep(0.005)


def crash(line: Connection, url: str, server: str, practice_id: str, step: str, number: int) -> None:
    """Refresh, and die at a step as `kill -9` would have it, with nothing tidied up."""
    store = store_at(url)
    doomed = _Doomed(step, store, server)
    line.send("ready")
    line.recv()
    rotator = Rotator(store, lambda name: doomed, Clock())
    AccessTokens(store, rotator, Clock()).access_token(practice_id, min_ttl=300)


class _Doomed:
    """A store and a token endpoint that work up to a step."""

    def __init__(self, step: str, store: Store, url: str) -> None:
        self._step = step
        self._endpoint = endpoint_of(url)("test")
        self._what = ""
        leases = store.leases
        self._claim, self._settle = leases.claim, leases.settle
        leases.claim = self.claim  # type: ignore[method-assign]
        leases.settle = self.settle  # type: ignore[method-assign]
        self._transact = store.database.transact
        store.database.apply = self.apply  # type: ignore[method-assign]

    def _reach(self, step: str) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        def work(execute: Execute) -> list[int]:
            counts = [execute(*statement).rowcount for statement in statements]
            self._reach(f"inside the {self._what}")  # before the commit
            return counts

        return self._transact(work)

    def claim(self, row: Row, seconds: float) -> Row | None:
        self._what = "claim"
        self._reach("before the claim")
        claimed = self._claim(row, seconds)
        self._reach("after the claim")
        return claimed

    def settle(self, row: Row, tokens: TokenSet, **options: bool) -> Row | None:
        self._what = "settle"
        stored = self._settle(row, tokens, **options)
        self._reach("after the settle")
        return stored

    def refresh(self, refresh_token: str) -> TokenSet:
        tokens = self._endpoint.refresh(refresh_token)
        self._reach("after the answer")
        return tokens
