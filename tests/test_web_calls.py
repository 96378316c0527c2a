"""The library calls of a web application: `state` finds the practice, no browser, no second effect."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from connector import Call, CaseEvent, Connector, ConnectorError, Event, Need, WatchPlan
from connector.errors import (
    AccountUnconfirmedError,
    CodeSpentError,
    ConsentRequiredError,
    SettingError,
    StateMismatchError,
    StoreUnavailableError,
)
from connector.store.requests import RequestRecords
from tests.support.cases import Workflow, connected
from tests.support.connecting import KEY, connect, kill_grant, opened, settings
from tests.support.sandbox import RunningSandbox, Visitor

PRACTICE = "practice-42"
SESSION = "a session's own secret"


@pytest.fixture
def connector(identity: RunningSandbox, store_url: str) -> Iterator[Connector]:
    """A connector to a provider that returns the state."""
    with opened(settings(identity, store_url)) as connector:
        yield connector


def answer_to(connector: Connector, sandbox: RunningSandbox, **begun: Any) -> str:
    return Visitor(sandbox).authorize(connector.begin(PRACTICE, **begun).url)


# --- complete


def test_state_finds_the_practice(connector: Connector, identity: RunningSandbox) -> None:
    """An application keeps no cookie for the practice's id."""
    answer = answer_to(connector, identity, binding=SESSION)
    assert connector.complete(answer, binding=SESSION).practice_id == PRACTICE


def test_same_answer_twice_gives_the_same_connection(connector: Connector, identity: RunningSandbox) -> None:
    """A person who presses twice gets the connection, not an error."""
    answer = answer_to(connector, identity, binding=SESSION)
    first = connector.complete(answer, binding=SESSION)
    assert connector.complete(answer, binding=SESSION) == first
    assert identity.counters()["token:authorization_code"] == 1


def test_same_answer_from_two_threads_at_once(connector: Connector, identity: RunningSandbox) -> None:
    """Two app servers that get one response make one exchange, and both return the connection."""
    answer, found = answer_to(connector, identity, binding=SESSION), list[str]()
    threads = [
        threading.Thread(target=lambda: found.append(connector.complete(answer, binding=SESSION).practice_id))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [PRACTICE] * 4
    assert identity.counters()["token:authorization_code"] == 1


def test_same_answer_while_the_first_call_is_just_taking_the_request(
    connector: Connector, identity: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that saw no spent code, and then no open request, waits for what the first call makes."""
    answer = answer_to(connector, identity, binding=SESSION)
    first = connector.complete(answer, binding=SESSION)
    early, is_spent = iter([False]), RequestRecords.is_spent
    monkeypatch.setattr(
        RequestRecords, "is_spent", lambda records, code: next(early, is_spent(records, code))
    )
    assert connector.complete(answer, binding=SESSION) == first
    assert identity.counters()["token:authorization_code"] == 1


def test_answer_of_another_session_is_refused_however_often(
    connector: Connector, identity: RunningSandbox
) -> None:
    """A response that one session completed shows nothing to another session that sends it again."""
    answer = answer_to(connector, identity, binding=SESSION)
    connector.complete(answer, binding=SESSION)
    for _ in range(2):
        with pytest.raises(StateMismatchError):
            connector.complete(answer, binding="another session's")


def test_answer_that_failed_the_first_time_fails_again(
    connector: Connector, identity: RunningSandbox
) -> None:
    """A second call says that the code was used; it does not wait for a connection that is never made."""
    answer = answer_to(connector, identity, binding=SESSION)
    identity.set_scenarios("text-500")
    with pytest.raises(Exception, match="500"):
        connector.complete(answer, binding=SESSION)
    identity.set_scenarios()
    with pytest.raises(CodeSpentError):
        connector.complete(answer, binding=SESSION)


def test_unconfirmed_account_is_asked_about_again(classic: RunningSandbox, env: dict[str, str]) -> None:
    """Without state the second call asks the same question as the first."""
    with opened(env) as connector:
        answer = answer_to(connector, classic, binding=SESSION).split("&state=")[0]
        for _ in range(2):
            with pytest.raises(AccountUnconfirmedError):
                connector.complete(answer, practice_id=PRACTICE, binding=SESSION)
        waiting = connector.unconfirmed_account(PRACTICE)
        assert waiting is not None
        assert waiting.email == classic.practice.username


def test_answer_without_state_needs_the_practice(classic: RunningSandbox, env: dict[str, str]) -> None:
    """Without a state its request is unknown, and nothing is sent."""
    with opened(env) as connector:
        answer = answer_to(connector, classic).split("&state=")[0]
        with pytest.raises(StateMismatchError):
            connector.complete(answer)
    assert classic.counters().get("token:authorization_code", 0) == 0


# --- diagnose, repair, revoke without a browser


def test_diagnosis_of_what_is_well_and_what_is_not(connector: Connector, identity: RunningSandbox) -> None:
    """A diagnosis says what is needed, and sends no refresh token."""
    assert connector.diagnose(PRACTICE).needs is Need.CONSENT
    connect(connector, identity)
    assert connector.diagnose(PRACTICE).needs is Need.NOTHING
    identity.set_scenarios("outage")
    assert connector.diagnose(PRACTICE).needs is Need.WAIT
    assert identity.refreshes == 0


def test_diagnosis_names_a_missing_setting(
    connector: Connector, identity: RunningSandbox, store_url: str
) -> None:
    """A process without the client secret cannot repair anything."""
    connect(connector, identity)
    with opened(settings(identity, store_url, ORMCO_CLIENT_ID="")) as lacking:
        assert lacking.diagnose(PRACTICE).needs is Need.SETTINGS


def test_repair_on_a_server_asks_for_consent(connector: Connector, identity: RunningSandbox) -> None:
    """It opens no browser: the application sends the person through `begin`."""
    connect(connector, identity)
    kill_grant(connector, identity)
    with pytest.raises(ConsentRequiredError):
        connector.repair(PRACTICE, interactive=False)


def test_revoke_on_a_server_leaves_the_page_to_a_person(classic: RunningSandbox, env: dict[str, str]) -> None:
    """The steps are the guide's, no token is handed out meanwhile, and the proof ends it."""
    with opened(env) as connector:
        connect(connector, classic)
        with pytest.raises(ConsentRequiredError):
            connector.revoke(PRACTICE, interactive=False)
        steps = connector.revocation_steps(PRACTICE)
        assert steps is not None
        assert steps.page_url == classic.applications_page
        assert "Click the square icon next to Ormco." in steps.steps
        assert connector.status(PRACTICE).state == "revoking"
        classic.set_scenarios("revoked")
        assert connector.confirm_revoked(PRACTICE).proved
        assert connector.revocation_steps(PRACTICE) is None


# --- who acts, who is told


def test_web_user_is_the_actor_of_what_they_did(connector: Connector, identity: RunningSandbox) -> None:
    """The audit record names the person, for the calls of that connector alone."""
    alex = connector.acting_as("alex@practice.test")
    connect(alex, identity)
    connector.forget(PRACTICE)
    actors = {event.kind: event.actor for event in connector.events()}
    assert actors["complete"] == "alex@practice.test"
    assert actors["forget"] != "alex@practice.test"


def test_actor_of_the_settings(identity: RunningSandbox, store_url: str) -> None:
    """ORMCO_ACTOR names a program."""
    named = settings(identity, store_url, ORMCO_ACTOR="nightly job")
    with opened(named) as connector:
        connect(connector, identity)
        assert {event.actor for event in connector.events()} == {"nightly job"}


def test_observer_is_told_of_every_request(connector: Connector, identity: RunningSandbox) -> None:
    """Each call names the operation, the practice, the host, the status and the seconds it took."""
    calls: list[Call] = []
    end = connector.on_call(calls.append)
    connect(connector, identity)
    connector.refresh(PRACTICE, force=True)
    seen = {(call.operation, call.practice_id, call.host, call.status) for call in calls}
    assert ("refresh", PRACTICE, "127.0.0.1", 200) in seen
    assert {call.outcome for call in calls} == {"answered"}
    assert all(call.seconds > 0 for call in calls)
    assert all(call.clock_skew is not None and abs(call.clock_skew) < 60 for call in calls)
    end()
    count = len(calls)
    connector.refresh(PRACTICE, force=True)
    assert len(calls) == count


def test_observer_is_told_of_what_threads_and_sessions_do(
    connector: Connector, identity: RunningSandbox
) -> None:
    """The polls of a watch, the refreshes of a timer and the requests of a session name their practice."""
    connect(connector, identity)
    calls: list[Call] = []
    connector.on_call(calls.append)
    connector.cases.watch(
        [PRACTICE], lambda event: None, plan=WatchPlan(once=True, since=datetime(2026, 1, 1, tzinfo=UTC))
    )
    connector.session(PRACTICE).get(f"{identity.url}/api/users/me", timeout=20)
    with time_machine.travel(timedelta(minutes=50), tick=True):
        connector.refresh_due()
    names = {"cases.watch", "session", "refresh_due"}
    assert {(call.operation, call.practice_id) for call in calls} == {(name, PRACTICE) for name in names}


def test_handler_of_a_watch_makes_calls_of_its_own(classic: RunningSandbox, tmp_path: Path) -> None:
    """A call that a handler makes is reported under its own name, not the watch's."""
    calls: list[Call] = []
    plan = WatchPlan(once=True, since=datetime(2026, 1, 1, tzinfo=UTC))
    with connected(classic, tmp_path, maple=classic.practice) as connector:
        Workflow(classic).send()
        connector.on_call(calls.append)

        def handle(event: CaseEvent) -> None:
            connector.refresh("maple", force=True)

        connector.cases.watch(["maple"], handle, plan=plan)
    assert {call.operation for call in calls} == {"cases.watch", "refresh"}


@pytest.mark.skipif(os.name != "posix", reason="the timer is POSIX's")
def test_observer_is_told_how_a_call_was_broken_off(connector: Connector, identity: RunningSandbox) -> None:
    """Ctrl-C during a request is reported as such."""
    connect(connector, identity)
    calls: list[Call] = []
    connector.on_call(calls.append)
    connector.prepare()
    identity.set_scenarios("slow")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            connector.refresh(PRACTICE, force=True)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [(call.status, call.outcome) for call in calls] == [(None, "KeyboardInterrupt")]


def test_events_say_how_long_it_took_and_what_the_provider_answered(
    connector: Connector, identity: RunningSandbox
) -> None:
    """Each event of a library call has its seconds, and the status of the provider's last response."""
    connect(connector, identity)
    identity.set_scenarios("outage")
    with pytest.raises(ConnectorError):
        connector.refresh(PRACTICE, force=True)
    found = {event.kind: event.detail for event in connector.events()}
    assert float(found["complete"]["seconds"]) > 0
    assert (found["complete"]["provider_status"], found["refresh"]["provider_status"]) == ("200", "502")


def test_observer_that_fails_harms_nothing(connector: Connector, identity: RunningSandbox) -> None:
    """An observer's exception is logged, and the call goes on."""
    connector.on_call(lambda call: 1 / 0)
    assert connect(connector, identity).state == "connected"


def test_subscriber_gets_the_sequence_of_a_reader(connector: Connector, identity: RunningSandbox) -> None:
    """A subscriber and a reader speak of the same events by the same numbers."""
    told: list[Event] = []
    connector.subscribe(told.append)
    connect(connector, identity)
    assert [event.sequence for event in told] == [event.sequence for event in connector.events()]


def test_failing_refresh_and_dead_grant_are_logged(
    connector: Connector, identity: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed attempt is a warning, and a grant that only a person can replace is an error."""
    connect(connector, identity)
    identity.set_scenarios("outage")
    with caplog.at_level(logging.INFO, "connector"), pytest.raises(ConnectorError):
        connector.refresh(PRACTICE, force=True)
    identity.set_scenarios("revoked")
    with caplog.at_level(logging.INFO, "connector"), pytest.raises(ConnectorError):
        connector.refresh(PRACTICE, force=True)
    found = {(record.levelname, getattr(record, "practice_id", None)) for record in caplog.records}
    assert {("WARNING", PRACTICE), ("ERROR", PRACTICE)} <= found
    assert all(hasattr(record, "kind") for record in caplog.records if record.name == "connector")


# --- health, lists


def test_ping_needs_the_store_and_its_key_alone(
    connector: Connector, identity: RunningSandbox, store_url: str
) -> None:
    """It contacts nothing else, and fails if there is no store, or the key is another store's."""
    Path(store_url.removeprefix("sqlite:///")).unlink()
    with pytest.raises(StoreUnavailableError):
        connector.ping()
    connect(connector, identity)
    calls: list[Call] = []
    connector.on_call(calls.append)
    connector.ping()
    assert calls == []
    other = settings(identity, store_url, ORMCO_STORE_KEYS=KEY.replace("M", "N"))
    with opened(other) as stranger, pytest.raises(Exception, match="key"):
        stranger.ping()


@pytest.mark.parametrize("text", ["PRACTICE-4", "front.desk", "%", "_"])
def test_search_finds_parts_of_what_a_person_knows(
    connector: Connector, identity: RunningSandbox, text: str
) -> None:
    """Practice id, address and name, in any case; signs of the query language are plain text."""
    connect(connector, identity)
    found = [connection.practice_id for connection in connector.search(text)]
    assert found == ([] if text in "%_" else [PRACTICE])


def test_closed_connector_refuses(connector: Connector, identity: RunningSandbox) -> None:
    """After `close` no token is handed out, not even from memory."""
    connect(connector, identity)
    connector.access_token(PRACTICE)
    connector.close()
    with pytest.raises(StoreUnavailableError):
        connector.access_token(PRACTICE)


def test_redirect_uri_of_one_request(identity: RunningSandbox, store_url: str) -> None:
    """A request may go to another registered redirect URI than the setting's."""
    named = settings(identity, store_url, ORMCO_REDIRECT_URI="https://app.test/connected")
    with opened(named) as connector:
        request = connector.begin(PRACTICE, redirect_uri=identity.redirect_uri)
        answer = Visitor(identity).authorize(request.url)
        assert connector.complete(answer).state == "connected"
        with pytest.raises(SettingError):
            connector.begin("")
