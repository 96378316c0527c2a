"""A practice's lock and the intent to refresh it, taken at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from connector.clock import Clock
from connector.connection import ConnectionState, Grant, UnprovenGrant
from connector.errors import StoreDamagedError, StoreError, StoreUnavailableError
from connector.store import Store, this_process
from connector.store.job_queue import Job
from connector.store.postgres import PostgresDatabase
from connector.store.postgres_driver import Cursors
from connector.store.postgres_locks import lock_number
from tests.support.postgres import shared_server
from tests.support.stores import fresh_url, grant_for, store_at

NOW = Clock().utc_now()


def in_state(state: ConnectionState) -> Callable[[Grant], Grant]:
    return lambda grant: replace(grant, connection=replace(grant.connection, state=state))


def test_claim_takes_the_lock_and_records_the_intent(url: str, store: Store) -> None:
    """What is returned is what stands in the store then, and can be written in its place."""
    before = store.put(grant_for("p", age=3700), expected_generation=None)
    is_ours, claimed = store.claim("p", 1)
    assert is_ours
    assert claimed is not None
    assert claimed == store.get("p")
    assert claimed.refresh_owner == this_process()
    assert claimed.refresh_sent_at is not None
    assert replace(claimed, refresh_sent_at=None, refresh_owner=None) == before
    other = store_at(url)
    assert other.claim("p", 1) == (False, None)
    other.close()
    stored = store.put(replace(claimed, refresh_sent_at=None, refresh_owner=None), expected_generation=1)
    assert stored == before
    store.unlock("p")


@pytest.mark.parametrize(
    "change",
    [
        in_state(ConnectionState.DEGRADED),
        in_state(ConnectionState.NEEDS_REPAIR),
        in_state(ConnectionState.REVOKING),
        in_state(ConnectionState.REVOKED),
        lambda grant: replace(grant, tokens=replace(grant.tokens, refresh_token=None)),
        lambda grant: replace(grant, tokens=None),
        lambda grant: replace(grant, unproven=UnprovenGrant(tokens=grant.tokens)),
        lambda grant: replace(grant, retry_at=NOW - timedelta(seconds=1)),
        lambda grant: replace(grant, retry_at=NOW + timedelta(seconds=60)),
        lambda grant: replace(grant, refresh_sent_at=NOW, refresh_owner=this_process()),
        lambda grant: replace(grant, refresh_sent_at=NOW, refresh_owner=None),
        lambda grant: replace(grant, connection=replace(grant.connection, token_generation=2)),
    ],
)
def test_claim_leaves_alone_what_has_to_be_looked_at(store: Store, change: Callable[[Grant], Grant]) -> None:
    """Where anything stands in the way nothing is recorded, and the lock is there to look closer."""
    before = store.put(change(grant_for("p", age=3700)), expected_generation=None)
    assert store.claim("p", 1) == (True, None)
    assert store.get("p") == before
    assert not store.try_lock("p")
    store.unlock("p")


def test_claim_of_nothing(store: Store) -> None:
    """A practice that has no connection can be locked, as for `try_lock`."""
    assert store.claim("nobody", 1) == (True, None)
    store.unlock("nobody")
    assert store.try_lock("nobody")
    store.unlock("nobody")


def test_claim_is_kept_to_one_thread(store: Store) -> None:
    """While one thread of a process has it, another gets nothing, and changes nothing."""
    before = store.put(grant_for("p", age=3700), expected_generation=None)
    assert store.try_lock("p")
    assert store.claim("p", 1) == (False, None)
    assert store.get("p") == before
    store.unlock("p")


def test_claim_of_what_cannot_be_read_gives_the_lock_back(store: Store) -> None:
    """A row that was tampered with leaves nobody locked out."""
    store.put(grant_for("p", age=3700), expected_generation=None)
    store.put(grant_for("q", age=3700), expected_generation=None)
    store._db.write(
        lambda execute: execute(
            "UPDATE ormco_connections SET token_rest = (SELECT token_rest FROM ormco_connections "
            "WHERE practice_id = 'q') WHERE practice_id = 'p'",
            (),
        )
    )
    with pytest.raises(StoreDamagedError):
        store.claim("p", 1)
    assert store.try_lock("p")
    store.unlock("p")
    sql = "SELECT refresh_sent_at, refresh_owner FROM ormco_connections WHERE practice_id = ?"
    intent = store._one(sql, ("p",))
    assert tuple(intent) == (None, None)


def test_claim_with_an_old_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite before 3.35 cannot do it at once: the lock alone is taken."""
    monkeypatch.setattr("connector.store.sqlite._HAS_RETURNING", False)
    store = store_at(fresh_url("sqlite", tmp_path))
    before = store.put(grant_for("p", age=3700), expected_generation=None)
    assert store.claim("p", 1) == (True, None)
    assert store.get("p") == before
    store.close()


def test_claim_of_which_the_answer_was_lost() -> None:
    """Where the session ends between the commit and the answer, the claim is known for one's own."""
    url = shared_server().create_database()
    store = store_at(url)
    store.put(grant_for("p", age=3700), expected_generation=None)
    database = cast(PostgresDatabase, store._db)
    real, runs = database._queue.ask, []

    def ask(statements: Any, **options: Any) -> object:
        runs.append(real(statements, **options))
        if len(runs) == 1:
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute(
                    b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    b"WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            runs.append(real(statements, **options))
        return runs[-1]

    database._queue.ask = ask  # type: ignore[method-assign,assignment]
    is_ours, claimed = store.claim("p", 1)
    assert is_ours
    assert claimed is not None
    assert len(runs) == 2
    assert runs[0] == runs[1]
    store.unlock("p")
    store.close()


def test_claim_that_cannot_be_repeated_is_still_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lost session's lock lives on for a moment, the intent it committed is one's own."""
    url = shared_server().create_database()
    store, zombie = store_at(url), store_at(url)
    store.put(grant_for("p", age=3700), expected_generation=None)
    database = cast(PostgresDatabase, store._db)
    real = Cursors.run
    runs: list[int] = []

    def run(self: Cursors, jobs: Any) -> None:
        real(self, jobs)
        runs.append(1)
        if len(runs) == 1:  # the answer is lost, and another session is left with the lock
            self.db.close()
            assert zombie.try_lock("p")
            raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(Cursors, "run", run)
    is_ours, claimed = store.claim("p", 1)
    assert is_ours
    assert claimed is not None
    assert claimed.refresh_owner == this_process()
    assert lock_number("p") in database._locks
    store.unlock("p")
    zombie.close()
    store.close()


def test_error_of_another_thread_leaves_a_claim_alone() -> None:
    """What fails in the same round trip takes no lock away, and leaves none behind."""
    url = shared_server().create_database()
    store, other = store_at(url), store_at(url)
    store.put(grant_for("p", age=3700), expected_generation=None)
    database = cast(PostgresDatabase, store._db)
    taking = Job[list[list[Any]]](
        lambda execute: [],
        statements=[("SELECT pg_try_advisory_lock(?)", (lock_number("p"),))],
        lock=lock_number("p"),
    )
    bad = Job[list[list[Any]]](lambda execute: [], statements=[("SELECT 1 / ?::int", (0,))])

    def refuse(execute: object) -> None:
        raise StoreUnavailableError("no")

    database._work_off([taking, bad, Job[None](refuse)])
    assert taking.error is None
    assert isinstance(bad.error, StoreError)
    assert not other.try_lock("p")
    store.unlock("p")
    assert other.try_lock("p")
    other.close()
    store.close()


def test_lock_of_a_thread_that_has_gone_is_given_back() -> None:
    """A thread that was interrupted while another sent its request leaves no lock behind."""
    url = shared_server().create_database()
    store, other = store_at(url), store_at(url)
    store.check()
    number = lock_number("p")
    sql = "SELECT pg_try_advisory_lock(?)"
    taking = Job[Any](lambda execute: [], statements=[(sql, (number,))], lock=number, awaited=False)
    cast(PostgresDatabase, store._db)._work_off([taking])
    assert taking.results == [[[(True,)]]]
    assert other.try_lock("p")
    other.close()
    store.close()


def test_error_of_work_is_not_told_of_what_is_committed() -> None:
    """Statements that are durable are not reported as failed because a transaction beside them failed."""
    store = store_at(shared_server().create_database())
    store.put(grant_for("p", age=3700), expected_generation=None)
    database = cast(PostgresDatabase, store._db)
    good = Job[list[int]](
        lambda execute: [],
        statements=[("UPDATE ormco_connections SET failures = ?", (3,))],
        read=lambda cursor: cursor.rowcount,
    )
    bad = Job[object](lambda execute: execute("SELECT nothing FROM nowhere", ()))
    database._work_off([good, bad])
    assert (good.error, good.results) == (None, [[1]])
    assert isinstance(bad.error, StoreError)
    store.close()


def test_server_out_of_reach_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that wait for a server that is away hear of it together, not one time-out after the other."""
    store = store_at("postgresql:///nothing?host=/nowhere")
    database = cast(PostgresDatabase, store._db)
    connects: list[int] = []
    real = database._connect
    monkeypatch.setattr(database, "_connect", lambda: (connects.append(1), real())[1])
    monkeypatch.setattr("connector.store.postgres._FIRST_SECONDS", 0.0)
    jobs = [Job[Any](lambda execute: [], statements=[("SELECT 1", ())]) for _ in range(20)]
    database._work_off(jobs)
    assert all(isinstance(job.error, StoreError) for job in jobs)
    assert len(connects) < 5
