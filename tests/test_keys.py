"""Where the sealing keys come from, and what happens without them."""

from __future__ import annotations

import platform
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from connector.errors import SealingKeyError, StoreDamagedError
from connector.store.database import Statement
from connector.store.keys import key_file, load_keys, new_key, parse_keys
from connector.store.sealing import KeyRing, key_id
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.forks import fork
from tests.support.old_stores import MADE_AT, old_store
from tests.support.stores import KEY, OTHER_KEY, fresh_url, put, put_unverified, row_of, store_at, value_of
from tests.support.threads import at_once


class FakeKeyring(KeyringBackend):
    """Keeps passwords in memory, or hangs like a keyring that waits to be unlocked."""

    priority = 9

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.unlocked = threading.Event()
        self.unlocked.set()

    def get_password(self, service: str, username: str) -> str | None:
        self.unlocked.wait(10)
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.unlocked.wait(10)
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def fake_keyring() -> Iterator[FakeKeyring]:
    before, fake = keyring.get_keyring(), FakeKeyring()
    keyring.set_keyring(fake)
    yield fake
    fake.unlocked.set()
    for thread in threading.enumerate():
        if thread.name == "ormco-keyring":  # it would use the keyring of the next test
            thread.join()
    keyring.set_keyring(before)


def filled(url: str, keys: str | None) -> Store:
    store = store_at(url, keys=keys)
    for name in ("p", "q"):
        if store.connection(name) is None:
            put(store, name)
    return store


def test_new_key_can_be_set() -> None:
    """A new key is accepted by the setting."""
    assert [len(key) for key in parse_keys(f"{new_key()}, {new_key()}\n", origin="it")] == [32, 32]


@pytest.mark.parametrize("text", ["", " , ", "short", "b3Jt", f"{KEY},x", "é" * 44, KEY + "AA"])
def test_malformed_keys(text: str) -> None:
    """A setting that holds no key is refused, without showing what it holds."""
    with pytest.raises(SealingKeyError) as caught:
        parse_keys(text, origin="ORMCO_STORE_KEYS")
    assert KEY not in f"{caught.value} {caught.value.hint}"


def test_wrong_key_changes_nothing(url: str) -> None:
    """With another key than the store's, everything that needs it is refused and nothing is written."""
    store = filled(url, KEY)
    before = store.database.all("SELECT * FROM ormco_connections", ())
    wrong = store_at(url, keys=OTHER_KEY)
    for attempt in (wrong.check, lambda: value_of(wrong, "p"), lambda: put(wrong, "new")):
        with pytest.raises(SealingKeyError, match="not with"):
            attempt()
    assert store.database.all("SELECT * FROM ormco_connections", ()) == before
    assert wrong.connection("p") is not None


@pytest.mark.parametrize(
    ("first", "later", "words"), [(KEY, None, "ORMCO_STORE_KEYS"), (None, KEY, "key file")]
)
def test_keys_come_from_the_recorded_source(
    url: str, first: str | None, later: str | None, words: str
) -> None:
    """A missing key is no reason for a new one; a setting does not change where a store's key is."""
    filled(url, first).close()
    store = store_at(url, keys=later)
    with pytest.raises(SealingKeyError, match=words) as caught:
        store.check()
    assert later is None or "rotate the keys" in caught.value.hint


def test_key_file_is_made_and_found_again(url: str) -> None:
    """Without a setting and a keyring, a key file is made that only its owner reads, away from the store."""
    store = filled(url, None)
    facts = store.facts()
    store.close()
    path = Path(facts["key_place"])
    assert facts["key_source"] == "file"
    assert path == key_file(facts["store_id"])
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = store_at(url, keys=None)
    assert value_of(again, "p")[0] == "at-p-0"


def test_missing_key_file(url: str) -> None:
    """A missing key file is an error that names it, and is not replaced."""
    store = filled(url, None)
    path = Path(store.facts()["key_place"])
    store.close()
    path.unlink()
    store = store_at(url, keys=None)
    with pytest.raises(SealingKeyError, match="cannot be read"):
        value_of(store, "p")
    store.close()
    assert not path.exists()


def test_first_starts_agree_on_one_key(url: str) -> None:
    """Stores that are opened for the first time at the same time use the same key."""
    stores = [store_at(url, keys=None) for _ in range(6)]
    at_once(6, lambda number: put(stores[number], f"p{number}"))
    for store in stores:
        assert all(value_of(store, f"p{number}")[0] for number in range(6))


def test_keyring_is_preferred(url: str, fake_keyring: FakeKeyring) -> None:
    """A keyring that responds keeps the key, and is used again the next time."""
    filled(url, None).close()
    store = store_at(url, keys=None)
    assert value_of(store, "p")[0] == "at-p-0"
    assert store.facts()["key_source"] == "keyring"
    assert len(fake_keyring.entries) == 1
    fake_keyring.entries.clear()
    store = store_at(url, keys=None)
    with pytest.raises(SealingKeyError, match="does not hold"):
        value_of(store, "p")


@pytest.mark.parametrize("kept_in", ["keyring", "file"])
def test_a_key_that_is_there_is_never_replaced(
    url: str, request: pytest.FixtureRequest, kept_in: str
) -> None:
    """A store that was edited to have no key yet keeps its key."""
    if kept_in == "keyring":
        request.getfixturevalue("fake_keyring")
    filled(url, None).close()
    request.getfixturevalue("fake_keyring")
    store = store_at(url, keys=None)
    store.database.apply([("UPDATE ormco_store SET key_source = NULL, key_id = NULL, key_proof = NULL", ())])
    assert value_of(store, "p")[0] == "at-p-0"
    assert store.facts()["key_source"] == kept_in


def test_keyring_that_hangs(url: str, fake_keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring that does not respond in time is skipped at first, and is an error later."""
    monkeypatch.setattr("connector.store.keys._KEYRING_SECONDS", 0.2)
    fake_keyring.unlocked.clear()
    store = filled(url, None)
    assert store.facts()["key_source"] == "file"
    store.close()
    store.database.apply([("UPDATE ormco_store SET key_source = 'keyring', key_proof = NULL", ())])
    store = store_at(url, keys=None)
    with pytest.raises(SealingKeyError, match="does not respond"):
        value_of(store, "p")


def test_rotate_to_the_first_of_the_setting(url: str) -> None:
    """After a rotation the old key is not needed any more, and the audit record has an event of it."""
    filled(url, f"{KEY},{OTHER_KEY}").close()
    store = store_at(url, keys=f"{OTHER_KEY},{KEY}")
    done: list[int] = []
    assert store.rotate_keys(progress=done.append) == 4
    assert done[-1] == 4
    assert store.rotate_keys() == 0
    assert [entry.outcome for entry in store.audit.events() if entry.kind == "keys"] == ["ok", "ok"]
    store = store_at(url, keys=OTHER_KEY)
    assert value_of(store, "p")[0] == "at-p-0"


def deploy(url: str, keys: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a server with keys, and let it use the store."""
    monkeypatch.setattr(platform, "node", lambda: server)
    store = store_at(url, keys=keys)
    store.check()
    assert value_of(store, "p")[0] == "at-p-0"


def test_rotate_in_three_deploys(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added last, then put first, then the old one removed: every server can read at any time."""
    filled(url, KEY).close()
    for keys in (f"{KEY},{OTHER_KEY}", f"{OTHER_KEY},{KEY}"):
        for server in ("one", "two", "three"):
            deploy(url, keys, server, monkeypatch)
    # From here on the server that made the store counts as gone, as it does after a day without use.
    store = store_at(url, keys=f"{OTHER_KEY},{KEY}")
    store.database.apply(
        [("UPDATE ormco_key_holders SET seen_at = 0 WHERE server NOT IN ('one', 'two', 'three')", ())]
    )
    assert store.rotate_keys() == 4
    store.close()
    for server in ("one", "two", "three"):
        deploy(url, OTHER_KEY, server, monkeypatch)


def test_rotate_reaches_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of many rows is left with the old key, however many are read at a time."""
    monkeypatch.setattr("connector.store.resealing._PAGE", 20)
    store = filled(fresh_url("sqlite", tmp_path), None)
    names = [f"p{number}" for number in range(45)]
    for name in names:
        put(store, name)
    put_unverified(store, "p0")
    assert store.rotate_keys() == 2 * 48 + 1
    assert {value[1:9].hex() for value in sealed_values(store)} == {store.facts()["key_id"]}


def test_rotate_reaches_a_row_that_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that others change each time before it is written is tried until it has the new key."""
    store = filled(fresh_url("sqlite", tmp_path), None)
    apply, changes = store.database.apply, iter(range(3))

    def late(statements: Sequence[Statement]) -> list[int]:
        if any("_sealed = ?" in sql for sql, _ in statements) and next(changes, None) is not None:
            apply([("UPDATE ormco_connections SET version = version + 1", ())])
        return apply(statements)

    monkeypatch.setattr(store.database, "apply", late)
    assert store.rotate_keys() == 4
    assert {value[1:9].hex() for value in sealed_values(store)} == {store.facts()["key_id"]}


def test_rotate_to_a_newer_form_of_the_same_key(tmp_path: Path) -> None:
    """A value that an earlier release sealed gets today's form, though its key stays the same."""
    store = store_at(old_store("sqlite", tmp_path), clock=ManualClock(MADE_AT))
    before = sealed_values(store)
    assert {value[:1] for value in before} == {b"\1"}
    assert store.rotate_keys() > 0
    after = sealed_values(store)
    assert {value[:1] for value in after} == {b"\2"}
    assert {value[1:9] for value in after} == {value[1:9] for value in before}
    assert len(after) >= len(before)


def sealed_values(store: Store) -> list[bytes]:
    """The sealed values of rows and of open requests."""
    sql = (
        "SELECT access_sealed FROM ormco_connections UNION ALL SELECT refresh_sealed FROM ormco_connections "
        "UNION ALL SELECT policy_sealed FROM ormco_connections UNION ALL SELECT sealed FROM ormco_requests"
    )
    return [value for (value,) in store.database.all(sql, ()) if value is not None]


def test_fork_while_a_thread_looks_for_the_keys(tmp_path: Path, fake_keyring: FakeKeyring) -> None:
    """A child does not wait for a thread that only its parent has."""
    url = fresh_url("sqlite", tmp_path)
    filled(url, None).close()
    store = store_at(url, keys=None)
    fake_keyring.unlocked.clear()
    looking = threading.Thread(target=store.keys.ring)
    looking.start()
    time.sleep(0.3)

    def look_too() -> None:
        fake_keyring.unlocked = threading.Event()
        fake_keyring.unlocked.set()
        assert store.keys.ring().ids

    status = fork(look_too)
    fake_keyring.unlocked.set()
    looking.join()
    assert status() == 0


def test_rotate_while_a_server_lacks_the_key(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation that a server could not follow changes nothing, and names the server."""
    filled(url, KEY).close()
    deploy(url, KEY, "forgotten", monkeypatch)
    deploy(url, f"{KEY},{OTHER_KEY}", "one", monkeypatch)
    store = store_at(url, keys=f"{OTHER_KEY},{KEY}")
    with pytest.raises(SealingKeyError, match="forgotten") as caught:
        store.rotate_keys()
    assert "last in ORMCO_STORE_KEYS" in str(caught.value.hint)
    store.close()
    deploy(url, KEY, "forgotten", monkeypatch)


@pytest.mark.parametrize(
    ("keys", "words"),
    [(f"{OTHER_KEY},{KEY}", "before any server had it after"), (OTHER_KEY, "is missing")],
    ids=["never last anywhere", "without the old key"],
)
def test_rotate_that_is_refused_changes_nothing(url: str, keys: str, words: str) -> None:
    """A key that is put first before it was last anywhere is refused, and so is one without the old key."""
    filled(url, KEY).close()
    store = store_at(url, keys=keys)
    with pytest.raises(SealingKeyError, match=words):
        store.rotate_keys()
    store = store_at(url, keys=KEY)
    assert value_of(store, "p")[0] == "at-p-0"


def test_value_of_a_key_that_a_server_lacks(url: str) -> None:
    """A value that was sealed with a newer key is an error of our tree that says what to do."""
    filled(url, KEY).close()
    store = store_at(url, keys=f"{OTHER_KEY},{KEY}")
    put(store, "new")
    store = store_at(url, keys=KEY)
    with pytest.raises(SealingKeyError, match="this server lacks") as caught:
        value_of(store, "new")
    assert type(caught.value) is SealingKeyError
    assert "last on every server" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["file", "keyring"])
def test_rotate_within_the_source(url: str, kind: str, request: pytest.FixtureRequest) -> None:
    """A key in a file or keyring is replaced there; processes that have the store open find the new one."""
    if kind == "keyring":
        request.getfixturevalue("fake_keyring")
    store = filled(url, None)
    before = store.facts()
    other = store_at(url, keys=None)
    assert value_of(other, "p")[0] == "at-p-0"
    assert store.rotate_keys() == 4
    assert store.facts()["key_id"] != before["key_id"]
    assert store.facts()["key_source"] == kind
    assert value_of(other, "p")[1] == "rt-p-0"
    assert value_of(other, "q")[0] == "at-q-0"


def test_rotate_out_of_the_file(url: str) -> None:
    """A store moves from its key file to the keys of the setting."""
    filled(url, None).close()
    store = store_at(url, keys=KEY)
    assert store.rotate_keys() == 4
    assert store.facts()["key_source"] == "environment"
    assert value_of(store, "p")[0] == "at-p-0"


def test_rotate_is_finished_by_the_next(url: str) -> None:
    """An interrupted rotation is continued with the key it had begun with."""
    store = filled(url, None)
    with pytest.raises(KeyboardInterrupt):
        store.rotate_keys(progress=lambda done: (_ for _ in ()).throw(KeyboardInterrupt))
    keys = Path(store.facts()["key_place"]).read_text().count(",")
    assert store.rotate_keys() == 0
    assert Path(store.facts()["key_place"]).read_text().count(",") == keys == 1
    assert value_of(store, "p")[0] == "at-p-0"


def test_rotate_skips_values_that_do_not_open(url: str) -> None:
    """A damaged value does not keep the others from their new key, and is reported."""
    store = filled(url, f"{KEY},{OTHER_KEY}")
    damage = "UPDATE ormco_connections SET access_sealed = refresh_sealed WHERE practice_id = 'p'"
    store.database.apply([(damage, ())])
    store = store_at(url, keys=f"{OTHER_KEY},{KEY}")
    with pytest.raises(StoreDamagedError, match="those of p"):
        store.rotate_keys()
    store = store_at(url, keys=OTHER_KEY)
    assert value_of(store, "q")[0] == "at-q-0"


def test_rotate_while_others_work(url: str) -> None:
    """Every value is readable throughout a rotation, and nothing that is written meanwhile is lost."""
    store = filled(url, None)
    errors: list[Exception] = []
    stop = threading.Event()

    def work() -> None:
        other = store_at(url, keys=None)
        try:
            while not stop.is_set():
                row = row_of(other, "p")
                assert other.grants.change(row, {"failures": row.failures + 1})
                assert value_of(other, "q")[0] == "at-q-0"
                assert row_of(other, "p").failures == row.failures + 1
        except Exception as exc:
            errors.append(exc)
        finally:
            other.close()

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(4):
        store.rotate_keys()
        time.sleep(0.02)
    stop.set()
    thread.join()
    assert errors == []
    assert value_of(store, "p")[0] == "at-p-0"


@pytest.mark.parametrize("kind", ["file", "keyring"])
def test_an_old_key_is_removed_when_not_needed(url: str, kind: str, request: pytest.FixtureRequest) -> None:
    """The previous key is kept for processes that write with it, and removed later."""
    if kind == "keyring":
        request.getfixturevalue("fake_keyring")
    clock = ManualClock()
    filled(url, None).close()
    store = store_at(url, keys=None, clock=clock)
    store_id = store.facts()["store_id"]
    for _ in range(3):
        store.rotate_keys()
        assert len(load_keys(kind, store_id)) == 2
        store.check()
        assert len(load_keys(kind, store_id)) == 2
    clock.advance(16 * 60)
    store.check()
    assert [key_id(key) for key in load_keys(kind, store_id)] == [store.facts()["key_id"]]
    assert value_of(store, "p")[0] == "at-p-0"


def test_the_key_file_is_removed_when_the_keys_are_in_the_setting(url: str) -> None:
    """A store that has moved to the keys of the setting needs no file; it stays while something needs it."""
    clock = ManualClock()
    filled(url, None).close()
    store, behind = store_at(url, keys=KEY, clock=clock), store_at(url, keys=None)
    behind.check()
    store.rotate_keys()
    put(behind, "late")  # by a process that still has the old key
    path = key_file(store.facts()["store_id"])
    store.check()
    assert path.exists()
    clock.advance(16 * 60)
    store.check()
    assert path.exists()
    store.grants.drop(row_of(store, "late"), [])
    store.check()
    assert not path.exists()
    assert value_of(store, "p")[0] == "at-p-0"


def test_nothing_is_written_with_a_key_that_was_removed(url: str) -> None:
    """A process that had opened the store before writes with the new key, and every process can read it."""
    clock = ManualClock()
    filled(url, None).close()
    idle, store = (store_at(url, keys=None, clock=clock) for _ in range(2))
    idle.check()
    store.rotate_keys()
    clock.advance(16 * 60)
    store.check()
    idle.check()
    put(idle, "late")
    idle.close()
    again = store_at(url, keys=None)
    assert value_of(again, "late")[0] == "at-late-0"


def test_a_key_stays_while_something_needs_it(url: str) -> None:
    """If a value does not open, the old key is kept, so that the value can be restored."""
    clock = ManualClock()
    filled(url, None).close()
    store = store_at(url, keys=None, clock=clock)
    store.rotate_keys()
    store_id = store.facts()["store_id"]
    newest, old = load_keys("file", store_id)
    text = KeyRing([old]).seal("made up", b"of nothing here")
    store.database.apply([("UPDATE ormco_connections SET access_sealed = ?", (text,))])
    clock.advance(16 * 60)
    store.check()
    assert load_keys("file", store_id) == [newest, old]


def test_rotation_removes_the_copy_that_a_killed_one_left(tmp_path: Path) -> None:
    """The copy of old keys that a killed process left beside the key file is removed."""
    store = filled(fresh_url("sqlite", tmp_path), None)
    path = key_file(store.database.store_id)
    left = path.with_name(f".{path.name}.0123456789abcdef")
    left.write_text(path.read_text())
    store.rotate_keys()
    assert [file.name for file in path.parent.glob(f"*{path.name}*")] == [path.name]
