"""List cases with their status, without a lost or repeated case while the list changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from connector.communicate.case_reader import CasePage, CaseReader, age_key, merge
from connector.communicate.history import CaseSummary, status_of
from connector.communicate.models import Case
from connector.errors import ProviderUnavailableError, SettingError

__all__ = ["check_time", "in_utc", "list_all", "list_cases", "list_newest"]

_PASSES = 4
# After this many pages without a new case, the list counts as endless.
_STALE_PAGES = 20
_MOST_PAGES = 10_000
# Clocks differ, and an update may appear shortly after it was made.
_OVERLAP = timedelta(minutes=10)
_MOST_FAILURES = 3
_FIRST_YEAR = 1900
_OLDEST = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)


def list_cases(
    reader: CaseReader, since: datetime | None, until: datetime | None, *, limit: int | None, all_cases: bool
) -> Iterator[CaseSummary]:
    """Yield cases with their status, the newest first.

    A case whose earlier versions cannot be read now gets the status that its label implies. The arguments are
    those of `Cases.list`.
    """
    cases = list_all(reader, since, until) if limit is None else list_newest(reader, since, until)
    shared = (case for case in cases if all_cases or reader.is_shared(case))
    failed: list[ProviderUnavailableError] = []

    def find(case_id: str, version: int) -> Case | None:
        if len(failed) >= _MOST_FAILURES:  # in a row: the server fails, not the cases
            raise failed[-1]
        try:
            found = reader.find(case_id, version)
        except ProviderUnavailableError as error:
            failed.append(error)
            raise
        failed.clear()
        return found

    for case in islice(shared, limit and min(limit, sys.maxsize)):
        problem = None
        try:
            status = status_of(case, find)
        except ProviderUnavailableError as error:
            status, problem = status_of(case, lambda case_id, version: None), error
        yield CaseSummary(case=case, status=status, region=reader.region.name, problem=problem)


def list_newest(
    reader: CaseReader, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Case]:
    """Yield cases, the newest first, none twice, reading only as many pages as the caller consumes.

    A case that moves up while the list is read may be missed; `list_all` does not miss it.
    """
    seen: set[str] = set()
    for page in _pages(reader, since, until):
        for case in page.cases:
            if case.id not in seen:
                seen.add(case.id)
                yield case


def list_all(reader: CaseReader, since: datetime | None = None, until: datetime | None = None) -> list[Case]:
    """Return the newest version of every case, the newest first.

    A case that moves down while the list is read appears twice, and counts once. A case that moves up is
    found among the updated cases. If the list becomes shorter, it is read again.

    Raises:
        connector.errors.ProviderUnavailableError: the list does not end, or has fewer cases than its count.
    """
    found: dict[str, Case] = {}
    before = None
    for _ in range(_PASSES):
        reading = _Reading()
        for page in _pages(reader, since, until):
            reading.add(page, reader.now())
        if reading.steady:
            return sorted(reading.cases.values(), key=age_key, reverse=True)
        merge(found, reading.cases.values())
        jumped = reader.updated(reading.started - _OVERLAP)
        merge(found, (case for case in jumped if _within(case, since, until)))
        # If two passes give the same cases, a repeated case did not move: the list contains it twice.
        twice = reading.whole and not reading.repeats and reading.cases.keys() == before
        if not reading.shrunk and (twice or len(found) >= reading.expected):
            break
        before = reading.cases.keys()
    else:
        if len(found) < reading.expected:
            raise reader.unexpected("fewer cases than it counts")
    return sorted(found.values(), key=age_key, reverse=True)


def check_time(time: datetime | None, now: datetime, what: str) -> datetime | None:
    """Return a time in UTC; one without a zone is taken as UTC.

    Raises:
        connector.errors.SettingError: it is in the future, or before 1900.
    """
    time = in_utc(time, what)
    if time is None:
        return None
    if time.year < _FIRST_YEAR:
        raise SettingError(f"{what} is in the year {time.year}", hint=f"Give a date from {_FIRST_YEAR} on.")
    if time > now:
        raise SettingError(
            f"{what} is in the future ({time:%Y-%m-%d %H:%M} UTC)", hint="Give a time in the past."
        )
    return time


def in_utc(time: datetime | None, what: str) -> datetime | None:
    """Return a time in UTC; one without a zone is taken as UTC.

    Raises:
        connector.errors.SettingError: in UTC it is before the year 1 or after the year 9999.
    """
    if time is None or time.tzinfo is None:
        return time and time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise SettingError(f"{what} is not a date in UTC", hint="Give a date that cases can have.") from None


def _pages(reader: CaseReader, since: datetime | None, until: datetime | None) -> Iterator[CasePage]:
    read = stale = number = 0
    seen: set[str] = set()
    while stale < _STALE_PAGES and number < _MOST_PAGES:
        page = reader.page(number, since, until)
        read += page.size
        number += 1
        yield page
        # A count that is less than the number of cases on the page itself is wrong.
        if page.size == 0 or (page.count is not None and read >= page.count >= page.size):
            return
        new = {case.id for case in page.cases} - seen
        seen |= new
        stale = 0 if new else stale + 1
    raise reader.unexpected("a list of cases that does not end")


class _Reading:
    """One pass over all pages, with the cases that moved meanwhile."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.started = _OLDEST
        self.repeats: bool = False  # a page without a new case: the server may have ignored its number
        self._counts: list[int] = []
        self._read = self._unreadable = 0

    def add(self, page: CasePage, now: datetime) -> None:
        if not self._read:
            self.started = now
        self._read += page.size
        self._unreadable += page.size - len(page.cases)
        self._counts += [] if page.count is None else [page.count]
        before = len(self.cases)
        merge(self.cases, page.cases)
        self.repeats |= bool(page.cases) and len(self.cases) == before

    @property
    def expected(self) -> int:
        """The minimum number of cases, by the list's own count."""
        return max(self._counts[-1] - self._unreadable, 0) if self._counts else 0

    @property
    def steady(self) -> bool:
        """Whether each case appeared once, and the count was constant and correct."""
        return self.whole and len(self.cases) + self._unreadable == self._read

    @property
    def whole(self) -> bool:
        """Whether the count did not change, and as many entries were read."""
        return not self._counts or set(self._counts) == {self._read}

    @property
    def shrunk(self) -> bool:
        """Whether the list got shorter, so that a case may have moved to a page already read."""
        return any(later < earlier for earlier, later in pairwise(self._counts))


def _within(case: Case, since: datetime | None, until: datetime | None) -> bool:
    at = case.at
    return at is None or ((since is None or at >= since) and (until is None or at <= until))
