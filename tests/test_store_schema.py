"""The schema, from an empty database and from every earlier version."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from connector.errors import StoreDamagedError, StoreUnavailableError
from connector.store import schema, tables
from connector.store.columns import FromNow
from connector.store.row import UNVERIFIED
from connector.store.schema import Step
from connector.store.store import Store
from tests.support.clock import ManualClock
from tests.support.old_stores import LIVE_TOKENS, MADE_AT, old_store
from tests.support.processes import ROOT
from tests.support.stores import DATABASES, KEY, KINDS, empty_url, put, row_of, store_at, value_of
from tests.support.threads import at_once

KNOWN = schema.newest_version()
also_pooled = pytest.mark.parametrize("kind", KINDS, indirect=True)


@pytest.fixture(params=DATABASES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    return empty_url(kind, tmp_path)


@pytest.fixture
def upgraded(kind: str, tmp_path: Path) -> Store:
    return store_at(old_store(kind, tmp_path / "old"), clock=ManualClock(MADE_AT))


def run(store: Store, sql: str, *args: object) -> None:
    store.database.apply([(sql, args)])


def versions(store: Store) -> list[int]:
    return [row[0] for row in store.database.all("SELECT version FROM ormco_schema ORDER BY version", ())]


def with_steps(monkeypatch: pytest.MonkeyPatch, *more: Step) -> None:
    monkeypatch.setattr(schema, "_STEPS", (*schema._STEPS, *more))


ADD_NOTE = "ALTER TABLE ormco_connections ADD COLUMN note TEXT"


@also_pooled
def test_each_step_is_recorded(url: str, upgraded: Store) -> None:
    """An empty database gets the newest schema at once, an earlier one with a record of each step."""
    store = store_at(url)
    store.check()
    assert versions(store) == list(range(tables.VERSION, KNOWN + 1))
    store.close()
    assert versions(upgraded) == list(range(1, KNOWN + 1))


_SHAPE = {
    True: 'SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_master t '
    "JOIN pragma_table_info(t.name) c WHERE t.type = 'table' UNION "
    "SELECT type, tbl_name, name, 0, CASE type WHEN 'table' THEN '' ELSE sql END, 0 FROM sqlite_master",
    False: "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name "
    "FROM information_schema.columns WHERE table_schema = 'public' UNION "
    "SELECT tablename, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public' UNION "
    "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', '', '' FROM pg_trigger UNION "
    "SELECT relname, '', reloptions::text, '', '', '' FROM pg_class WHERE relname LIKE 'ormco_%' UNION "
    "SELECT proname, '', pg_get_functiondef(oid), '', '', '' FROM pg_proc WHERE proname LIKE 'ormco_%'",
}


def test_a_new_store_equals_an_upgraded_one(kind: str, url: str, upgraded: Store) -> None:
    """The tables of an empty database are those to which every step of an earlier one leads."""
    new, shapes = store_at(url), []
    for store in (new, upgraded):
        store.check()
        found = store.database.all(_SHAPE[kind == "sqlite"], ())
        shapes.append({tuple(row) for row in found if not row[0].startswith("ormco_events_2")})  # a month
        store.close()
    assert shapes[0] ^ shapes[1] == set()


def test_a_store_that_is_too_old(url: str) -> None:
    """A schema too old to be upgraded is not changed, and the error says what to do."""
    store = store_at(url)
    store.check()
    run(store, "DELETE FROM ormco_schema")
    run(store, "INSERT INTO ormco_schema (version, applied_at) VALUES (1, 0)")
    store.close()
    with pytest.raises(StoreUnavailableError, match="too old"):
        store.connection("p")


@pytest.mark.parametrize(
    ("compatible_from", "works"),
    [([KNOWN], True), ([1], True), ([KNOWN + 1], False), ([None], False), ([None, 1], False)],
)
def test_two_releases_side_by_side(url: str, compatible_from: list[int | None], works: bool) -> None:
    """A release uses a newer schema if each newer step is marked compatible, and refuses any other."""
    store = store_at(url)
    put(store, "p")
    sql = "INSERT INTO ormco_schema (version, applied_at, compatible_from) VALUES (?, 0, ?)"
    for version, oldest in enumerate(compatible_from, start=KNOWN + 1):
        run(store, sql, version, oldest)
    older = store_at(url)
    if works:
        assert value_of(older, "p")[0] == "at-p-0"
        assert older.leases.claim(row_of(older, "p"), 60)
        return
    for attempt in (older.check, lambda: older.connection("p"), lambda: put(older, "p")):
        with pytest.raises(StoreUnavailableError, match="newer version"):
            attempt()


def test_older_schema_is_upgraded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of an earlier version is brought up to date when it is opened, its content kept."""
    store = store_at(url)
    before = put(store, "p")
    store.close()
    with_steps(
        monkeypatch, Step(statements=(ADD_NOTE,)), Step(new_index=("ormco_notes", "ormco_connections (note)"))
    )
    assert row_of(store, "p").version == before.version
    assert store.database.all("SELECT note FROM ormco_connections", ()) == [(None,)]
    assert store.facts()["schema_version"] == str(KNOWN + 2)


@also_pooled
def test_step_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails in its middle is undone as a whole, and runs again the next time."""
    store = store_at(url)
    put(store, "p")
    store.close()
    with monkeypatch.context() as patch:
        with_steps(patch, Step(statements=(ADD_NOTE, "SELECT * FROM nowhere")))
        with pytest.raises(StoreUnavailableError if "sqlite" in url else StoreDamagedError, match="nowhere"):
            store.connection("p")
    store.close()
    with_steps(monkeypatch, Step(statements=(ADD_NOTE,)))
    assert value_of(store, "p")[0] == "at-p-0"


def test_step_may_take_longer_than_any_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A step of the schema has no time limit, whatever the server's own is."""
    url = empty_url("postgresql", tmp_path)
    store = store_at(url)
    store.check()
    database = url.partition("?")[0].rpartition("/")[2]
    run(store, f"ALTER DATABASE {database} SET statement_timeout = '200ms'")
    store.close()
    with_steps(monkeypatch, Step(statements=("SELECT pg_sleep(1)",)))
    slow = store_at(url)
    slow.check()
    assert versions(slow)[-1] == KNOWN + 1


def test_index_whose_build_was_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rest of an interrupted build is removed, and the index is built."""
    store = store_at(empty_url("postgresql", tmp_path))
    store.check()
    run(store, "CREATE INDEX ormco_half ON ormco_connections (reason)")
    run(store, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ormco_half'::regclass")
    run(store, "INSERT INTO ormco_leases VALUES ('the index ormco_half', 'elsewhere 1 2', 0)")
    store.close()
    with_steps(monkeypatch, Step(new_index=("ormco_half", "ormco_connections (reason)")))
    store.check()
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ormco_half'::regclass"
    assert store.database.all(valid, ()) == [(True,)]


@also_pooled
def test_upgrades_at_the_same_time(kind: str, tmp_path: Path) -> None:
    """Processes that start together on an old store make one new one."""
    url = old_store(kind, tmp_path)
    stores = [store_at(url, clock=ManualClock(MADE_AT)) for _ in range(6)]
    at_once(6, lambda number: stores[number].check())
    assert [value_of(store, "connected")[0] for store in stores] == ["at-connected-0"] * 6


def test_upgrade_keeps_every_connection(upgraded: Store) -> None:
    """Each practice that an earlier release stored is there, in the state it was in."""
    found = {each.practice_id: (each.state.value, each.reason) for each in upgraded.overview.connections()}
    assert found == {
        "both": ("connected", "account_unread"),
        "connected": ("connected", None),
        "degraded": ("degraded", "provider_unavailable"),
        "lost": ("degraded", "answer_lost"),
        "needs-repair": ("needs_repair", "grant_refused"),
        "not-renewable": ("connected", None),
        "revoked": ("revoked", None),
        "revoking": ("revoking", "revocation_unproved"),
        "twin-1": ("connected", None),
        "twin-2": ("connected", None),
        "under-way": ("connected", None),
        "unread": ("degraded", "account_unread"),
    }
    account = upgraded.existing("connected").account
    assert account is not None
    assert (account.email, account.region) == ("connected@practice.test", "europe")
    assert upgraded.existing("connected").token_generation == 7


@pytest.mark.parametrize("checked", [False, True], ids=["read", "resealed"])
def test_upgrade_keeps_every_token(upgraded: Store, checked: bool) -> None:
    """Tokens open before and after they are resealed, and so do those of an unverified grant."""
    if checked:
        upgraded.check()
    for practice_id in LIVE_TOKENS:
        assert value_of(upgraded, practice_id) == (f"at-{practice_id}-0", f"rt-{practice_id}-0")
    assert value_of(upgraded, "not-renewable") == ("at-not-renewable-0", None)
    assert value_of(upgraded, "unread", slot=UNVERIFIED) == ("at-unread-0", "rt-unread-0")
    assert value_of(upgraded, "both", slot=UNVERIFIED)[0] == "at-both-newer-0"
    waiting = upgraded.grants.row("both", UNVERIFIED)
    assert waiting is not None
    assert upgraded.grants.policy(waiting).allow_account_change
    lost = [name for name in LIVE_TOKENS if row_of(upgraded, name).answer_may_be_lost]
    assert lost == ["lost", "under-way"]


@pytest.mark.parametrize("checked", [False, True], ids=["read", "resealed"])
def test_upgrade_keeps_requests_cursors_and_events(upgraded: Store, checked: bool) -> None:
    """An open request can be completed, a watch continues, a code is spent, and the record continues."""
    if checked:
        upgraded.check()
    request = upgraded.requests.find("state-1")
    assert request is not None
    assert request.code_verifier == "verifier-1"
    assert not upgraded.requests.spend_code("KY-s!IAAA")
    assert upgraded.watches.cursor("backend", "connected") is not None
    assert list(upgraded.watches.cases("backend", "connected", ["case-1"])) == ["case-1"]
    events = upgraded.audit.events()
    assert [event.sequence for event in events] == list(range(1, 9))
    put(upgraded, "new")
    upgraded.forget("new", events[0])
    assert upgraded.audit.events()[-1].sequence == 9


def test_old_seals_are_accepted_until_none_is_left(upgraded: Store) -> None:
    """Once everything is resealed, a value that an earlier release sealed does not open any more."""
    select = "SELECT access_sealed FROM ormco_connections WHERE practice_id = 'connected'"
    old = upgraded.database.one(select, ())[0]
    upgraded.check()
    run(upgraded, "UPDATE ormco_connections SET access_sealed = ? WHERE practice_id = 'connected'", old)
    with pytest.raises(StoreDamagedError):
        value_of(upgraded, "connected")


def old_release(folder: Path, script: str) -> Sequence[str]:
    """Return the command that runs a script with the release of commit c4d305c."""
    if not (folder / "connector").exists():
        archive = subprocess.run(
            ["git", "archive", "c4d305c", "connector"], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode:
            pytest.skip("this checkout has no history: the earlier release cannot be run")
        subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)
    return [sys.executable, "-c", script]


OLD_PROCESS = """
import sys, time
from connector.clock import Clock
from connector.errors import ConnectorError
from connector.refresh import Refresher
from connector.store import open_store
from connector.token_set import TokenSet
url, key = sys.argv[1:]
store = open_store(url, keys=key, clock=Clock(), actor="old")
class Endpoint:
    def refresh(self, refresh_token):
        print("sent", flush=True)
        sys.stdin.readline()
        return TokenSet(access_token="at-new", refresh_token="rt-new", received_at=Clock().utc_now())
refresher = Refresher(store, lambda name: Endpoint(), Clock(), ahead=False)
try:
    print(refresher.access_token("under-way" if len(sys.argv) > 3 else "connected"), flush=True)
    time.sleep(1)
    refresher.refresh("twin-1", force=True)
except ConnectorError as exc:
    print(type(exc).__name__, exc.message, flush=True)
"""


def test_process_of_an_earlier_release(kind: str, tmp_path: Path) -> None:
    """A refresh of an earlier release that is in progress is waited for, and its tokens are kept; its next
    one fails with words, before anything is sent.
    """
    url = old_store(kind, tmp_path)
    folder = tmp_path / "old"
    folder.mkdir()
    old = subprocess.Popen(
        [*old_release(folder, OLD_PROCESS), url, KEY],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert old.stdin is not None
    assert old.stdout is not None
    assert old.stdout.readline() == "sent\n"
    store = store_at(url)
    upgrading = threading.Thread(target=store.check)
    upgrading.start()
    time.sleep(0.5)
    old.stdin.write("go on\n")
    old.stdin.flush()
    upgrading.join(60)
    assert value_of(store, "connected") == ("at-new", "rt-new")
    rest, _ = old.communicate(timeout=60)
    assert rest.splitlines()[0] == "at-new"
    assert "sent" not in rest
    assert rest.splitlines()[1].startswith("Store"), rest
    assert store.grants.change(row_of(store, "connected"), {"retry_at": FromNow()})
