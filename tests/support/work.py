"""What the tests' other processes do."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import connector.oauth.token_endpoint  # noqa: F401 - its import is no part of what is measured
from connector.clock import Clock
from connector.connection import Event, Grant
from connector.errors import GrantError, ProviderUnavailableError
from connector.oauth.token_set import TokenSet
from connector.refresh import Refresher
from connector.store import Store
from connector.store.database import Statement
from tests.support.stores import endpoint_of, refresher_on, store_at

__all__ = ["STEPS", "ask", "crash", "hold_lock", "refresh_for_ever"]

STEPS = (
    "before the intent",
    "inside the intent",
    "after the intent",
    "after the answer",
    "inside the commit",
    "after the commit",
)


def hold_lock(line: Connection, url: str, practice_id: str, number: int) -> None:
    """Take a lock, say so, and keep it until told otherwise."""
    store = store_at(url)
    with store.lock(practice_id, deadline=Clock().deadline(30)):
        line.send("ready")
        line.recv()
    line.send("unlocked")
    line.recv()


def ask(line: Connection, url: str, server: str, practice_id: str, threads: int, number: int) -> None:
    """Ask for an access token from many threads at once; tell the tokens, the errors, and when it was over.

    Args:
        line: to who started this.
        url: the store's.
        server: the token server's URL.
        practice_id: whose token; "{}" stands for this process's number.
        threads: how many.
        number: this process's.
    """
    store = store_at(url)
    store.check()
    refresher = refresher_on(store, server)
    tokens: list[str] = []
    errors: list[str] = []

    def one() -> None:
        try:
            tokens.append(refresher.access_token(practice_id.format(number)))
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
    refresher = refresher_on(store, server)
    line.send("ready")
    while True:
        try:
            refresher.refresh(f"p{random.randrange(practices)}", force=True)
        except (GrantError, ProviderUnavailableError):
            time.sleep(0.005)


def crash(line: Connection, url: str, server: str, practice_id: str, step: str, number: int) -> None:
    """Refresh, and die at a step as `kill -9` would have it, with nothing tidied up."""
    store = store_at(url)
    doomed = _Doomed(step, store, server)
    line.send("ready")
    line.recv()
    Refresher(store, lambda name: doomed, Clock()).access_token(practice_id)


class _Doomed:
    """A store and a token endpoint that do what they should, up to a step."""

    def __init__(self, step: str, store: Store, url: str) -> None:
        self._step = step
        self._endpoint = endpoint_of(url)("test")
        self._store, self._put, self._claim = store, store.put, store.claim
        self._write, self._lock_and_change = store._db.write, store._db.lock_and_change
        self._what = ""
        store.put = self.put  # type: ignore[method-assign]
        store.claim = self.claim  # type: ignore[method-assign]
        store._db.lock_and_change = self.lock_and_change  # type: ignore[method-assign]
        store._db.write = self.write  # type: ignore[method-assign]
        store._db.apply = self.apply  # type: ignore[method-assign]

    def _reach(self, step: str) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)

    def claim(self, practice_id: str, generation: int) -> tuple[bool, Grant | None]:
        self._what = "intent"
        self._reach("before the intent")
        is_ours, grant = self._claim(practice_id, generation)
        if grant is not None:
            self._reach("after the intent")
        return is_ours, grant

    def lock_and_change(
        self, name: str, update: str, args: Sequence[object], *, columns: str
    ) -> tuple[bool, Any]:
        if self._step == "inside the intent":
            assert self._store._db.try_lock(name)
            self.apply([(update.format(ours="TRUE"), args)])
        return self._lock_and_change(name, update, args, columns=columns)

    def put(self, grant: Grant, *, expected_generation: int | None, events: Sequence[Event] = ()) -> Grant:
        self._what = "intent" if grant.refresh_sent_at is not None else "commit"
        self._reach(f"before the {self._what}")
        stored = self._put(grant, expected_generation=expected_generation, events=events)
        self._reach(f"after the {self._what}")
        return stored

    def write(self, work: Any) -> Any:
        def doomed(execute: Any) -> Any:
            result = work(execute)
            self._reach(f"inside the {self._what}")
            return result

        return self._write(doomed)

    def apply(self, statements: Sequence[Statement]) -> list[int]:
        return self.write(lambda execute: [execute(*statement).rowcount for statement in statements])

    def refresh(self, refresh_token: str) -> TokenSet:
        tokens = self._endpoint.refresh(refresh_token)
        self._reach("after the answer")
        return tokens
