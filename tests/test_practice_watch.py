"""One practice's part of a watch: nothing is lost to a slow server, a broken case or a wrong clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.communicate.models import read_case
from connector.communicate.regions import ApiRegion
from connector.communicate.watch import PracticeWatch
from connector.communicate.watch_plan import ClaimLostError, HandlerFailedError, WatchPlan
from connector.errors import ProviderUnavailableError, SettingError
from connector.store.cursors import WatchCursor
from tests.support.cases import sound_case
from tests.support.stores import store_at

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STEPS = ("Scanned sent", "Scanned received", "Scanned approved", "Designed sent", "Designed rejected")


class FakeReader:
    """The cases of a practice; `broken` are those whose earlier versions answer with this error."""

    def __init__(self) -> None:
        self.region = ApiRegion(name="europe", api_url="https://eu.test/api/")
        self.versions: dict[Any, Any] = {}
        self.hidden: set[Any] = set()
        self.broken: dict[Any, Any] = {}
        self.asked: list[Any] = []
        self.time = NOW

    def add(self, case_id: str, *, at: Any = NOW, status: str = STEPS[0], version: Any = None) -> None:
        known = self.versions.setdefault(case_id, {})
        number = len(known) + 1 if version is None else version
        state, flag = status.split()
        values = {"State": state, "StateFlag": flag.capitalize(), "UpdatedOn": at and at.isoformat()}
        known[number] = {"Id": case_id, "Version": number, **values}

    def send(self, case_id: str, count: int, *, at: Any = NOW) -> None:
        for number in range(count):
            self.add(case_id, at=at, status=STEPS[min(number, len(STEPS) - 1)])

    def now(self) -> Any:
        return self.time

    def latest(self) -> Any:
        return max(self.time, NOW)

    def is_shared(self, case: Any) -> Any:
        return True

    def updated(self, since: Any) -> Any:
        self.asked.append(since)
        newest = [sound_case(versions[max(versions)]) for name, versions in self.versions.items()]
        return [
            case
            for case in newest
            if case.id not in self.hidden and (case.updated is None or case.updated >= since)
        ]

    def find(self, case_id: str, version: Any) -> Any:
        if case_id in self.broken:
            raise self.broken[case_id]
        return read_case(self.versions[case_id].get(version))


@pytest.fixture
def reader() -> Any:
    return FakeReader()


@pytest.fixture
def records(store_url: str) -> Any:
    return store_at(store_url).watches


def watch_of(
    reader: Any, records: Any, handler: Any = lambda event: None, *, reverse: bool = False, **plan: Any
) -> Any:
    chosen = WatchPlan(**{"since": NOW - DAY, **plan})
    return PracticeWatch(
        "maple", plan=chosen, reader=lambda: reader, records=records, handler=handler, reverse=reverse
    )


def look(reader: Any, records: Any, **plan: Any) -> Any:
    """The events of one look at a practice, and its error."""
    events: list[Any] = []
    result = watch_of(reader, records, events.append, **plan).poll(lambda: False, lambda: None)
    return [event.id for event in events], result.problem


@pytest.mark.parametrize("versions", [12, 90])
def test_slow_server_delivers_at_every_poll(reader: Any, records: Any, versions: int) -> None:
    """Though the time of a turn is over after each response, each turn delivers an event."""
    reader.send("a", versions)
    events: list[Any] = []
    watch = watch_of(reader, records, events.append)
    for turn in range(1, versions + 1):
        result = watch.poll(lambda: True, lambda: None)
        assert len(events) == turn
    assert not result.more
    assert [event.case_version for event in events] == list(range(1, versions + 1))


def test_later_versions_are_read_one_by_one(reader: Any, records: Any) -> None:
    """Each version's events are delivered before the next version is asked for."""
    reader.send("a", 1)
    look(reader, records)
    reader.send("a", 3)
    seen: list[str] = []
    found = reader.find

    def find(*version: Any) -> Any:
        seen.append("read")
        return found(*version)

    reader.find = find
    watch_of(reader, records, lambda event: seen.append("event")).poll(lambda: False, lambda: None)
    assert seen == ["read", "event", "read", "event", "event"]


def test_case_that_cannot_be_read_holds_back_no_other(reader: Any, records: Any) -> None:
    """One case whose versions always answer 500 is named, tried again, and delivered once it can be read."""
    for name in ("a", "bad", "c"):
        reader.send(name, 2)
    reader.broken = {"bad": ProviderUnavailableError("500", answered=True)}
    events, problem = look(reader, records)
    assert events == ["a:1", "a:2", "c:1", "c:2"]
    assert "the case bad cannot be read" in str(problem)
    events, problem = look(reader, records)
    assert (events, problem is None) == ([], False)
    reader.broken = {}
    assert look(reader, records) == (["bad:1", "bad:2"], None)


def test_case_that_cannot_be_read_holds_the_cursor(reader: Any, records: Any) -> None:
    """The cursor waits for a case that could not be read, for a month at most."""
    reader.send("bad", 2, at=NOW - timedelta(hours=9))
    reader.send("a", 1)
    reader.broken = {"bad": ProviderUnavailableError("500", answered=True)}
    look(reader, records)
    assert records.cursor("default", "maple").read_from == NOW - timedelta(hours=9)
    reader.time = NOW + 60 * DAY
    reader.send("late", 1, at=reader.time)
    look(reader, records)
    assert records.cursor("default", "maple").read_from == reader.time - 30 * DAY


def test_outage_ends_a_poll(reader: Any, records: Any) -> None:
    """If several cases in a row get no response, the rest are not asked for; next time from the end."""
    for name in "abcdef":
        reader.send(name, 2)
    reader.broken = dict.fromkeys("abcde", ProviderUnavailableError("no answer"))
    with pytest.raises(ProviderUnavailableError, match="no answer"):
        look(reader, records)
    events: list[Any] = []
    with pytest.raises(ProviderUnavailableError):
        watch_of(reader, records, events.append, reverse=True).poll(lambda: False, lambda: None)
    assert [event.id for event in events] == ["f:1", "f:2"]


def test_wrong_date_loses_nothing(reader: Any, records: Any) -> None:
    """A clock that is ahead, once, does not move the cursor ahead of the newest update that was seen."""
    reader.send("a", 1)
    reader.time = NOW + 5 * DAY
    look(reader, records)
    assert records.cursor("default", "maple").read_from == NOW
    reader.time = NOW + timedelta(hours=1)
    reader.add("b", at=NOW + timedelta(minutes=30))
    assert look(reader, records) == (["b:1"], None)


def test_update_from_the_future_moves_the_cursor_to_the_present(reader: Any, records: Any) -> None:
    """A case that is dated months ahead, by a workstation's clock, hides no case that comes before that."""
    reader.add("a", at=NOW + 90 * DAY)
    assert look(reader, records) == (["a:1"], None)
    assert records.cursor("default", "maple").read_from == NOW


def test_cursor_that_is_ahead_is_no_reason_to_skip(reader: Any, records: Any) -> None:
    """A cursor that an earlier version left in the future reads from the present."""
    records.put_cursor("default", "maple", WatchCursor(began_at=NOW - DAY, read_from=NOW + 90 * DAY))
    reader.add("a")
    assert look(reader, records) == (["a:1"], None)


def test_update_that_becomes_visible_late(reader: Any, records: Any) -> None:
    """An update that shows up hours after it was made is delivered; the overlap says how many."""
    reader.add("late", at=NOW - timedelta(hours=20))
    reader.hidden = {"late"}
    reader.add("a")
    assert look(reader, records, since=NOW - 2 * DAY) == (["a:1"], None)
    reader.hidden = set()
    assert look(reader, records, overlap=3600.0) == ([], None)
    assert look(reader, records) == (["late:1"], None)
    assert [NOW - since for since in reader.asked[1:]] == [timedelta(hours=1), DAY]


def test_nothing_is_delivered_twice(reader: Any, records: Any) -> None:
    """However long the overlap, a case is delivered once."""
    reader.send("a", 3)
    assert look(reader, records)[0] == ["a:1", "a:2", "a:3"]
    assert look(reader, records, overlap=30 * 86400.0) == ([], None)


def test_case_without_a_version_is_compared_by_content(reader: Any, records: Any) -> None:
    """If the provider numbers no versions, whatever changes in a case is an event with an id of its own."""
    reader.add("a", version=0)
    first, _ = look(reader, records)
    assert look(reader, records)[0] == []
    reader.add("a", version=0, status="Scanned received", at=NOW + timedelta(minutes=1))
    second, _ = look(reader, records)
    reader.add("a", version=0, status="Scanned received", at=NOW + timedelta(minutes=2))
    third, _ = look(reader, records)
    assert [len(ids) for ids in (first, second, third)] == [1, 1, 1]
    assert len({*first, *second, *third}) == 3
    assert look(reader, records)[0] == []


def test_version_that_does_not_rise(reader: Any, records: Any) -> None:
    """A status that changes under the same version number is an event; a mere touch is not."""
    reader.add("a", version=3)
    look(reader, records)
    reader.add("a", version=3, at=NOW + timedelta(minutes=1))
    assert look(reader, records)[0] == []
    reader.add("a", version=3, status="Scanned received")
    (event,), _ = look(reader, records)
    assert event.startswith("a:3-")


def test_server_without_update_times(reader: Any, records: Any) -> None:
    """Without any UpdatedOn the cursor follows the clocks, or the list would grow for ever."""
    reader.add("a", at=None)
    reader.time = NOW + DAY
    look(reader, records)
    assert records.cursor("default", "maple").read_from == NOW + DAY


def test_watch_that_begins_in_the_future_is_named(reader: Any, records: Any) -> None:
    """A cursor that would deliver nothing for years is an error with its cure."""
    records.put_cursor("default", "maple", WatchCursor(began_at=NOW + 900 * DAY, read_from=NOW))
    with pytest.raises(SettingError, match="begins in the future") as refused:
        look(reader, records)
    assert "Reset" in refused.value.hint


def test_provider_whose_clock_is_years_behind_is_followed(reader: Any, records: Any) -> None:
    """A wrong date of the provider's does not turn the beginning of a watch into a future one."""
    reader.add("a")
    assert look(reader, records) == (["a:1"], None)
    reader.time = NOW - 900 * DAY
    reader.add("b")
    assert look(reader, records) == (["b:1"], None)


def test_forgotten_case_is_not_delivered_from_the_start(reader: Any, records: Any) -> None:
    """After its record was pruned, only what is new of a case is delivered."""
    records.put_cursor("default", "maple", WatchCursor(began_at=NOW - 900 * DAY, read_from=NOW))
    reader.send("a", 3, at=NOW - 800 * DAY)
    reader.add("a", status="Designed sent")
    assert look(reader, records) == (["a:4"], None)


def test_claim_that_is_lost_ends_a_poll(reader: Any, records: Any) -> None:
    """If another process has the practice by now, nothing more is delivered."""
    reader.send("a", 3)
    events: list[Any] = []
    kept = iter([None, None, None, None])

    def keep_claim() -> None:
        if next(kept, "lost") == "lost":
            raise ClaimLostError

    with pytest.raises(ClaimLostError):
        watch_of(reader, records, events.append).poll(lambda: False, keep_claim)
    assert len(events) < 3


def test_handler_that_refuses_one_case(reader: Any, records: Any) -> None:
    """The other cases are delivered, and the cursor does not move past the refused one."""
    reader.send("a", 1, at=NOW - timedelta(hours=2))
    reader.send("b", 1)
    events = []

    def handler(event: Any) -> None:
        if event.case_id == "a":
            raise ValueError("not now")
        events.append(event.id)

    with pytest.raises(HandlerFailedError):
        watch_of(reader, records, handler).poll(lambda: False, lambda: None)
    assert events == ["b:1"]
    assert look(reader, records)[0] == ["a:1"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("interval", 0), ("workers", 0), ("overlap", -1), ("keep_days", 0), ("name", ""), ("name", "a\nb")],
)
def test_plan_that_would_lose_events_is_refused(setting: str, value: Any) -> None:
    """Numbers with which a watch would never look are errors, not a silent watch."""
    with pytest.raises(SettingError):
        WatchPlan(**{setting: value})
