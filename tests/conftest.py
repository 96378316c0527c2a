"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import RunningSandbox, running_sandbox


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the settings, the home folder and the keyring of whoever runs the tests out of them."""
    import os

    for name in list(os.environ):
        if name.startswith("ORMCO_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


@pytest.fixture
def classic() -> Iterator[RunningSandbox]:
    """A sandbox of the classic generation."""
    with running_sandbox("classic") as sandbox:
        yield sandbox


@pytest.fixture
def identity() -> Iterator[RunningSandbox]:
    """A sandbox of the identity generation."""
    with running_sandbox("identity") as sandbox:
        yield sandbox


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A SQLite store that does not exist yet."""
    return f"sqlite:///{tmp_path / 'connections.db'}"
