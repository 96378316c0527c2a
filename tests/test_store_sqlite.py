"""The embedded store: its file, its folder, and what can be wrong with them."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from connector import Config, Connector, Secret
from connector.clock import Clock
from connector.connection import Event
from connector.errors import (
    SettingError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.store import open_store
from connector.store.database import Execute
from connector.store.sqlite_files import network_share
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.forks import fork
from tests.support.small_disk import on_a_small_disk
from tests.support.stores import KEY, put, row_of, store_at, value_of

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stores" / "store.db"


@pytest.fixture
def store(path: Path) -> Store:
    store = store_at(f"sqlite:///{path}")
    put(store, "p")
    return store


def test_open_store_does_nothing(path: Path) -> None:
    """Neither opening nor asking makes a file; the first write does."""
    store = store_at(f"sqlite:///{path}")
    assert store.connection("p") is None
    assert store.facts()["exists"] == "no"
    assert not path.parent.exists()
    store.check()
    assert path.exists()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/store.db", "/var/lib/store.db"),
        ("sqlite:///store.db", "{cwd}/store.db"),
        ("sqlite:///~/store.db", "{home}/store.db"),
        ("sqlite:///./a b/%41.db", "{cwd}/a b/%41.db"),
    ],
)
def test_open_store_path(url: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The path is absolute, relative or in the home folder, and used unchanged."""
    monkeypatch.chdir(tmp_path)
    facts = store_at(url).facts()
    assert facts["path"] == expected.format(cwd=tmp_path, home=Path.home())


@pytest.mark.parametrize(
    "url", ["", "store.db", "mysql://host/db", "sqlite://", "sqlite:///", "sqlite:store.db"]
)
def test_open_store_unknown_url(url: str) -> None:
    """An address that is none of a store is refused at once."""
    with pytest.raises(SettingError, match="store's address"):
        open_store(url, keys=KEY, clock=Clock())


@posix
def test_files_are_private(path: Path, store: Store) -> None:
    """No other user can read the store, whatever the umask."""
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@posix
def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    """The permissions of an existing folder stay; a store that others can read is reported."""
    tmp_path.chmod(0o755)
    store = store_at(f"sqlite:///{tmp_path}/store.db")
    store.check()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert "readable_by_others" not in store.facts()
    (tmp_path / "store.db").chmod(0o640)
    assert store.facts()["readable_by_others"] == "yes"
    store.close()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "store.db")
    with closing(store_at(f"sqlite:///{link}")) as linked:
        assert linked.facts()["symlink_to"] == str(tmp_path / "store.db")


def test_network_share_is_reported() -> None:
    """A store on a network share is pointed out: locks do not hold between its machines."""
    mounts = "server:/x /mnt/share nfs4 rw 0 0\n/dev/sda1 / ext4 rw 0 0\n"
    assert network_share(Path("/mnt/share/store.db"), mounts) == "nfs4"
    assert network_share(Path("/mnt/store.db"), mounts) == ""
    assert network_share(Path("//server/share/store.db"), mounts) == "UNC path"


def test_damaged_file(path: Path, store: Store) -> None:
    """A file that is not a database any more is an error of its own, and is not touched."""
    store.close()
    content = b"this is no database" * 500
    path.write_bytes(content)
    for attempt in (store.check, lambda: store.connection("p"), lambda: list(store.overview.connections())):
        with pytest.raises(StoreDamagedError):
            attempt()
    assert path.read_bytes() == content


def test_damaged_page(path: Path, store: Store) -> None:
    """Damage in the middle of the file is reported as such."""
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError):
        store.connection("p")


def test_another_programs_database(path: Path) -> None:
    """A database of another program is not made into a store."""
    path.parent.mkdir(0o700)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE patients (id INTEGER)")
    db.close()
    with pytest.raises(StoreDamagedError, match="another program"):
        store_at(f"sqlite:///{path}").check()


@pytest.mark.parametrize("below", ["", "/file/store.db"])
def test_path_that_cannot_be_a_file(tmp_path: Path, below: str) -> None:
    """A path that is a folder, or below a file, is an error of ours."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError):
        store_at(f"sqlite:///{tmp_path}{below}").check()


def test_busy_for_too_long(path: Path, store: Store) -> None:
    """A program that keeps the file for itself is named as the cause; readers are not disturbed by it."""
    hasty = store_at(f"sqlite:///{path}", patience=0.2)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreLockedError):
            hasty.check()
        assert value_of(hasty, "p")[0] == "at-p-0"
    finally:
        db.close()
    hasty.check()


def test_busy_for_a_while(path: Path, store: Store) -> None:
    """The wait for another program that writes is in real time, whatever a test's clock says."""
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.7, writer.close)
    done.start()
    with closing(store_at(f"sqlite:///{path}", clock=ManualClock())) as waiting:
        waiting.check()
    done.join()


def test_close_leaves_one_database_file(path: Path, store: Store) -> None:
    """After the last close everything is in the one file, and the store opens again."""
    store.close()
    assert not path.with_name("store.db-wal").exists()
    assert value_of(store, "p")[0] == "at-p-0"


def test_interrupted_write_leaves_nothing(store: Store) -> None:
    """Ctrl-C inside a transaction rolls it back, and no other."""

    def interrupted(execute: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.database.transact(interrupted)
    waiting = threading.Thread(target=store.check)
    waiting.start()
    waiting.join(30)
    assert not waiting.is_alive()


READ = "{'connected': 2}, at-fresh-0, wrote: "


@posix
@pytest.mark.parametrize(
    ("scenario", "outcome"),
    [
        ("before", "StoreUnavailableError, 0 calls, connected"),
        ("during", "at-p-1, 1 calls, connected"),
        ("read", f"{READ}True, reserve kept: False"),
        ("no reserve", f"{READ}StoreUnavailableError, reserve kept: False"),
    ],
)
def test_full_disk(tmp_path: Path, scenario: str, outcome: str) -> None:
    """Without space for new tokens no refresh is sent; a disk that fills up during the call costs none.

    Stored tokens are returned while the disk is full; the reserve is for writes alone.
    """
    done = on_a_small_disk(tmp_path, "4m", ["-m", "tests.support.full_disk", str(tmp_path), scenario])
    assert (done.returncode, done.stdout.strip()) == (0, outcome), done.stderr


@posix
@pytest.mark.skipif(os.name == "posix" and os.getuid() == 0, reason="root may write anywhere")
def test_read_only_store(path: Path, store: Store) -> None:
    """A read-only store is detected before anything is spent."""
    store.close()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError):
            store.check()
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("how", ["forgotten", "dropped"])
def test_nothing_remains_of_a_deleted_token(tmp_path: Path, how: str) -> None:
    """A token that was wiped is in no file of the store, not even as it was sealed."""
    store = store_at(f"sqlite:///{tmp_path / 'store.db'}")
    sealed = bytes(put(store, "p").access_sealed or b"")

    def kept() -> list[str]:
        return sorted(path.name for path in tmp_path.iterdir() if sealed in path.read_bytes())

    assert kept() != []
    if how == "forgotten":
        store.forget("p", Event(at=Clock().utc_now(), kind="forget", outcome="ok", practice_id="p"))
    else:
        assert store.grants.drop(row_of(store, "p"), [])
        store.database.scrub()
    assert kept() == []


def test_lag_is_read_from_an_index(store: Store) -> None:
    """A monitor's query of overdue connections reads no rows, however many there are."""
    sql = "SELECT COUNT(*), MIN(due_at) FROM ormco_connections WHERE due_at < 0 AND failures = 0"
    plan = " ".join(str(row) for row in store.database.all(f"EXPLAIN QUERY PLAN {sql}", ()))
    assert "COVERING INDEX ormco_connections_due" in plan


def test_wiped_tokens_of_a_killed_process_leave_the_disk(tmp_path: Path) -> None:
    """A run of the timer empties the log for a process that was killed before it could."""
    config = Config(provider="sandbox", store=f"sqlite:///{tmp_path / 'store.db'}", store_keys=Secret(KEY))
    server = store_at(f"sqlite:///{tmp_path / 'store.db'}")  # while the server has it open, the log stays
    sealed = bytes(put(server, "p").access_sealed or b"")
    server.database.apply([("DELETE FROM ormco_connections", ())])
    with Connector.from_config(config) as connector:
        connector.refresh_due()
    assert [path.name for path in tmp_path.iterdir() if sealed in path.read_bytes()] == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at the handles that are open")
def test_closed_while_a_thread_reads(store: Store, path: Path) -> None:
    """A read in progress when the store is closed leaves no handle open."""

    class ClosesTheStore:
        def __conform__(self, protocol: object) -> str:
            store.close()
            return "p"

    sql = "SELECT practice_id FROM ormco_connections WHERE practice_id = ?"
    assert store.database.all(sql, [ClosesTheStore()])
    links = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [link for link in links if link.startswith(str(path))]


def test_forked_while_a_thread_writes(store: Store) -> None:
    """A child that is forked in the middle of a commit can write: SQLite copies no lock into it."""
    put(store, "p")
    begun = threading.Event()

    def write(execute: Execute) -> None:
        begun.set()
        time.sleep(0.3)

    thread = threading.Thread(target=store.database.transact, args=(write,))
    thread.start()
    begun.wait()
    status = fork(lambda: put(store, "q"))
    thread.join()
    assert status() == 0
