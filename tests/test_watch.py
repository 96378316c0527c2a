"""Following cases: every event at least once, in order per case, whatever happens in between."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector import Connector
from connector.communicate.watch_plan import HandlerFailedError, WatchPlan
from connector.errors import ConnectionNotFoundError, NeedsRepairError, ProviderUnavailableError
from tests.support.cases import Workflow, connected, settings
from tests.support.connecting import stored
from tests.support.sandbox import RunningSandbox
from tests.support.stores import row_of

WORKFLOW = ("receive", "accept", "request-approval", "reject", "resend", "approve")
EVENTS = [
    *("case_sent", "case_received", "case_accepted", "approval_requested"),
    *("design_rejected", "design_resent", "design_approved"),
]
LONG_AGO = datetime.now(UTC) - timedelta(days=1)
ONCE = WatchPlan(once=True, since=LONG_AGO)


@pytest.fixture
def connector(classic: RunningSandbox, tmp_path: Path) -> Iterator[Any]:
    with connected(classic, tmp_path, maple=classic.practice) as connector:
        yield connector


def look(connector: Connector, *practices: Any, plan: Any = ONCE) -> Any:
    """The events of one look at the practices."""
    seen: list[Any] = []
    connector.cases.watch(practices or ["maple"], seen.append, plan=plan)
    return seen


class Following:
    """A watch in a thread, until the block ends; `wait_for` says when there is enough."""

    def __init__(
        self,
        connector: Connector,
        practices: Any,
        *,
        handler: Any = None,
        on_problem: Any = lambda practice, error: None,
        **plan: Any,
    ) -> None:
        self.events: list[Any] = []
        self._condition = threading.Condition()
        self._handler = handler or (lambda event: None)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=lambda: connector.cases.watch(
                practices,
                self._take,
                plan=WatchPlan(**{"interval": 0.05, "since": LONG_AGO, **plan}),
                stop=self._stop,
                on_problem=on_problem,
            )
        )

    def _take(self, event: Any) -> None:
        self._handler(event)
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()

    def wait_for(self, enough: Any) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: enough(self.events), 60), self.events

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stop.set()
        self._thread.join()


def test_every_step_is_an_event(workflow: Workflow, connector: Connector) -> None:
    """All that happened between two looks is reported step by step, though only the last is on the list."""
    (case_id,) = workflow.send()
    workflow.act(case_id, *WORKFLOW)
    events = look(connector)
    assert [event.event for event in events] == EVENTS
    assert [event.case_version for event in events] == list(range(1, 8))
    assert len({event.id for event in events}) == 7


def test_watch_begins_now(workflow: Workflow, connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time to begin at, what was before the first look is not reported; what is after it is."""
    monkeypatch.setattr("connector.sandbox.case_store.time.time", lambda: 1_700_000_000.0)
    workflow.send(count=3)
    monkeypatch.undo()
    assert look(connector, plan=WatchPlan(once=True)) == []
    (case_id,) = workflow.send()
    assert [event.case_id for event in look(connector, plan=WatchPlan(once=True))] == [case_id]


def test_old_case_is_reported_from_the_start_of_the_watch(
    workflow: Workflow, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a case that is older than the watch, only what is new is reported, and read with its history."""
    monkeypatch.setattr("connector.sandbox.case_store.time.time", lambda: 1_700_000_000.0)
    (case_id,) = workflow.send()
    workflow.act(case_id, "receive", "accept", "request-approval", "reject")
    monkeypatch.undo()
    assert look(connector, plan=WatchPlan(once=True)) == []
    workflow.act(case_id, "resend", "approve")
    events = look(connector, plan=WatchPlan(once=True))
    assert [event.event for event in events] == ["design_resent", "design_approved"]


def test_handler_that_fails_gets_the_event_again(workflow: Workflow, connector: Connector) -> None:
    """An event that was refused comes again before the later ones of its case; other cases do not wait."""
    bad, good = workflow.send(count=2)
    workflow.act(bad, "receive")
    refused: list[Any] = []

    def handler(event: Any) -> None:
        if event.case_id == bad and len(refused) < 3:
            refused.append(event.id)
            raise RuntimeError("not now")

    with Following(connector, ["maple"], handler=handler) as following:
        following.wait_for(lambda events: len(events) == 3)
    assert refused == [f"{bad}:1"] * 3
    assert [event.id for event in following.events] == [f"{good}:1", f"{bad}:1", f"{bad}:2"]


def test_handler_that_always_fails_is_reported(workflow: Workflow, connector: Connector) -> None:
    """A look whose handler refuses ends with that, and with the handler's own error behind it."""

    def fail(event: object) -> None:
        raise ZeroDivisionError

    workflow.send()
    with pytest.raises(HandlerFailedError) as failed:
        connector.cases.watch(["maple"], fail, plan=ONCE)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert len(look(connector)) == 1


def test_another_process_continues(classic: RunningSandbox, workflow: Workflow, tmp_path: Path) -> None:
    """A new connector on the same store continues from the first one's position."""
    (case_id,) = workflow.send()
    with connected(classic, tmp_path, maple=classic.practice) as first:
        assert len(look(first)) == 1
    workflow.act(case_id, "receive", "accept")
    with connected(classic, tmp_path) as second:
        assert [event.case_version for event in look(second)] == [2, 3]


def test_two_at_once_share_the_work(classic: RunningSandbox, workflow: Workflow, tmp_path: Path) -> None:
    """Two processes with one watch deliver everything between them, and hardly anything twice."""
    cases = workflow.send(count=8)
    with connected(classic, tmp_path, maple=classic.practice) as one, connected(classic, tmp_path) as other:
        with Following(one, ["maple"]) as first, Following(other, ["maple"]) as second:
            for case_id in cases:
                workflow.act(case_id, *WORKFLOW)
            wait_until(lambda: len({event.id for event in first.events + second.events}) == 7 * 8)
        delivered = [event.id for event in first.events + second.events]
    assert len(delivered) == len(set(delivered)) == 7 * 8


def test_order_holds_while_cases_change(workflow: Workflow, connector: Connector) -> None:
    """While both sides act, each case's events come in order and none is missing."""
    cases = workflow.send(count=6)
    with Following(connector, ["maple"]) as following:
        for action in WORKFLOW:
            for case_id in cases:
                workflow.act(case_id, action)
        following.wait_for(lambda events: len(events) == 7 * 6)
    by_case = defaultdict(list)
    for event in following.events:
        by_case[event.case_id].append(event.event)
    assert list(by_case.values()) == [EVENTS] * 6


@pytest.mark.parametrize("scenario", ["no-updated-on", "odd-values", "bare-actors", "foreign-hrefs"])
def test_odd_servers_lose_nothing(
    classic: RunningSandbox, workflow: Workflow, connector: Connector, scenario: str
) -> None:
    """Every event is reported, whatever the server leaves out or adds."""
    classic.set_scenarios(scenario)
    (case_id,) = workflow.send()
    got = look(connector)
    for action in WORKFLOW:
        workflow.act(case_id, action)
        got += look(connector)
    assert [event.event for event in got] == EVENTS


def test_missing_versions_are_not_invented(
    classic: RunningSandbox, workflow: Workflow, connector: Connector
) -> None:
    """If earlier versions cannot be read, the newest is reported, and without who did it."""
    classic.set_scenarios("versions-gone")
    (case_id,) = workflow.send()
    workflow.act(case_id, "receive", "accept", "design")
    (event,) = look(connector)
    assert (event.event, event.actor, event.case_version) == ("status_changed", None, 4)


def test_only_cases_with_ormco_s_lab(workflow: Workflow, connector: Connector) -> None:
    """Cases that the practice sent to another lab are reported only if asked for."""
    workflow.send(lab="hello@harbour-lab.test")
    assert look(connector) == []
    plan = WatchPlan(once=True, since=LONG_AGO, all_cases=True, name="all")
    assert len(look(connector, plan=plan)) == 1


def test_outage_passes(classic: RunningSandbox, workflow: Workflow, connector: Connector) -> None:
    """While the provider is down nothing is lost, and the trouble and its end are reported once."""
    workflow.send()
    problems = []
    with Following(
        connector, ["maple"], on_problem=lambda practice, error: problems.append(error)
    ) as following:
        following.wait_for(lambda events: len(events) == 1)
        classic.set_scenarios("outage")
        wait_until(lambda: problems)
        classic.set_scenarios()
        workflow.send()
        following.wait_for(lambda events: len(events) == 2)
        wait_until(lambda: problems[-1] is None)
    assert [type(problem) for problem in problems] == [ProviderUnavailableError, type(None)]


def test_practice_that_needs_repair_does_not_stop_the_others(
    classic: RunningSandbox, workflow: Workflow, tmp_path: Path
) -> None:
    """With one dead grant among them, the other practices are followed, and the dead one is named."""
    two = workflow.add_practices(count=2)
    for who in two:
        workflow.send(practice=who.username)
    problems = {}
    with connected(classic, tmp_path, dead=two[0], alive=two[1]) as connector:
        kill("dead", classic, tmp_path)
        report = connector.cases.watch(
            None,
            lambda event: None,
            plan=ONCE,
            on_problem=lambda practice, error: problems.update({practice: error}),
        )
    assert report.delivered == 1
    assert list(report.problems) == list(problems) == ["dead"]
    assert isinstance(problems["dead"], NeedsRepairError)


def test_named_practice_that_cannot_be_followed_is_an_error(
    classic: RunningSandbox, workflow: Workflow, tmp_path: Path
) -> None:
    """If none of those that were named can be followed, the watch ends and says why."""
    with connected(classic, tmp_path, maple=classic.practice) as connector:
        kill("maple", classic, tmp_path)
        with pytest.raises(NeedsRepairError):
            connector.cases.watch(["maple"], lambda event: None)
        with pytest.raises(ConnectionNotFoundError):
            connector.cases.watch(["nobody"], lambda event: None)


def test_all_follows_new_practices_and_not_the_labs(
    classic: RunningSandbox, workflow: Workflow, tmp_path: Path
) -> None:
    """Every practice is followed, even if it is connected later; Ormco's labs are not practices."""
    practices = {"maple": classic.practice, "lab__americas": classic.lab}
    with connected(classic, tmp_path, **practices) as connector, Following(connector, None) as following:
        workflow.send()
        following.wait_for(lambda events: events)
        with connected(classic, tmp_path, linden=classic.other_practice):
            workflow.send(practice=classic.other_practice.username)
            following.wait_for(lambda events: len(events) == 2)
    assert [event.practice_id for event in following.events] == ["maple", "linden"]


def test_many_practices_with_many_cases(classic: RunningSandbox, workflow: Workflow, tmp_path: Path) -> None:
    """One poll with a few threads delivers every event of every practice."""
    practices = {f"p{number}": who for number, who in enumerate(workflow.add_practices(count=20))}
    for who in practices.values():
        workflow.send(practice=who.username, count=25)
    events: list[Any] = []
    with connected(classic, tmp_path, **practices) as connector:
        report = connector.cases.watch(None, events.append, plan=ONCE)
        assert (report.delivered, report.problems) == (500, {})
        assert connector.cases.watch(None, events.append, plan=ONCE).delivered == 0
    per_practice = defaultdict(set)
    for event in events:
        per_practice[event.practice_id].add(event.case_id)
    assert {practice: len(cases) for practice, cases in per_practice.items()} == dict.fromkeys(practices, 25)


def test_forgotten_practice_starts_again(classic: RunningSandbox, workflow: Workflow, tmp_path: Path) -> None:
    """Forgetting a practice forgets how far it was followed."""
    workflow.send()
    with connected(classic, tmp_path, maple=classic.practice) as connector:
        assert len(look(connector)) == 1
        connector.forget("maple")
    with connected(classic, tmp_path, maple=classic.practice) as connector:
        assert len(look(connector)) == 1


def test_busy_practice_does_not_starve_the_others(
    monkeypatch: pytest.MonkeyPatch, classic: RunningSandbox, workflow: Workflow, tmp_path: Path
) -> None:
    """With one thread, a practice with much to deliver gives way to the others after a while."""
    monkeypatch.setattr("connector.communicate.watch_workers._TURN_SECONDS", 0.0)
    busy, quiet = workflow.add_practices(count=2)
    workflow.send(practice=busy.username, count=30)
    workflow.send(practice=quiet.username)
    with connected(classic, tmp_path, a_busy=busy, b_quiet=quiet) as connector:
        plan = WatchPlan(once=True, since=LONG_AGO, workers=1)
        events = look(connector, "a_busy", "b_quiet", plan=plan)
    assert len(events) == 31
    assert [event.practice_id for event in events].index("b_quiet") < 5


def kill(practice_id: str, classic: RunningSandbox, tmp_path: Path) -> None:
    """Let a connection's grant be dead, as a refused refresh leaves it."""
    dead = {"state": "needs_repair", "reason": "grant_refused", "due_at": None}
    with stored(settings(classic, tmp_path)) as store:
        assert store.grants.change(row_of(store, practice_id), dead)


def wait_until(true: Any) -> None:
    """Wait, for a minute at most."""
    event = threading.Event()
    for _ in range(3000):
        if true():
            return
        event.wait(0.02)
    pytest.fail("the condition did not become true in time")


def test_handler_may_end_the_program(workflow: Workflow, connector: Connector) -> None:
    """What a handler raises to end the program ends the watch, and is not lost with its thread."""
    workflow.send()

    def handler(event: Any) -> None:
        raise SystemExit(3)

    for plan in (ONCE, WatchPlan(since=LONG_AGO)):
        with pytest.raises(SystemExit, match="3"):
            connector.cases.watch(["maple"], handler, plan=plan)
    assert len(look(connector)) == 1


def test_one_practice_may_be_named_by_its_id_alone(workflow: Workflow, connector: Connector) -> None:
    """A text is one practice, and not as many as it has letters."""
    workflow.send()
    seen: list[Any] = []
    connector.cases.watch("maple", seen.append, plan=ONCE)
    assert len(seen) == 1
