"""A store under attack: by a DBA who writes to it, or by a user who has planted files."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from connector.errors import SealingKeyError, StoreDamagedError, StoreError, StoreUnavailableError
from connector.store.held_token import read_held
from connector.store.keys import key_file, parse_keys
from connector.store.sealing import KeyRing, sealed_data
from connector.store.sqlite_files import translate
from connector.store.store import Store
from tests.support.stores import KEY, OTHER_KEY, put, row_of, store_at, value_of

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and links are POSIX's")
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
STRANGER = 54321  # a user id that no user has
EVIL_KEY = "ZXZpbC1rZXktb2YtYW4tYXR0YWNrZXItMDAwMDAwMDE="
EVIL = KeyRing(parse_keys(EVIL_KEY, origin="the attack"))


def execute(store: Store, sql: str, *args: object) -> None:
    """Do what an attacker who can write to the database can do."""
    store.database.apply([(sql, args)])


def name_another_key(store: Store, folder: Path) -> None:
    """Make the database name another source, place and key."""
    (folder / "evil.key").write_text(EVIL_KEY)
    (folder / "evil.key").chmod(0o600)
    execute(
        store,
        "UPDATE ormco_store SET key_source = 'file', key_place = ?, key_id = ?, key_proof = NULL",
        str(folder / "evil.key"),
        EVIL.ids[0],
    )


def opened(url: str, keys: str | None, *, fill: bool = True) -> Store:
    store = store_at(url, keys=keys)
    if fill:
        put(store, "p")
    else:
        store.facts()
        store.database.open()
    return store


@pytest.mark.parametrize("keys", [None, KEY], ids=["file", "environment"])
@pytest.mark.parametrize("fill", [True, False], ids=["in use", "new"])
def test_a_key_that_the_database_names_seals_nothing(
    url: str, tmp_path: Path, keys: str | None, fill: bool
) -> None:
    """Nothing is sealed with, or opened by, a key that only the database knows of."""
    store = opened(url, keys, fill=fill)
    name_another_key(store, tmp_path)
    again = store_at(url, keys=keys)
    for attempt in (again.check, again.rotate_keys, lambda: put(again, "q")):
        with pytest.raises(SealingKeyError):
            attempt()


@pytest.mark.parametrize("keys", [None, KEY], ids=["file", "environment"])
def test_a_planted_row_is_not_resealed(url: str, tmp_path: Path, keys: str | None) -> None:
    """A rotation of the keys reseals no value that was sealed with another's key."""
    store = opened(url, keys)
    row = row_of(store, "p")
    store_id = store.database.store_id
    evil = EVIL.seal("an attacker's token", sealed_data(store_id, row, "access_sealed"))
    execute(store, "UPDATE ormco_connections SET access_sealed = ?", evil)
    name_another_key(store, tmp_path)
    again = store_at(url, keys=keys)
    for attempt in (again.rotate_keys, lambda: value_of(again, "p")):
        with pytest.raises(StoreError):
            attempt()
    row = again.database.one("SELECT access_sealed FROM ormco_connections WHERE practice_id = 'p'", ())
    assert bytes(row[0]) == evil


@pytest.mark.parametrize(
    "change",
    [
        "key_source = 'keyring'",
        "key_source = 'file'",
        "store_id = '0123456789abcdef'",
        "key_proof = 'invented'",
    ],
)
def test_a_changed_record_of_the_key_is_refused(url: str, change: str) -> None:
    """The key signs the store, its source and its own name; nobody else can."""
    store = opened(url, KEY)
    execute(store, f"UPDATE ormco_store SET {change}")
    again = store_at(url, keys=KEY)
    with pytest.raises(SealingKeyError, match="has not signed"):
        value_of(again, "p")
    with pytest.raises(SealingKeyError):
        again.rotate_keys()


def test_a_store_id_that_is_a_path_leads_nowhere(url: str, tmp_path: Path) -> None:
    """The store's id is part of a file name, so it can be nothing but an id."""
    store = opened(url, None)
    (tmp_path / "evil.key").write_text(EVIL_KEY)
    (tmp_path / "evil.key").chmod(0o600)
    execute(store, "UPDATE ormco_store SET store_id = ?, key_id = ?", str(tmp_path / "evil"), EVIL.ids[0])
    again = store_at(url, keys=None)
    with pytest.raises(StoreDamagedError, match="id is malformed"):
        value_of(again, "p")


def test_a_record_without_proof_gets_one(url: str) -> None:
    """A store of an earlier version opens, and its key signs its record from then on."""
    store = opened(url, KEY)
    execute(store, "UPDATE ormco_store SET key_proof = NULL")
    again = store_at(url, keys=KEY)
    assert value_of(again, "p") is not None
    again.check()
    assert again.database.one("SELECT key_proof FROM ormco_store", ())[0] is not None


@posix
@pytest.mark.parametrize("kind", ["pipe", "link", "readable", "folder for all"])
def test_an_untrusted_key_file_is_refused(url: str, tmp_path: Path, kind: str) -> None:
    """A pipe does not hang, a link is not followed, and a file that others can read or replace is refused."""
    store = opened(url, None)
    path = key_file(store.facts()["store_id"])
    store.close()
    if kind == "readable":
        path.chmod(0o644)
    elif kind == "folder for all":
        path.parent.chmod(0o777)
    else:
        path.rename(tmp_path / "moved")
        os.mkfifo(path, 0o600) if kind == "pipe" else path.symlink_to(tmp_path / "moved")
    again = store_at(url, keys=None)
    with pytest.raises(SealingKeyError, match=r"not a regular file|can read it|every user"):
        value_of(again, "p")


def give_away(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def store_file(path: Path) -> None:
    path.touch(0o666)
    give_away(path)


def journal(path: Path) -> None:
    opened(f"sqlite:///{path}", KEY).close()
    path.with_name(f"{path.name}-wal").touch()
    give_away(path.with_name(f"{path.name}-wal"))


def link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    give_away(path)


def folder(path: Path) -> None:
    give_away(path.parent)


@posix
@needs_root
@pytest.mark.parametrize("plant", [store_file, journal, link, folder])
def test_files_that_another_user_planted_are_refused(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    """Neither their file, nor their journal beside one's own, nor their link, nor their folder."""
    path = tmp_path / "shared" / "store.db"
    path.parent.mkdir()
    path.parent.chmod(0o1777)
    plant(path)
    store = store_at(f"sqlite:///{path}")
    for attempt in (store.check, lambda: store.connection("p"), store.facts):
        with pytest.raises(StoreUnavailableError, match="another user"):
            attempt()
    assert not path.with_name("elsewhere").exists()


@posix
@needs_root
def test_a_journal_beside_the_target_of_an_own_link(tmp_path: Path) -> None:
    """SQLite would read it there, so it is checked there."""
    (tmp_path / "elsewhere").mkdir()
    opened(f"sqlite:///{tmp_path}/elsewhere/real.db", KEY).close()
    (tmp_path / "store.db").symlink_to("elsewhere/real.db")
    (tmp_path / "elsewhere" / "real.db-wal").touch()
    give_away(tmp_path / "elsewhere" / "real.db-wal")
    store = store_at(f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(StoreUnavailableError, match="another user"):
        store.check()


@posix
@pytest.mark.parametrize("kind", ["hard link", "symbolic link", "link to nothing"])
def test_a_planted_link_is_not_written_through(tmp_path: Path, kind: str) -> None:
    """The target of a link under the name of a file beside the store stays as it is, and none is made."""
    target, planted = tmp_path / "precious", tmp_path / "store.db-reserve"
    target.write_text("precious")
    target.chmod(0o600)
    planted.hardlink_to(target) if kind == "hard link" else planted.symlink_to(target)
    if kind == "link to nothing":
        target.unlink()
    store = store_at(f"sqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(StoreUnavailableError, match=r"regular file|second name"):
        store.check()
    assert (target.read_text() if target.exists() else "") == ("" if "nothing" in kind else "precious")


@posix
def test_a_check_for_free_space_writes_through_no_link(tmp_path: Path) -> None:
    """The target of a link beside the store is not changed when an error is examined."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "store.db-probe").symlink_to("precious")
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR
    translate(failed, tmp_path / "store.db")
    assert (tmp_path / "precious").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "store.db-probe"]


@pytest.mark.parametrize("value", ["text", b"\xff\xfe", 9e300])
def test_a_value_of_another_type_is_damage(tmp_path: Path, value: object) -> None:
    """SQLite keeps any value in any column: in each column it leads to an error of ours."""
    url = f"sqlite:///{tmp_path}/store.db"
    opened(url, KEY).close()
    pristine = (tmp_path / "store.db").read_bytes()
    for table in ("ormco_connections", "ormco_store", "ormco_events"):
        for column in columns_of(tmp_path / "store.db", table):
            (tmp_path / "store.db").write_bytes(pristine)
            with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as db, db:
                db.execute("DROP TRIGGER ormco_events_unchanged")
                with contextlib.suppress(sqlite3.Error):  # a constraint protects that column
                    db.execute(f"UPDATE {table} SET {column} = ?", (value,))
            store = store_at(url, keys=KEY)
            for read in (partial(opened_row, store), store.ping, store.rotate_keys, store.audit.events):
                with contextlib.suppress(StoreError):
                    read()
            store.close()


def opened_row(store: Store) -> None:
    read_held(store.database, store.keys, "p")
    row = store.grants.row("p")
    if row is not None:
        assert row.connection
        store.grants.access_token(row)


def columns_of(path: Path, table: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


@pytest.mark.parametrize(
    ("change", "keys", "error"),
    [
        ("DELETE FROM ormco_store", KEY, StoreDamagedError),
        ("UPDATE ormco_store SET key_source = 'the attacker'", None, SealingKeyError),
        ("UPDATE ormco_store SET key_source = 'the attacker'", OTHER_KEY, SealingKeyError),
    ],
    ids=["no record", "no source, no key", "no source, another key"],
)
def test_a_store_without_its_own_record(
    url: str, change: str, keys: str | None, error: type[StoreError]
) -> None:
    """Nothing is made up for a lost record or an odd key source, and the error says what to do."""
    execute(opened(url, KEY), change)
    again = store_at(url, keys=keys)
    attempts: list[Callable[[], object]] = [again.ping, again.check, again.rotate_keys]
    for attempt in [*attempts, again.facts] if error is StoreDamagedError else attempts:
        with pytest.raises(error, match="backup|record of its key|key"):
            attempt()
