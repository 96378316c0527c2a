"""Read, watch and download the cases of connected practices, with each practice's own token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from connector.calls import Scope, each_in_scope, operation, outside
from connector.communicate.case_access import CaseAccess
from connector.communicate.case_list import check_time, in_utc, list_cases
from connector.communicate.history import CaseEvent, CaseSummary, Source, events_between, versions_of
from connector.communicate.models import KINDS, Case
from connector.errors import SettingError
from connector.resources import Resources

if TYPE_CHECKING:
    from connector.communicate.download import Download, Target
    from connector.communicate.transfer import Progress
    from connector.communicate.watch import Handler
    from connector.communicate.watch_plan import WatchPlan, WatchReport
    from connector.communicate.watch_scheduler import Lag, Problem

__all__ = ["Cases"]


class Cases:
    """Reads the cases that practices share with Ormco's lab; thread-safe.

    Only cases with Ormco's lab among their actors are returned, unless `all_cases` is set.

    Args:
        resources: settings, provider, token endpoint, store and clock.
        token: called as `token(practice_id, rejected)`, returns an access token.
        scope: returns the scope of a library call, for observers and the audit record.
    """

    def __init__(
        self,
        resources: Resources,
        token: Callable[[str, str | None], str],
        *,
        scope: Callable[[str, str | None], Scope],
    ) -> None:
        self._resources = resources
        self.scope = scope
        self._access = CaseAccess(resources, token)

    def close(self) -> None:
        """Close the network connections."""
        self._access.close()

    @operation("cases.list")
    def list(
        self,
        practice_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        all_cases: bool = False,
        region: str | None = None,
    ) -> Sequence[CaseSummary]:
        """Return a practice's cases, the newest first, with their status.

        Args:
            practice_id: the practice whose connection is used.
            since: only cases from this time on.
            until: only cases up to this time.
            limit: the maximum number; None: all, and none is missed while the list changes.
            all_cases: whether to include cases without Ormco's lab among their actors.
            region: the region of the cases, if it cannot be determined.

        Raises:
            connector.errors.SettingError: a time is not usable, or the region cannot be determined.
            connector.errors.ProviderUnavailableError: the metadata API fails.
        """
        since = check_time(since, self._resources.clock.utc_now(), "the beginning of the list")
        until = in_utc(until, "the end of the list")
        if limit is not None and limit < 0:
            raise SettingError(f"the limit of a list is {limit}", hint="Give the number of cases, or none.")
        reader = self._access.reader(practice_id, region)
        return list(list_cases(reader, since, until, limit=limit, all_cases=all_cases))

    @operation("cases.get")
    def get(
        self,
        practice_id: str,
        case_id: str,
        *,
        version: int | None = None,
        all_cases: bool = False,
        region: str | None = None,
    ) -> Case:
        """Return one case: its newest version, or the one with this number.

        Raises:
            connector.errors.CaseNotFoundError: the case does not exist, or is not shared with Ormco's lab.
        """
        return self._access.case(practice_id, case_id, region, version, all_cases=all_cases)[1]

    @operation("cases.versions")
    def versions(
        self, practice_id: str, case_id: str, *, all_cases: bool = False, region: str | None = None
    ) -> Sequence[Case]:
        """Return every version of a case that this account may see, the oldest first; raises as `get`."""
        reader, newest = self._access.case(practice_id, case_id, region, all_cases=all_cases)
        return versions_of(newest, reader.find)

    @operation("cases.history")
    def history(
        self, practice_id: str, case_id: str, *, all_cases: bool = False, region: str | None = None
    ) -> Sequence[CaseEvent]:
        """Return the events of a case, with their actors, the oldest first; raises as `get`."""
        return self.show(practice_id, case_id, all_cases=all_cases, region=region)[1]

    @operation("cases.show")
    def show(
        self, practice_id: str, case_id: str, *, all_cases: bool = False, region: str | None = None
    ) -> tuple[CaseSummary, Sequence[CaseEvent]]:
        """Return a case with its status, and its history; raises as `get`."""
        reader, newest = self._access.case(practice_id, case_id, region, all_cases=all_cases)
        source = Source(practice_id=practice_id, region=reader.region.name)
        events = [seen.event for seen in events_between(None, newest, reader.find, source=source)]
        return CaseSummary(case=newest, status=events[-1].status, region=reader.region.name), events

    def watch(
        self,
        practice_ids: Iterable[str] | None,
        handler: Handler,
        *,
        plan: WatchPlan | None = None,
        stop: threading.Event | None = None,
        on_problem: Problem = lambda practice_id, error: None,
        on_lag: Lag = lambda seconds: None,
    ) -> WatchReport:
        """Deliver the events of cases: each event at least once, and those of a case in order.

        Any number of processes can share a watch of one name on one store. A watch that is killed and started
        again, on any machine, continues where it was. The call returns when `stop` is set, after one pass if
        the plan has `once`, or when no practice can be followed any more.

        Args:
            practice_ids: the practices to follow; None: every connected practice, including new ones.
            handler: called with each event, from several threads, but with one event of a practice at a
                time. If it raises, the event is delivered again; `event.id` identifies a repeated delivery.
            plan: the options of the watch, such as its start and its interval; None: the defaults.
            stop: set it to end the watch.
            on_problem: called with a practice and its error when the error changes, and with None when it is
                over. A problem of one practice or one case does not stop the others.
            on_lag: called with the actual seconds between two polls if they become far more than planned:
                more workers or more processes are needed.

        Example:
            >>> report = connector.cases.watch(["practice-42"], print, plan=WatchPlan(once=True))

        Raises:
            connector.errors.SettingError: the plan begins in the future.
            connector.errors.ConnectorError: the store failed, or none of the named practices can be followed.
        """
        from connector.communicate.watch import PracticeWatch
        from connector.communicate.watch_plan import WatchPlan
        from connector.communicate.watch_scheduler import WatchScheduler
        from connector.store.watch_claims import WatchClaim, WatchScope

        store, clock = self._resources.store, self._resources.clock
        chosen = (plan or WatchPlan()).begun_by(clock.utc_now())
        named = _named(practice_ids)

        def open_watch(claim: WatchClaim) -> PracticeWatch:
            return PracticeWatch(
                claim.practice_id,
                plan=chosen,
                reader=partial(self._access.reader, claim.practice_id, chosen.region),
                records=store.watches,
                handler=outside(handler),
                reverse=claim.failures % 2 == 1,
            )

        report = WatchScheduler(
            store,
            WatchScope(watch=chosen.name, provider=self._resources.provider.name, practice_ids=named),
            open_watch,
            plan=chosen,
            clock=clock,
            call=partial(self.scope, "cases.watch"),
            on_problem=on_problem,
            on_lag=on_lag,
        ).run(stop or threading.Event())
        if named and len(report.problems) == len(named):
            raise report.problems[named[0]]
        return report

    def reset_watch(self, name: str = "default", *, practice_ids: Iterable[str] | None = None) -> None:
        """Forget the position of a watch, for some practices or for all: the next poll starts over."""
        self._resources.store.watches.reset(name, _named(practice_ids))

    def download(
        self,
        practice_id: str,
        case_id: str,
        target: Target,
        *,
        kinds: Collection[str] = KINDS,
        version: int | None = None,
        all_cases: bool = False,
        region: str | None = None,
        progress: Progress = lambda file, done, size: None,
    ) -> Iterator[Download]:
        """Download a case's files; yield the result of each: its path, or its error.

        A file that an earlier attempt left unfinished is resumed if the server confirms that it is the same.
        A file that is in the folder already is not fetched again.

        Args:
            practice_id: the practice; STL files are requested as the lab's own account, the connection
                `lab:REGION`, if there is one.
            case_id: the case.
            target: a folder, created if missing; a binary file object, or any object with `write(bytes)`,
                for a single file; or a function that is called with each file and returns such an object.
            kinds: the kinds of files: "scan", "design", "attachment".
            version: the version of the case; None: the newest.
            all_cases: whether to read the case even if Ormco's lab is not among its actors.
            region: the region of the case, if it cannot be determined.
            progress: called with the file, the bytes that have arrived, and its size in bytes or None.

        Raises:
            connector.errors.CaseNotFoundError: there is no such case.
            connector.errors.SettingError: the target is neither a usable folder nor a writable file.
        """
        from connector.communicate.download import Downloader, files_of

        reader, case = self._access.case(practice_id, case_id, region, version, all_cases=all_cases)
        downloader = Downloader(
            reader,
            lab=partial(self._access.lab_reader, practice_id, reader.region.name),
            hosts=self._resources.provider.download_hosts,
            progress=progress,
        )
        files = files_of(case, kinds)
        return each_in_scope(self.scope("cases.download", practice_id), downloader.run(case, files, target))


def _named(practice_ids: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(practice_ids, str):  # one id, not a collection of letters
        return (practice_ids,)
    return None if practice_ids is None else tuple(dict.fromkeys(practice_ids))
