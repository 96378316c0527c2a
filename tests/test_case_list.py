"""Read lists of cases whose pages change meanwhile: no case is lost, and none is returned twice."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from connector.communicate.case_list import check_time, in_utc, list_all, list_newest
from connector.communicate.case_reader import CasePage
from connector.errors import ProviderUnavailableError, SettingError
from tests.support.cases import sound_case

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


class FakeReader:
    """A list of cases, the last updated first; `stir` is called after every page."""

    def __init__(self, count: int, stir: Any = lambda reader: None, page_size: int = 10) -> None:
        self.cases: dict[Any, Any] = {}
        self.ticks = 0
        self.pages = 0
        self.page_size = page_size
        self.stir = stir
        for number in range(count):
            self.touch(f"case-{number}")

    def touch(self, case_id: str) -> None:
        self.ticks += 1
        version = self.cases.pop(case_id, {"Version": 0})["Version"] + 1
        updated = (BEGIN + timedelta(seconds=self.ticks)).isoformat()
        self.cases[case_id] = {"Id": case_id, "Version": version, "UpdatedOn": updated}

    def now(self) -> Any:
        return BEGIN + timedelta(seconds=self.ticks)

    def page(self, number: int, since: Any, until: Any) -> Any:
        start = number * self.page_size
        newest_first = [sound_case(case) for case in reversed(self.cases.values())]
        cases = newest_first[start : start + self.page_size]
        page = CasePage(cases=cases, size=len(cases), count=len(newest_first))
        self.pages += 1
        self.stir(self)
        return page

    def updated(self, since: Any) -> Any:
        return [
            case for case in map(sound_case, self.cases.values()) if case.updated and case.updated >= since
        ]

    def unexpected(self, what: Any) -> Any:
        return ProviderUnavailableError(what)


def read_all(reader: Any) -> Any:
    return {case.id: case.version for case in list_all(reader)}


def test_all_pages_are_read() -> None:
    """Every case of every page is there, the newest first."""
    reader: Any = FakeReader(34)
    cases = list_all(reader)
    assert [case.id for case in cases] == [f"case-{number}" for number in reversed(range(34))]
    assert reader.pages == 4


@pytest.mark.parametrize(("count", "page_size"), [*((count, 10) for count in (0, 1, 9, 10, 11, 20)), (34, 7)])
def test_ends_of_the_list(count: int, page_size: int) -> None:
    """A list that ends with a page, an empty one, and one with pages of another size are read whole."""
    assert len(read_all(FakeReader(count, page_size=page_size))) == count


@pytest.mark.parametrize("seed", range(40))
def test_no_case_is_lost_or_repeated_while_cases_change(seed: Any) -> None:
    """Every case that exists throughout is read once, whatever changes between two pages."""
    chance = random.Random(seed)
    reader: Any = FakeReader(chance.randrange(5, 60))
    before = set(reader.cases)

    def stir(reader: Any) -> None:
        if reader.pages > 12:
            return
        for _ in range(chance.randrange(3)):
            action = chance.choice(["touch", "touch", "send", "remove"])
            if action == "send":
                reader.touch(f"new-{reader.ticks}")
            elif len(reader.cases) > 1:
                case_id = chance.choice(sorted(reader.cases))
                if action == "touch":
                    reader.touch(case_id)
                else:
                    del reader.cases[case_id]

    reader.stir = stir
    cases = list_all(reader)
    found = [case.id for case in cases]
    assert len(found) == len(set(found))
    assert before & set(reader.cases) <= set(found)


def test_case_that_moves_to_the_top_is_found() -> None:
    """A case that is updated before its page is read moves to a page that was read, and is not lost."""
    reader: Any = FakeReader(25, stir=lambda reader: reader.pages == 1 and reader.touch("case-0"))
    assert read_all(reader)["case-0"] == 2


def test_case_that_moves_to_a_page_already_read_is_found() -> None:
    """When cases leave the list, those behind them are not lost."""
    reader: Any = FakeReader(25, stir=lambda reader: reader.pages == 1 and reader.cases.pop("case-24"))
    assert set(read_all(reader)) >= {f"case-{number}" for number in range(24)}


@pytest.mark.parametrize("count", [25, 20], ids=["more than the pages have", "as many as the pages have"])
def test_server_that_ignores_the_page_is_an_error(count: int) -> None:
    """A list that gives fewer cases than it counts is an error, not a short list, nor one of doubles."""
    reader: Any = FakeReader(count)
    first = reader.page(0, None, None)
    reader.page = lambda number, since, until: first
    reader.updated = lambda since: []
    with pytest.raises(ProviderUnavailableError, match="fewer cases"):
        read_all(reader)


def test_case_that_the_list_names_twice_is_read_once() -> None:
    """It is no reason to read nothing: nothing moved, and every entry was read."""
    reader: Any = FakeReader(15)
    reader.page_size = 8
    pages = [reader.page(number, None, None) for number in (0, 1)]
    again = CasePage(cases=[*pages[1].cases, pages[1].cases[-1]], size=8, count=16)
    pages = [replace(pages[0], count=16), again]
    reader.page = lambda number, since, until: pages[number]
    reader.updated = lambda since: []
    assert len(read_all(reader)) == 15
    assert len(list(list_newest(reader))) == 15


def test_wrong_count_does_not_end_the_list() -> None:
    """A server that counts none, and lists some, is read to the end."""
    reader: Any = FakeReader(25)
    pages = [replace(reader.page(number, None, None), count=0) for number in range(4)]
    reader.page = lambda number, since, until: pages[number]
    assert len(read_all(reader)) == 25


@pytest.mark.parametrize(("case_id", "pages"), [("case", 21), ("case-{}", 100)])
def test_endless_list_ends(monkeypatch: pytest.MonkeyPatch, case_id: str, pages: int) -> None:
    """A list without a count that never gets empty is given up, also if each page has another case."""
    monkeypatch.setattr("connector.communicate.case_list._MOST_PAGES", 100)
    reader: Any = FakeReader(0)
    asked: list[int] = []

    def page(number: int, since: Any, until: Any) -> Any:
        asked.append(number)
        return CasePage(cases=[sound_case({"Id": case_id.format(number)})], size=1, count=None)

    reader.page = page
    with pytest.raises(ProviderUnavailableError, match="does not end"):
        read_all(reader)
    assert len(asked) == pages


@pytest.mark.parametrize(
    ("time", "words"),
    [(BEGIN, None), (datetime(1, 1, 1, tzinfo=UTC), "year 1"), (datetime(2999, 1, 1, tzinfo=UTC), "future")],
)
def test_time_to_begin_at(time: Any, words: str | None) -> None:
    """A list or a watch begins at a time that has passed; one without a zone is UTC."""
    now = BEGIN + timedelta(days=1)
    if words is None:
        assert check_time(time.replace(tzinfo=None), now, "it") == BEGIN
        return
    with pytest.raises(SettingError, match=words):
        check_time(time, now, "it")


def test_time_that_does_not_exist_in_utc() -> None:
    """It is refused in words; no error of the interpreter's own comes through."""
    late = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14)))
    with pytest.raises(SettingError, match="not a date in UTC"):
        in_utc(late, "it")


def test_newest_reads_no_more_than_needed() -> None:
    """A look at the top costs one page."""
    reader: Any = FakeReader(60)
    newest = list_newest(reader)
    assert [next(newest).id for _ in range(3)] == ["case-59", "case-58", "case-57"]
    assert reader.pages == 1
