"""The cases of connected practices: read, followed and downloaded with each one's own token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from connector.communicate.case import Case
from connector.communicate.case_access import CaseAccess
from connector.communicate.case_history import (
    CaseEvent,
    CaseStanding,
    Through,
    events_between,
    standing_of,
    versions_of,
)
from connector.resources import Resources

if TYPE_CHECKING:
    from connector.communicate.attachments import Download
    from connector.communicate.transfer import Progress
    from connector.communicate.watch import Handler, WatchPlan
    from connector.communicate.watch_rota import Problem, WatchReport

__all__ = ["KINDS", "Cases"]

KINDS = ("scan", "design", "attachment")


class Cases:
    """Reads the cases that practices share with Ormco's lab; thread-safe.

    Only cases with Ormco's lab among their actors are read out, unless `all_cases` asks for the others.

    Args:
        resources: what to work with.
        token: called as `token(practice_id, refreshed)`, returns an access token, refreshed first if asked.
    """

    def __init__(self, resources: Resources, token: Callable[[str, bool], str]) -> None:
        self._resources = resources
        self._access = CaseAccess(resources, token)

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._access.close()

    def list(
        self,
        practice_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        all_cases: bool = False,
        region: str | None = None,
    ) -> Sequence[CaseStanding]:
        """Return a practice's cases, the newest first, and where each stands.

        Args:
            practice_id: whose connection to use.
            since: only cases from then on.
            until: only cases up to then.
            limit: how many at the most; None: all, of which none is missed while the list moves.
            all_cases: also those without Ormco's lab among their actors.
            region: where to look, if that cannot be found out.

        Raises:
            connector.errors.SettingError: it cannot be told in which region the cases are.
            connector.errors.ProviderUnavailableError: the metadata API fails.
        """
        reader = self._access.reader(practice_id, region)
        cases = reader.all(since, until) if limit is None else reader.newest(since, until)
        shared = (case for case in cases if all_cases or reader.is_shared(case))
        return [
            CaseStanding(case=case, standing=standing_of(case, reader.find), region=reader.place.region)
            for case in islice(shared, limit)
        ]

    def get(
        self,
        practice_id: str,
        case_id: str,
        *,
        version: int | None = None,
        all_cases: bool = False,
        region: str | None = None,
    ) -> Case:
        """Return one case: its newest version, or the one that is named.

        Raises:
            connector.errors.CaseNotFoundError: there is none, or it is not shared with Ormco's lab.
        """
        reader = self._access.reader(practice_id, region)
        return self._access.shared(reader, case_id, version, all_cases=all_cases)

    def versions(
        self, practice_id: str, case_id: str, *, all_cases: bool = False, region: str | None = None
    ) -> Sequence[Case]:
        """Return every version of a case that is to be had, the oldest first.

        Raises:
            connector.errors.CaseNotFoundError: there is none, or it is not shared with Ormco's lab.
        """
        reader = self._access.reader(practice_id, region)
        return versions_of(self._access.shared(reader, case_id, None, all_cases=all_cases), reader.find)

    def history(
        self, practice_id: str, case_id: str, *, all_cases: bool = False, region: str | None = None
    ) -> Sequence[CaseEvent]:
        """Return what was done to a case and by whom, the oldest first.

        Raises:
            connector.errors.CaseNotFoundError: there is none, or it is not shared with Ormco's lab.
        """
        return self.show(practice_id, case_id, all_cases=all_cases, region=region)[1]

    def show(
        self, practice_id: str, case_id: str, *, all_cases: bool = False, region: str | None = None
    ) -> tuple[CaseStanding, Sequence[CaseEvent]]:
        """Return a case and where it stands, together with its history.

        Raises:
            connector.errors.CaseNotFoundError: there is none, or it is not shared with Ormco's lab.
        """
        reader = self._access.reader(practice_id, region)
        newest = self._access.shared(reader, case_id, None, all_cases=all_cases)
        through = Through(practice_id=practice_id, region=reader.place.region)
        events = [seen.event for seen in events_between(None, newest, reader.find, through=through)]
        standing = CaseStanding(case=newest, standing=events[-1].standing, region=reader.place.region)
        return standing, events

    def watch(
        self,
        practice_ids: Iterable[str] | None,
        handler: Handler,
        *,
        plan: WatchPlan | None = None,
        stop: threading.Event | None = None,
        on_problem: Problem = lambda practice_id, error: None,
    ) -> WatchReport:
        """Deliver what happens to cases: each event at least once, those of a case in order.

        A watch that is killed and started again, on any machine with the same store, goes on where it was. It
        returns when `stop` is set, when the plan says once, or when no practice is left that it could follow.

        Args:
            practice_ids: whom to follow; None: every connected practice, new ones as they come.
            handler: called with each event, from several threads, but with one event of a practice at a
                time. If it raises, it gets the event again; `event.id` tells what it has had before.
            plan: how to go about it.
            stop: ends the watch from elsewhere.
            on_problem: told what is wrong with a practice when that changes; with None, that it is right
                again. One practice's trouble does not stop the others.

        Raises:
            connector.errors.ConnectorError: none of the practices that were named can be followed.
            connector.errors.StoreError: the store failed.
        """
        from connector.communicate.watch import PracticeWatch, WatchPlan
        from connector.communicate.watch_rota import Rota

        chosen = plan or WatchPlan()
        named = None if practice_ids is None else list(dict.fromkeys(practice_ids))
        rota = Rota(
            self._access.practices if named is None else lambda: named,
            lambda practice_id: PracticeWatch(
                practice_id,
                plan=chosen,
                reader=partial(self._access.reader, practice_id, chosen.region),
                store=self._resources.store,
                handler=handler,
            ),
            plan=chosen,
            lasting=named is None,
            clock=self._resources.clock,
            on_problem=on_problem,
        )
        report = rota.run(stop or threading.Event())
        if named and len(report.problems) == len(named):
            raise report.problems[named[0]]
        return report

    def download(
        self,
        practice_id: str,
        case_id: str,
        folder: Path,
        *,
        kinds: Collection[str] = KINDS,
        version: int | None = None,
        all_cases: bool = False,
        region: str | None = None,
        progress: Progress = lambda file, done, size: None,
    ) -> Iterator[Download]:
        """Download a case's files, yielding each as it is there, or why it could not be had.

        What an earlier attempt has left unfinished is finished; what is there already is not fetched again.

        Args:
            practice_id: whose connection to use; STL files are asked for as the lab's own account, the
                connection `lab:REGION`, where there is one.
            case_id: the case.
            folder: made if need be.
            kinds: of "scan", "design", "attachment".
            version: which version of the case; None: the newest.
            all_cases: also if Ormco's lab is not among its actors.
            region: where it is, if that cannot be found out.
            progress: called with the file, the bytes that are there, and the bytes it has or None.

        Raises:
            connector.errors.CaseNotFoundError: there is no such case.
            connector.errors.SettingError: the folder cannot be written.
        """
        from connector.communicate.attachments import Downloader

        reader = self._access.reader(practice_id, region)
        case = self._access.shared(reader, case_id, version, all_cases=all_cases)
        downloader = Downloader(
            reader,
            lab=partial(self._access.lab_reader, practice_id, reader.place.region),
            origins=self._access.origins,
            progress=progress,
        )
        return downloader.run(case, [file for file in case.files if file.kind in kinds], folder)
