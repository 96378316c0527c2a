"""Measure the time of the command from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.benchmarks.row import Row, interleaved
from tests.support.stores import KEY, put, store_at

__all__ = ["measure"]

_BARE = Path(__file__).with_name("bare_token.py")
_ORMCO = Path(sys.executable).with_name("ormco")


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure `ormco token` with its key from a file and from the environment.

    Args:
        rounds: the number of times that each program is run.
    """
    with tempfile.TemporaryDirectory() as folder:
        url, key_file = f"sqlite:///{folder}/store.db", Path(folder, "keys")
        key_file.write_text(KEY)
        key_file.chmod(0o600)
        store = store_at(url)
        put(store, "p")
        store.close()
        bare = [sys.executable, str(_BARE), f"{folder}/store.db", str(key_file), "p"]
        ours = [str(_ORMCO), "token", "p", "--store", url]
        for where, variable in (
            ("environment", {"ORMCO_STORE_KEYS": KEY}),
            ("file", {"ORMCO_STORE_KEYS_FILE": str(key_file)}),
        ):
            yield _row(where, ours, bare, variable, rounds)


def _row(where: str, ours: Sequence[str], bare: Sequence[str], variable: dict[str, str], rounds: int) -> Row:
    environment = {**os.environ, **variable}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    _seconds(ours, environment), _seconds(bare, environment)  # both compiled, both in the disk's cache
    seconds, beside = interleaved(
        lambda: _seconds(ours, environment), lambda: _seconds(bare, environment), rounds=rounds
    )
    return Row(
        name=f"`ormco token`, key from {where}",
        yardstick="a bare program's same read",
        seconds=seconds,
        beside=beside,
        limit=1.3,
    )


def _seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert run.stdout == "at-p-0\n", run
    return time.perf_counter() - started
