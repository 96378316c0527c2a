"""Refresh on a full disk: arguments are a folder on a small file system, and a scenario of `main`."""

from __future__ import annotations

import sys
from pathlib import Path

from connector.clock import Clock
from connector.errors import ConnectorError
from connector.oauth.token_set import TokenSet
from connector.refresh import AccessTokens
from connector.refresh.rotate import RefreshEndpoint, Rotator
from connector.store.held_token import read_held
from connector.store.store import Store
from tests.support.stores import endpoint_of, put, row_of, store_at
from tests.support.token_server import TokenServer


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue


class _Filling:
    """A token endpoint whose response arrives when the disk has become full."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._endpoint = endpoint_of(url)("test")

    def refresh(self, refresh_token: str) -> TokenSet:
        tokens = self._endpoint.refresh(refresh_token)
        _fill(self._folder)
        return tokens


def _read(store: Store) -> str:
    """Read the store, and ask for a token; then try to write."""
    put_at = row_of(store, "fresh")
    store.ping()
    held = read_held(store.database, store.keys, "fresh")
    try:
        wrote = str(store.grants.change(put_at, {"last_error": "x" * 100_000}) is not None)
    except ConnectorError as exc:
        wrote = type(exc).__name__
    return f"{store.overview.summary().states}, {held and held.value}, wrote: {wrote}"


def main(folder: Path, scenario: str) -> str:
    store = store_at(f"sqlite:///{folder}/store.db")
    store.check()
    put(store, "p", age=3700)
    put(store, "fresh")
    if scenario in ("read", "no reserve"):
        store.close()
        reserve = folder / "store.db-reserve"
        if scenario != "read":
            reserve.unlink()
        _fill(folder)
        return _read(store) + f", reserve kept: {reserve.exists()}"
    with TokenServer() as server:
        endpoint: RefreshEndpoint = endpoint_of(server.url)("test")
        (folder / "store.db-reserve").unlink()  # as if a person had cleaned up
        if scenario == "before":
            store.close()
            _fill(folder)
        else:
            endpoint = _Filling(folder, server.url)
        tokens = AccessTokens(store, Rotator(store, lambda name: endpoint, Clock()), Clock())
        try:
            result = tokens.access_token("p")
        except ConnectorError as exc:
            result = type(exc).__name__
        (folder / "ballast").unlink()
        return f"{result}, {server.counts()['calls']} calls, {row_of(store, 'p').state}"


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1]), sys.argv[2]) + "\n")
