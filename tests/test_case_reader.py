"""Reading lists of cases: by pages that move, none lost and none twice."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from connector.clock import Clock
from connector.communicate.case_reader import CaseReader
from connector.communicate.regions import Place
from connector.errors import CaseNotFoundError, ProviderUnavailableError

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
PLACE = Place(
    region="europe",
    api_url="https://eu.test/api/",
    lab_ids=frozenset({"lab"}),
    lab_emails=frozenset({"lab@x.test"}),
)


class FakeApi:
    """A list of cases, the last updated first; `stir` is called after every page."""

    def __init__(self, count, stir=lambda api: None, page_size=10):
        self.clock = Clock()
        self.cases = {}
        self.ticks = 0
        self.pages = 0
        self.page_size = page_size
        self.stir = stir
        self.server_time = None
        for number in range(count):
            self.touch(f"case-{number}")

    def touch(self, case_id):
        self.ticks += 1
        version = self.cases.pop(case_id, {"Version": 0})["Version"] + 1
        updated = (BEGIN + timedelta(seconds=self.ticks)).isoformat()
        self.cases[case_id] = {"Id": case_id, "Version": version, "UpdatedOn": updated}

    def get(self, url, params=None):
        path = urlsplit(url).path
        newest_first = list(reversed(self.cases.values()))
        self.server_time = BEGIN + timedelta(seconds=self.ticks)
        if path == "/api/updatedcases":
            since = datetime.fromisoformat(params["from"])
            return [case for case in newest_first if datetime.fromisoformat(case["UpdatedOn"]) >= since]
        start = params["page"] * self.page_size
        answer = {"Cases": newest_first[start : start + self.page_size], "Count": len(newest_first)}
        self.pages += 1
        self.stir(self)
        return answer


def read_all(api):
    return {case.id: case.version for case in CaseReader(api, PLACE).all()}


def test_all_pages_are_read():
    """Every case of every page is there, the newest first."""
    api = FakeApi(34)
    cases = CaseReader(api, PLACE).all()
    assert [case.id for case in cases] == [f"case-{number}" for number in reversed(range(34))]
    assert api.pages == 4


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20])
def test_ends_of_the_list(count):
    """A list that ends with a page, and an empty one, end."""
    assert len(read_all(FakeApi(count))) == count


def test_size_of_a_page_is_not_assumed():
    """A server with pages of another size loses nothing."""
    assert len(read_all(FakeApi(34, page_size=7))) == 34


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost_or_twice_while_cases_change(seed):
    """Whatever is updated, sent or removed between two pages: what was there at both ends is read, once."""
    chance = random.Random(seed)
    api = FakeApi(chance.randrange(5, 60))
    before = set(api.cases)

    def stir(api):
        if api.pages > 12:
            return
        for _ in range(chance.randrange(3)):
            action = chance.choice(["touch", "touch", "send", "remove"])
            if action == "send":
                api.touch(f"new-{api.ticks}")
            elif len(api.cases) > 1:
                case_id = chance.choice(sorted(api.cases))
                if action == "touch":
                    api.touch(case_id)
                else:
                    del api.cases[case_id]

    api.stir = stir
    cases = CaseReader(api, PLACE).all()
    found = [case.id for case in cases]
    assert len(found) == len(set(found))
    assert before & set(api.cases) <= set(found)


def test_what_jumps_to_the_top_is_found():
    """A case that is updated before its page is read moves to a page that was read, and is not lost."""
    api = FakeApi(25, stir=lambda api: api.pages == 1 and api.touch("case-0"))
    assert read_all(api)["case-0"] == 2


def test_what_slips_to_a_page_already_read_is_found():
    """When cases leave the list, those behind them are not lost."""
    api = FakeApi(25, stir=lambda api: api.pages == 1 and api.cases.pop("case-24"))
    assert set(read_all(api)) >= {f"case-{number}" for number in range(24)}


def test_server_that_ignores_the_page_is_not_believed():
    """A list that gives fewer cases than it counts is an error, not a short list."""
    api = FakeApi(25)
    first, updated = api.get("https://eu.test/api/cases", {"page": 0}), []
    api.get = lambda url, params=None: updated if url.endswith("/updatedcases") else first
    with pytest.raises(ProviderUnavailableError, match="fewer cases"):
        read_all(api)


def test_endless_list_ends():
    """A list without a count that never gets empty is given up."""
    api = FakeApi(10)
    page = {"Cases": list(api.cases.values())}
    api.get = lambda url, params=None: page
    with pytest.raises(ProviderUnavailableError):
        read_all(api)


@pytest.mark.parametrize("answer", [None, [], {}, {"Cases": {}}, "text"])
def test_answer_that_is_no_list(answer):
    """What is not a page of cases is the server's fault, and said so."""
    api = FakeApi(1)
    api.get = lambda url, params=None: answer
    with pytest.raises(ProviderUnavailableError):
        read_all(api)


def test_newest_reads_no_more_than_needed():
    """A look at the top costs one page."""
    api = FakeApi(60)
    newest = CaseReader(api, PLACE).newest()
    assert [next(newest).id for _ in range(3)] == ["case-59", "case-58", "case-57"]
    assert api.pages == 1


@pytest.mark.parametrize("case_id", ["", "..", "a/b", "a?b", "a b", "%2e", "é"])
def test_ids_that_would_be_another_address(case_id):
    """An id that is none is refused before it becomes part of an address."""
    with pytest.raises(CaseNotFoundError):
        CaseReader(FakeApi(0), PLACE).get(case_id)
