"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck

from connector import Connector
from connector.sandbox import Sandbox
from connector.store.store import Store
from tests.support.cases import Workflow
from tests.support.clock import ManualClock
from tests.support.connecting import opened, settings
from tests.support.sandbox import RunningSandbox
from tests.support.stores import DATABASES, close_stores, copy_schema, fresh_url, store_at
from tests.support.token_server import TokenServer

# A parent that ignores Ctrl-C (nohup, a shell's background job) passes this on to every process started here.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No deadline: the time depends on the machine, and the first example of a new checkout makes Unicode tables.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# A user who can only read the checkout has no place to keep failed examples.
hypothesis.settings.register_profile(
    "read only", hypothesis.settings.get_profile("any machine"), database=None
)
hypothesis.settings.load_profile("any machine" if os.access(".", os.W_OK) else "read only")


# Test items are a million objects that live until the end, so garbage collection need not visit them.
gc.disable()


def pytest_collection_finish() -> None:
    """Start garbage collection for what tests allocate."""
    gc.freeze()
    gc.enable()


_WAYS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder for each test; `mktemp` would read the names of all earlier ones for each."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, _homes: Iterator[Path]) -> None:
    """Keep the settings, CA bundles, proxies, home and keyring of the current user out of the tests."""
    for name in list(os.environ):
        if name.startswith("ORMCO_") or name in _WAYS or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = next(_homes)
    home.mkdir()
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


@pytest.fixture(autouse=True)
def _closed_stores() -> Iterator[None]:
    """Close every store that a test has opened."""
    yield
    close_stores()


@pytest.fixture
def port_8042(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of `--provider sandbox`, which one test at a time can have, whatever process runs it."""
    fcntl = pytest.importorskip("fcntl", reason="only one test at a time can have the port")
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent  # the folder that all workers share
    with (folder / "port-8042").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield 8042


@pytest.fixture(scope="session")
def _sandboxes() -> Iterator[dict[str, Sandbox]]:
    """A running sandbox of each generation for all tests of this worker."""
    with Sandbox("classic") as classic, Sandbox("identity") as identity:
        yield {"classic": classic, "identity": identity}


@pytest.fixture
def classic(_sandboxes: dict[str, Sandbox]) -> RunningSandbox:
    """A sandbox of the classic generation in which nothing has happened yet."""
    _sandboxes["classic"].reset()
    return RunningSandbox(_sandboxes["classic"])


@pytest.fixture
def identity(_sandboxes: dict[str, Sandbox]) -> RunningSandbox:
    """A sandbox of the identity generation in which nothing has happened yet."""
    _sandboxes["identity"].reset()
    return RunningSandbox(_sandboxes["identity"])


@pytest.fixture(params=["classic", "identity"])
def sandbox(request: pytest.FixtureRequest) -> RunningSandbox:
    """A sandbox of each generation in which nothing has happened yet."""
    found: RunningSandbox = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket, which has 100 characters at most with it."""
    with tempfile.TemporaryDirectory(prefix="ormco-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A SQLite store with nothing in it."""
    return copy_schema(tmp_path / "connections.db")


@pytest.fixture
def env(request: pytest.FixtureRequest, store_url: str) -> dict[str, str]:
    """The settings of a program that works with the test's sandbox, or with classic; its store is empty."""
    sandboxes = [name for name in ("sandbox", "classic", "identity") if name in request.fixturenames]
    return settings(request.getfixturevalue([*sandboxes, "classic"][0]), store_url)


@pytest.fixture
def connector(env: dict[str, str]) -> Iterator[Connector]:
    """A connector with these settings."""
    with opened(env) as connector:
        yield connector


@pytest.fixture
def workflow(classic: RunningSandbox) -> Workflow:
    """The cases of the classic sandbox, with the steps of both sides as commands."""
    return Workflow(classic)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store in each database with nothing in it; the tests of its contract add the pooler."""
    return fresh_url(request.param, tmp_path)


@pytest.fixture
def store(url: str) -> Store:
    """An open store there, ready for use."""
    store = store_at(url)
    store.check()
    return store


@pytest.fixture(scope="session")
def _token_server() -> Iterator[TokenServer]:
    """A token endpoint for all tests of this worker."""
    with TokenServer() as server:
        yield server


@pytest.fixture
def server(_token_server: TokenServer) -> TokenServer:
    """A token endpoint with rotating refresh tokens, of which none was sent yet."""
    _token_server.reset()
    return _token_server
