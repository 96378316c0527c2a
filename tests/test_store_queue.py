"""One commit for many threads: who leads it, and what becomes of the others when it does not end well."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from connector.errors import SettingError, StoreUnavailableError
from connector.store.job_queue import Job, JobQueue


class Disk:
    """Commits jobs, the first one only when it is told to."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.first_has_begun = threading.Event()
        self.go_on = threading.Event()
        self.failures: list[BaseException] = []
        self.asked: list[str] = []

    def commit(self, jobs: Sequence[Job[Any]]) -> None:
        self.batches.append(len(jobs))
        if len(self.batches) == 1:
            self.first_has_begun.set()
            assert self.go_on.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        for job in jobs:
            job.run(self._execute)

    def _execute(self, sql: str, args: Sequence[object]) -> sqlite3.Cursor:
        self.asked.append(sql)
        return sqlite3.connect(":memory:").execute(sql)


def in_threads(queue: JobQueue, disk: Disk, count: int) -> list[object]:
    """Run one job that holds the disk, and more meanwhile; return their results, the first one's first."""
    found: dict[int, object] = {}

    def write(number: int) -> None:
        try:
            found[number] = queue.run(lambda execute: number)
        except BaseException as exc:
            found[number] = exc

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    threads[0].start()
    assert disk.first_has_begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(queue._waiting) < count - 1:
        threading.Event().wait(0.001)
    disk.go_on.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return [found[number] for number in range(count)]


def test_all_that_wait_share_a_commit() -> None:
    """Nine jobs that come during a commit take one more."""
    disk = Disk()
    assert in_threads(JobQueue(disk.commit), disk, 10) == list(range(10))
    assert disk.batches == [1, 9]


def test_large_crowd_is_taken_in_parts() -> None:
    """No commit grows without bound, and nobody is forgotten."""
    disk = Disk()
    assert in_threads(JobQueue(disk.commit), disk, 131) == list(range(131))
    assert disk.batches == [1, 64, 64, 2]


def test_failed_commit_fails_for_those_in_it_alone() -> None:
    """The error of a commit goes to its own jobs; the next ones have theirs."""
    disk = Disk()
    disk.failures = [StoreUnavailableError("the disk is gone", hint="")]
    first, *others = in_threads(JobQueue(disk.commit), disk, 4)
    assert isinstance(first, StoreUnavailableError)
    assert others == [1, 2, 3]


def test_interrupted_leader_leaves_the_others_to_commit() -> None:
    """Ctrl-C in the thread that commits is no answer for those that wait."""
    disk = Disk()
    disk.failures = [KeyboardInterrupt()]
    first, *others = in_threads(JobQueue(disk.commit), disk, 4)
    assert isinstance(first, KeyboardInterrupt)
    assert others == [1, 2, 3]


def test_interrupted_leader_of_many() -> None:
    """The jobs that were in the interrupted commit with it are done by the next thread."""
    disk = Disk()
    queue = JobQueue(disk.commit)

    def commit(jobs: Sequence[Job[Any]]) -> None:
        if len(disk.batches) == 1:
            disk.batches.append(len(jobs))
            raise KeyboardInterrupt
        disk.commit(jobs)

    queue._work_off = commit
    first, *others = in_threads(queue, disk, 5)
    assert first == 0
    assert sorted(type(one).__name__ for one in others) == ["KeyboardInterrupt", "int", "int", "int"]
    assert queue.run(lambda execute: "later") == "later"


def test_interrupted_follower_withdraws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is interrupted while it waits writes nothing, and does not hold up those behind it."""
    disk = Disk()
    queue = JobQueue(disk.commit)
    done: list[object] = []
    real_wait = Job.wait

    def wait(job: Job[Any]) -> None:
        if threading.current_thread().name == "interrupted":
            raise KeyboardInterrupt
        real_wait(job)

    monkeypatch.setattr(Job, "wait", wait)

    def interrupted() -> None:
        try:
            queue.run(lambda execute: done.append("never"))
        except KeyboardInterrupt:
            done.append("interrupted")

    first = threading.Thread(target=lambda: done.append(queue.run(lambda execute: "first")))
    first.start()
    assert disk.first_has_begun.wait(30)
    second = threading.Thread(target=interrupted, name="interrupted")
    second.start()
    second.join(30)
    third = threading.Thread(target=lambda: done.append(queue.run(lambda execute: "third")))
    third.start()
    disk.go_on.set()
    for thread in (first, third):
        thread.join(30)
    assert done[0] == "interrupted"
    assert sorted(map(str, done[1:])) == ["first", "third"]


def test_posted_job_is_done_at_once_where_nobody_is_at_work() -> None:
    """Without a leader, whoever posts does it."""
    disk = Disk()
    disk.go_on.set()
    queue = JobQueue(disk.commit)
    queue.post([("SELECT 1", ())])
    assert disk.asked == ["SELECT 1"]
    assert queue._leader is None


def test_posted_job_is_waited_for_by_nobody() -> None:
    """While another is at work, it is left to that one: in its turn, and before what came later."""
    disk = Disk()
    queue = JobQueue(disk.commit)
    first = threading.Thread(target=lambda: queue.run(lambda execute: None))
    first.start()
    assert disk.first_has_begun.wait(30)
    queue.post([("SELECT 1", ())])
    assert disk.asked == []
    disk.go_on.set()
    first.join(30)
    assert disk.asked == ["SELECT 1"]
    assert queue.run(lambda execute: 7) == 7


def test_refusal_belongs_to_its_own_thread() -> None:
    """A job that refuses its own work spoils no other's."""
    disk = Disk()
    disk.go_on.set()
    queue = JobQueue(disk.commit)

    def refuse(execute: object) -> None:
        raise SettingError("no", hint="")

    with pytest.raises(SettingError):
        queue.run(refuse)
    assert queue.run(lambda execute: 7) == 7
