"""Refresh on a disk that is full: arguments are a folder on a small file system, and "before" or "during"."""

from __future__ import annotations

import sys
from pathlib import Path

from connector.clock import Clock
from connector.errors import ConnectorError
from connector.oauth.token_set import TokenSet
from connector.refresh import Refresher
from tests.support.stores import endpoint_of, grant_for, store_at
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
    """A token endpoint whose answer arrives on a disk that has become full."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._endpoint = endpoint_of(url)("test")

    def refresh(self, refresh_token: str) -> TokenSet:
        tokens = self._endpoint.refresh(refresh_token)
        _fill(self._folder)
        return tokens


def main(folder: Path, scenario: str) -> str:
    store = store_at(f"sqlite:///{folder}/store.db")
    store.check()
    store.put(grant_for("p", age=3700), expected_generation=None)
    with TokenServer() as server:
        if scenario == "before":
            store.close()
            (folder / "store.db-reserve").unlink()  # as if somebody had cleaned up
            _fill(folder)
            refresher = Refresher(store, endpoint_of(server.url), Clock())
        else:
            refresher = Refresher(store, lambda name: _Filling(folder, server.url), Clock())
        try:
            result = refresher.access_token("p")
        except ConnectorError as exc:
            result = type(exc).__name__
        (folder / "ballast").unlink()
        connection = store.connection("p")
        assert connection is not None
        return f"{result}, {server.counts()['calls']} calls, {connection.state}"


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1]), sys.argv[2]) + "\n")
