"""Locks between threads and processes, which end with their owner."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import pytest

from connector.clock import Clock
from connector.errors import StoreError, StoreLockedError
from connector.store import Store
from connector.store.owner import is_gone, this_process
from tests.support.processes import results, workers
from tests.support.stores import grant_for, store_at
from tests.support.work import hold_lock


def test_lock_keeps_threads_out(store: Store) -> None:
    """One thread at a time has a practice's lock; another practice's is not concerned."""
    assert store.try_lock("p")
    assert not store.try_lock("p")
    assert store.try_lock("q")
    store.unlock("p")
    assert store.try_lock("p")


def test_lock_keeps_another_store_of_this_process_out(url: str, store: Store) -> None:
    """Two stores that one process has open at the same place share their locks."""
    other = store_at(url)
    assert store.try_lock("p")
    assert not other.try_lock("p")
    other.close()
    assert not other.try_lock("p")
    store.unlock("p")
    assert other.try_lock("p")
    other.close()


def test_lock_keeps_processes_out(url: str, store: Store) -> None:
    """While another process has the lock, the wait ends at its deadline and says who it is."""
    with workers(1, hold_lock, url, "p") as running:
        deadline = Clock().deadline(0.2)
        with pytest.raises(StoreLockedError) as caught, store.lock("p", deadline=deadline):
            pass
        assert str(running[0].pid) in caught.value.message
        assert results(running) == ["unlocked"]
        with store.lock("p", deadline=Clock().deadline(10)):
            pass


def test_lock_ends_with_its_owner(url: str, store: Store) -> None:
    """The lock of a process that was killed is free for the next, with no wait for any time to run out."""
    with workers(1, hold_lock, url, "p") as running:
        assert not store.try_lock("p")
        running[0].kill()
        with store.lock("p", deadline=Clock().deadline(10)):
            pass


def test_lock_is_passed_on(store: Store) -> None:
    """Of many threads that wait, all have it in the end, and never two at once."""
    inside, most, turns = 0, 0, []

    def work() -> None:
        nonlocal inside, most
        with store.lock("p", deadline=Clock().deadline(30)):
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
            turns.append(1)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(turns)) == (1, 12)


def test_lock_ends_with_an_exception(store: Store) -> None:
    """Work that fails gives its lock back."""
    with pytest.raises(ZeroDivisionError), store.lock("p", deadline=Clock().deadline(1)):
        raise ZeroDivisionError
    assert store.try_lock("p")


def test_lock_is_given_back_where_the_row_cannot_be_read(store: Store) -> None:
    """An error of the query that comes with a lock leaves nobody locked out."""
    store.check()
    with pytest.raises(StoreError):
        store._db.lock_and_fetch("p", "SELECT nothing FROM nowhere WHERE practice_id = ?", ("p",))
    assert store.try_lock("p")
    store.unlock("p")


def _child(store: Store, answers: multiprocessing.queues.Queue[object]) -> None:
    answers.put((store.get("p") is not None, store.try_lock("p"), store.try_lock("q")))
    store.unlock("p")  # the parent's
    store.put(grant_for("from the child"), expected_generation=None)
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_shares_no_handle(store: Store) -> None:
    """A forked child works with the store it inherited, and neither has nor ends its parent's locks."""
    store.put(grant_for("p"), expected_generation=None)
    assert store.try_lock("p")
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.queues.Queue[object] = context.Queue()
    child = context.Process(target=_child, args=(store, answers))
    child.start()
    assert answers.get(timeout=30) == (True, False, True)
    child.join(30)
    assert child.exitcode == 0
    assert store.get("from the child") is not None
    assert not store.try_lock("p")


def test_owner_that_lives_is_not_gone(url: str) -> None:
    """A process is taken for dead only once it is."""
    with workers(1, hold_lock, url, "p") as running:
        host = this_process().rsplit(" ", 2)[0]
        owner = f"{host} {running[0].pid} -"
        assert not is_gone(owner)
        running[0].kill()
        assert is_gone(owner)
    assert not is_gone(this_process())
    assert not is_gone("another-host 1 2")
    assert is_gone(f"{host} {os.getpid()} 1")
