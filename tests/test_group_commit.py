"""Several threads' transactions in one commit: each gets its own result, and its own error."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from connector.errors import SettingError
from connector.store.group_commit import GroupCommit, Job


class FakeDatabase:
    """Commits what it is given, slowly at first, so that jobs pile up behind it."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fails = 0
        self.may_go_on = threading.Event()
        self.has_begun = threading.Event()

    def commit(self, jobs: Sequence[Job[Any]]) -> None:
        self.batches.append(len(jobs))
        self.has_begun.set()
        self.may_go_on.wait(30)
        for job in jobs:
            job.run(lambda sql, args: None)


def run_together(commits: GroupCommit, database: FakeDatabase, works: Sequence[Any]) -> list[object]:
    """Have threads run work at the same time; return the results, or the errors."""
    results: list[object] = [None] * len(works)

    def run(number: int) -> None:
        try:
            results[number] = commits.run(Job(works[number]))
        except BaseException as exc:
            results[number] = exc

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    threads[0].start()
    database.has_begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(commits._waiting) < len(works) - 1:
        pass
    database.may_go_on.set()
    for thread in threads:
        thread.join(30)
    return results


def test_waiting_jobs_are_committed_together() -> None:
    """The thread with the lock commits for all that wait, and each gets its own result."""
    database = FakeDatabase()
    works = [lambda execute, number=number: number for number in range(20)]
    assert run_together(GroupCommit(database.commit), database, works) == list(range(20))
    assert database.batches == [1, 19]


@pytest.mark.parametrize(
    ("error", "batches"), [(SettingError("no"), [1, 2]), (ZeroDivisionError(), [1, 2, 1, 1])]
)
def test_a_failure_affects_only_its_own_job(error: Exception, batches: list[int]) -> None:
    """An error of ours affects only its job; after any other, each job is committed by itself."""
    database = FakeDatabase()

    def broken(execute: object) -> None:
        raise error

    works = [lambda execute: 1, broken, lambda execute: 3]
    assert run_together(GroupCommit(database.commit), database, works) == [1, error, 3]
    assert database.batches == batches


def test_interrupted_commit_is_done_by_the_others() -> None:
    """Ctrl-C in the thread that commits is no result for those that wait."""
    database = FakeDatabase()

    def interrupted(execute: object) -> None:
        if threading.current_thread() is not threading.main_thread() and database.fails == 0:
            database.fails += 1
            raise KeyboardInterrupt

    commits = GroupCommit(database.commit)
    results = run_together(commits, database, [interrupted, lambda execute: 2, lambda execute: 3])
    assert isinstance(results[0], KeyboardInterrupt)
    assert results[1:] == [2, 3]
    assert commits.run(Job(lambda execute: 4)) == 4
    with pytest.raises(ZeroDivisionError):
        commits.run(Job(lambda execute: 1 / 0))
