"""Reads the cases of one account: one, its versions, the list, and what was updated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from connector.communicate.case import Case
from connector.communicate.case_json import is_case_id, read_case
from connector.communicate.metadata import MetadataApi, query_moment
from connector.communicate.regions import Place
from connector.errors import CaseNotFoundError, ProviderUnavailableError

__all__ = ["CaseReader"]

_PASSES = 4
# So many pages without a case that was not there before are no list that moves, but one that does not end.
_STALE_PAGES = 20
# Clocks differ, and an update may show up a moment after it was made.
_OVERLAP = timedelta(minutes=10)
_OLDEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    cases: list[Case]
    size: int
    count: int | None


class CaseReader:
    """The metadata API's cases, in one account's region.

    Args:
        api: speaks as the account.
        place: where its cases are.
    """

    def __init__(self, api: MetadataApi, place: Place) -> None:
        self.api = api
        self.place = place

    def now(self) -> datetime:
        """Return the provider's own time, as of its last answer."""
        return self.api.server_time or self.api.clock.utc_now()

    def is_shared(self, case: Case) -> bool:
        """Return whether Ormco's lab is one of a case's sides."""
        return case.involves(self.place.lab_ids, self.place.lab_emails)

    def get(self, case_id: str, version: int | None = None) -> Case:
        """Return the newest version of a case, or the one that is named.

        Raises:
            connector.errors.CaseNotFoundError: there is none, or not for this account.
        """
        case = read_case(
            self.api.get(self._url(case_id) + ("" if version is None else f"/version/{version}"))
        )
        if case is None or case.id != case_id.lower():
            raise _odd(self.place)
        return case

    def find(self, case_id: str, version: int) -> Case | None:
        """Return one version of a case, or None where it is not to be had."""
        try:
            return self.get(case_id, version)
        except CaseNotFoundError:
            return None

    def updated(self, since: datetime, until: datetime | None = None) -> list[Case]:
        """Return the newest version of each case that was updated in a span of time, the oldest first."""
        params = {"from": query_moment(since)} | ({"to": query_moment(until)} if until else {})
        answer = self.api.get(f"{self.place.api_url}updatedcases", params)
        if isinstance(answer, dict):
            answer = answer.get("Cases")
        if not isinstance(answer, list):
            raise _odd(self.place)
        newest: dict[str, Case] = {}
        _merge(newest, [case for item in answer if (case := read_case(item))])
        return sorted(newest.values(), key=_age_key)

    def newest(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Case]:
        """Yield cases, the newest first, none twice, reading no more pages than are asked for.

        What jumps up from below while it is read is not looked for: that is what `all` does.
        """
        seen: set[str] = set()
        for page in self._pages(since, until):
            yield from (case for case in page.cases if case.id not in seen)
            seen.update(case.id for case in page.cases)

    def all(self, since: datetime | None = None, until: datetime | None = None) -> list[Case]:
        """Return the newest version of every case, the newest first.

        The list is read by pages of ten and moves while it is read. None is lost and none is there twice:
        what moves down is recognised, what jumps up is asked for as an update, and where something has left
        the list, it is read again.

        Raises:
            connector.errors.ProviderUnavailableError: it does not end, or gives less than it counts.
        """
        found: dict[str, Case] = {}
        for _ in range(_PASSES):
            reading = _Reading()
            for page in self._pages(since, until):
                reading.add(page, self.api.server_time)
            if reading.steady:
                return sorted(reading.cases.values(), key=_age_key, reverse=True)
            _merge(found, reading.cases.values())
            jumped = self.updated(reading.started - _OVERLAP)
            _merge(found, (case for case in jumped if _within(case, since, until)))
            if not reading.shrunk and len(found) >= reading.expected:
                break
        else:
            if len(found) < reading.expected:
                raise _odd(self.place, "fewer cases than it counts")
        return sorted(found.values(), key=_age_key, reverse=True)

    def _pages(self, since: datetime | None, until: datetime | None) -> Iterator[_Page]:
        read = stale = number = 0
        seen: set[str] = set()
        while stale < _STALE_PAGES:
            page = self._page(number, since, until)
            read += page.size
            number += 1
            yield page
            if page.size == 0 or (page.count is not None and read >= page.count):
                return
            new = {case.id for case in page.cases} - seen
            seen |= new
            stale = 0 if new else stale + 1
        raise _odd(self.place, "a list of cases that does not end")

    def _page(self, number: int, since: datetime | None, until: datetime | None) -> _Page:
        params: dict[str, str | int] = {"page": number}
        params |= {"from": query_moment(since)} if since else {}
        params |= {"to": query_moment(until)} if until else {}
        answer = self.api.get(f"{self.place.api_url}cases", params)
        items = answer.get("Cases") if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise _odd(self.place)
        count = answer.get("Count")
        return _Page(
            cases=[case for item in items if (case := read_case(item))],
            size=len(items),
            count=count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None,
        )

    def _url(self, case_id: str) -> str:
        if not is_case_id(case_id):
            raise CaseNotFoundError(
                "that is not the id of a case", hint="See them: ormco cases list PRACTICE."
            )
        return f"{self.place.api_url}cases/{case_id}"


class _Reading:
    """One pass over all pages, and what moved meanwhile."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.started = _OLDEST
        self._counts: list[int] = []
        self._read = self._unreadable = 0

    def add(self, page: _Page, server_time: datetime | None) -> None:
        if self._read == 0 and server_time is not None:
            self.started = server_time
        self._read += page.size
        self._unreadable += page.size - len(page.cases)
        self._counts += [] if page.count is None else [page.count]
        _merge(self.cases, page.cases)

    @property
    def expected(self) -> int:
        """How many cases there are at least, by the list's own count."""
        return max(self._counts[-1] - self._unreadable, 0) if self._counts else 0

    @property
    def steady(self) -> bool:
        """Whether nothing was there twice and the count stayed, and was right."""
        once = len(self.cases) + self._unreadable == self._read
        return once and (not self._counts or set(self._counts) == {self._read})

    @property
    def shrunk(self) -> bool:
        """Whether the list got shorter, so that something may have slipped to a page already read."""
        return any(later < earlier for earlier, later in pairwise(self._counts))


def _merge(found: dict[str, Case], cases: Iterable[Case]) -> None:
    for case in cases:
        known = found.get(case.id)
        if known is None or known.version <= case.version:
            found[case.id] = case


def _within(case: Case, since: datetime | None, until: datetime | None) -> bool:
    at = case.at
    return at is None or ((since is None or at >= since) and (until is None or at <= until))


def _age_key(case: Case) -> tuple[datetime, str]:
    return case.at or _OLDEST, case.id


def _odd(place: Place, what: str = "something that is not a case") -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"the metadata API of {place.region} answered with {what}",
        hint="Try again; if it stays so, check the provider's metadata_urls.",
    )
