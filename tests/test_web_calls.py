"""The library calls of a web application: `state` finds the practice, no browser, no second effect."""

from __future__ import annotations

import logging
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from connector import Call, CaseEvent, Connector, ConnectorError, Need, WatchPlan
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
from tests.support.sandbox import RunningSandbox
from tests.support.threads import at_once

PRACTICE = "practice-42"
SESSION = "a session's own secret"


def response_to(connector: Connector, sandbox: RunningSandbox, **begun: Any) -> str:
    return sandbox.authorize(connector.begin(PRACTICE, **begun).url)


# --- complete


def test_same_response_in_many_threads_at_once(connector: Connector, identity: RunningSandbox) -> None:
    """App servers that get one response make one exchange, and find the practice by its state."""
    response = response_to(connector, identity, binding=SESSION)
    found = at_once(4, lambda number: connector.complete(response, binding=SESSION))
    assert [connection.practice_id for connection in found] == [PRACTICE] * 4
    assert identity.counters()["token:authorization_code"] == 1


def test_same_response_while_the_first_call_takes_the_request(
    connector: Connector, identity: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that finds no spent code, and then no open request, waits for the first call's connection."""
    response = response_to(connector, identity, binding=SESSION)
    first = connector.complete(response, binding=SESSION)
    early, is_spent = iter([False]), RequestRecords.is_spent
    monkeypatch.setattr(
        RequestRecords, "is_spent", lambda records, code: next(early, is_spent(records, code))
    )
    assert connector.complete(response, binding=SESSION) == first
    assert identity.counters()["token:authorization_code"] == 1


def test_response_of_another_session_is_refused_each_time(
    connector: Connector, identity: RunningSandbox
) -> None:
    """A response that one session completed shows nothing to another session that sends it again."""
    response = response_to(connector, identity, binding=SESSION)
    connector.complete(response, binding=SESSION)
    for _ in range(2):
        with pytest.raises(StateMismatchError):
            connector.complete(response, binding="another session's")


def test_response_that_failed_fails_again(connector: Connector, identity: RunningSandbox) -> None:
    """A second call says that the code was used; it does not wait for a connection that is never made."""
    response = response_to(connector, identity, binding=SESSION)
    identity.set_scenarios("text-500")
    with pytest.raises(Exception, match="500"):
        connector.complete(response, binding=SESSION)
    identity.set_scenarios()
    with pytest.raises(CodeSpentError):
        connector.complete(response, binding=SESSION)


def test_unconfirmed_account_is_asked_about_again(classic: RunningSandbox, connector: Connector) -> None:
    """Without state the second call asks the same question as the first."""
    response = response_to(connector, classic, binding=SESSION).split("&state=")[0]
    for _ in range(2):
        with pytest.raises(AccountUnconfirmedError):
            connector.complete(response, practice_id=PRACTICE, binding=SESSION)
    waiting = connector.unconfirmed_account(PRACTICE)
    assert waiting is not None
    assert waiting.email == classic.practice.username


def test_response_without_state_needs_the_practice(classic: RunningSandbox, connector: Connector) -> None:
    """Without a state its request is unknown, and nothing is sent."""
    response = response_to(connector, classic).split("&state=")[0]
    with pytest.raises(StateMismatchError):
        connector.complete(response)
    assert classic.counters().get("token:authorization_code", 0) == 0


# --- diagnose, repair, revoke without a browser


def test_diagnosis_names_the_next_step(
    connector: Connector, identity: RunningSandbox, env: dict[str, str]
) -> None:
    """A diagnosis names the next step, or that a setting is missing, and sends no refresh token."""
    assert connector.diagnose(PRACTICE).needs is Need.CONSENT
    connect(connector, identity)
    assert connector.diagnose(PRACTICE).needs is Need.NOTHING
    with opened(env | {"ORMCO_CLIENT_ID": ""}) as lacking:
        assert lacking.diagnose(PRACTICE).needs is Need.SETTINGS
    identity.set_scenarios("outage")
    assert connector.diagnose(PRACTICE).needs is Need.WAIT
    assert identity.refreshes == 0


def test_repair_on_a_server_asks_for_consent(connector: Connector, identity: RunningSandbox) -> None:
    """It opens no browser: the application sends the person through `begin`."""
    connect(connector, identity)
    kill_grant(connector, identity)
    with pytest.raises(ConsentRequiredError):
        connector.repair(PRACTICE, interactive=False)


def test_revoke_on_a_server_leaves_the_page_to_a_person(
    classic: RunningSandbox, connector: Connector
) -> None:
    """The steps are the guide's, no token is handed out meanwhile, and the proof ends it."""
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


# --- actors and observers


def test_web_user_is_the_actor_of_their_calls(connector: Connector, identity: RunningSandbox) -> None:
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


def test_observer_gets_every_request(connector: Connector, identity: RunningSandbox) -> None:
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


def test_observer_gets_requests_of_threads_and_sessions(
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
def test_observer_gets_an_interrupted_request(connector: Connector, identity: RunningSandbox) -> None:
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


def test_events_have_the_seconds_and_the_status(connector: Connector, identity: RunningSandbox) -> None:
    """Each event of a library call has its seconds, and the status of the provider's last response."""
    connect(connector, identity)
    identity.set_scenarios("outage")
    with pytest.raises(ConnectorError):
        connector.refresh(PRACTICE, force=True)
    found = {event.kind: event.detail for event in connector.events()}
    assert float(found["complete"]["seconds"]) > 0
    assert (found["complete"]["provider_status"], found["refresh"]["provider_status"]) == ("200", "502")


def test_observer_that_fails_harms_nothing(connector: Connector, identity: RunningSandbox) -> None:
    """An observer's exception is logged, and the call continues."""
    connector.on_call(lambda call: 1 / 0)
    assert connect(connector, identity).state == "connected"


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


def test_redirect_uri_of_one_request(identity: RunningSandbox, store_url: str) -> None:
    """A request may go to another registered redirect URI than the setting's."""
    named = settings(identity, store_url, ORMCO_REDIRECT_URI="https://app.test/connected")
    with opened(named) as connector:
        request = connector.begin(PRACTICE, redirect_uri=identity.redirect_uri)
        response = identity.authorize(request.url)
        assert connector.complete(response).state == "connected"
        with pytest.raises(SettingError):
            connector.begin("")
