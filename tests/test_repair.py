"""Repair and reconnect: the diagnosis comes first, and the smallest step that works is taken."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import time_machine

from connector import ConnectionState, Connector, Need
from connector.errors import (
    AccountMismatchError,
    ClientRefusedError,
    CodeRefusedError,
    ConnectionNotFoundError,
    ConnectorError,
    ConsentDeniedError,
    GrantStillHonouredError,
    ProviderUnavailableError,
    RevokedError,
    WindowClosedError,
)
from connector.repair import LastResort
from connector.revocation.removal import Removal, RevocationSteps
from tests.support.applications import PageVisitor, no_capture, visitor_capture, without_users
from tests.support.connecting import connect, kill_grant, opened, refresh_token, settings
from tests.support.responses import raw_response, serving
from tests.support.sandbox import RunningSandbox
from tests.support.threads import at_once

PRACTICE = "practice-42"


def test_working_connection_is_left_alone(connector: Connector, sandbox: RunningSandbox) -> None:
    """A connection that works is not changed: no consent, no token call."""
    connect(connector, sandbox)
    repair = connector.repair(PRACTICE, capture=no_capture)
    assert (repair.step, repair.found) == ("none", "nothing is wrong")
    assert sandbox.refreshes == 0


def test_an_ended_access_token_is_refreshed(connector: Connector, sandbox: RunningSandbox) -> None:
    """If a refresh works, no person is asked."""
    expires_at = connect(connector, sandbox).expires_at
    assert expires_at is not None
    with time_machine.travel(expires_at + timedelta(seconds=1)):
        repair = connector.repair(PRACTICE, capture=no_capture)
    assert (repair.step, repair.found) == ("refresh", "the access token had expired")
    assert repair.connection.token_generation == 2


def test_an_access_token_the_provider_refuses_is_refreshed(
    classic: RunningSandbox, connector: Connector
) -> None:
    """An access token that ended before its time is detected by using it."""
    connect(connector, classic)
    classic.control(end_access_tokens=True)
    repair = connector.repair(PRACTICE, capture=no_capture)
    assert (repair.step, repair.found) == ("refresh", "the access token was no longer accepted")


@pytest.mark.parametrize(
    ("fault", "state"),
    [("text-500", ConnectionState.DEGRADED), ("empty-401", ConnectionState.NEEDS_REPAIR)],
)
def test_a_connection_that_failed_is_refreshed(
    connector: Connector, sandbox: RunningSandbox, fault: str, state: ConnectionState
) -> None:
    """After an outage, or if the grant was marked dead for another cause, one refresh brings it back."""
    connect(connector, sandbox)
    sandbox.set_scenarios(fault)
    with pytest.raises(ConnectorError):
        connector.refresh(PRACTICE, force=True)
    assert connector.status(PRACTICE).state is state
    sandbox.set_scenarios()
    repair = connector.repair(PRACTICE, capture=no_capture)
    assert repair.step == "refresh"
    assert repair.connection.state is ConnectionState.CONNECTED
    assert connector.access_token(PRACTICE)


def test_a_dead_grant_asks_for_consent_and_keeps_the_history(
    connector: Connector, sandbox: RunningSandbox
) -> None:
    """The same connection gets new tokens; its account, its numbering and its record continue."""
    before = connect(connector, sandbox)
    kill_grant(connector, sandbox)
    repair = connector.repair(PRACTICE, capture=visitor_capture(sandbox))
    assert repair.step == "consent"
    assert repair.found == "3Shape does not accept the grant any more"
    assert repair.connection.state is ConnectionState.CONNECTED
    assert repair.connection.account == before.account
    assert repair.connection.token_generation == before.token_generation + 1
    events = connector.events(practice_id=PRACTICE)
    assert [event.kind for event in events] == ["begin", "complete", "refresh", "begin", "complete", "repair"]
    assert {"found": repair.found, "step": "consent"}.items() <= events[-1].detail.items()
    assert connector.access_token(PRACTICE)


def test_a_connection_that_starts_to_need_repair_is_an_event(
    connector: Connector, sandbox: RunningSandbox
) -> None:
    """A backend that follows the record hears of it in time, with the state."""
    connect(connector, sandbox)
    seen = connector.events()[-1].sequence
    kill_grant(connector, sandbox)
    (event,) = connector.events(after=seen)
    assert (event.practice_id, event.state) == (PRACTICE, ConnectionState.NEEDS_REPAIR)


def test_without_a_refresh_token_consent_is_asked_for(connector: Connector, sandbox: RunningSandbox) -> None:
    """An ended token without a refresh token needs a person."""
    sandbox.set_scenarios("no-refresh-token")
    expires_at = connect(connector, sandbox).expires_at
    assert expires_at is not None
    sandbox.set_scenarios()
    with time_machine.travel(expires_at + timedelta(seconds=1)):
        repair = connector.repair(PRACTICE, capture=visitor_capture(sandbox))
    assert repair.step == "consent"
    assert "no refresh token" in repair.found
    assert repair.connection.renewable


@pytest.mark.parametrize(
    ("sandbox", "is_dead", "step"),
    [("classic", False, "account"), ("identity", False, "account"), ("classic", True, "consent")],
    indirect=["sandbox"],
)
def test_an_unread_account_is_read(
    sandbox: RunningSandbox, store_url: str, tmp_path: Path, is_dead: bool, step: str
) -> None:
    """Tokens that wait for their account need no second consent, unless they have died meanwhile."""
    env = settings(sandbox, store_url)
    with (
        opened(env | {"ORMCO_PROVIDER": without_users(sandbox, tmp_path)}) as connector,
        pytest.raises(ProviderUnavailableError),
    ):
        connect(connector, sandbox)
    if is_dead:
        sandbox.set_scenarios("revoked")
        sandbox.set_scenarios()
    with opened(env) as connector:
        repair = connector.repair(PRACTICE, capture=visitor_capture(sandbox) if is_dead else no_capture)
    assert repair.step == step
    assert repair.connection.state is ConnectionState.CONNECTED
    assert repair.connection.account is not None


@pytest.mark.parametrize("sandbox", ["classic"], indirect=True)
@pytest.mark.parametrize("fault", ["outage", "captive-portal", "cut-answer"])
@pytest.mark.parametrize("state", ["connected", "needs_repair"])
def test_an_outage_is_no_reason_for_consent(
    connector: Connector, sandbox: RunningSandbox, fault: str, state: str, env: dict[str, str]
) -> None:
    """While the provider is down no person is asked, and nothing is lost."""
    expires_at = connect(connector, sandbox).expires_at
    assert expires_at is not None
    if state == "needs_repair":
        kill_grant(connector, sandbox)
    before = refresh_token(env)
    sandbox.set_scenarios(fault)
    with time_machine.travel(expires_at + timedelta(seconds=1)):
        if fault == "cut-answer" and state == "needs_repair":
            # Refusals arrive whole: the grant is found to be dead, and the exchange fails.
            with pytest.raises(ConnectorError):
                connector.repair(PRACTICE, capture=visitor_capture(sandbox))
        else:
            with pytest.raises(ProviderUnavailableError):
                connector.repair(PRACTICE, capture=no_capture)
    assert refresh_token(env) == before


USERS_API_FAULTS = {
    "unreachable": None,
    "cut": b"",
    "text-500": raw_response("An error has occurred.", 500),
    "text-503": raw_response("Service unavailable", 503),
    "html-502": raw_response("<html>Bad gateway</html>", 502, Content_Type="text/html"),
    "html-200": raw_response("<html>Sign in to this network</html>", Content_Type="text/html"),
}


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        *(("connected", fault) for fault in USERS_API_FAULTS),
        *itertools.product(
            ["ended", "degraded", "needs_repair", "account-unread"], ["unreachable", "html-502"]
        ),
    ],
)
def test_a_users_api_that_is_down_is_no_reason_for_consent(
    classic: RunningSandbox, store_url: str, tmp_path: Path, fault: str, state: str
) -> None:
    """While the users API fails and a refresh works, the error names the API, and no person is asked."""
    with serving(USERS_API_FAULTS[fault] or b"") as api:
        url = api.url if USERS_API_FAULTS[fault] is not None else "http://127.0.0.1:9"
        env = settings(classic, store_url)
        broken = env | {"ORMCO_PROVIDER": without_users(classic, tmp_path, url=url)}
        until = brought_to(state, classic, env, broken)
        with time_machine.travel(until), opened(broken) as connector:
            for interactive in (True, False):
                with pytest.raises(ProviderUnavailableError, match=urlsplit(url).netloc + "|API"):
                    connector.repair(PRACTICE, capture=no_capture, interactive=interactive)
            assert connector.diagnose(PRACTICE).needs in (Need.WAIT, Need.REFRESH)
            assert connector.open_requests(PRACTICE) == []


def brought_to(state: str, sandbox: RunningSandbox, env: dict[str, str], broken: dict[str, str]) -> datetime:
    """Bring the practice's connection into a state; return the time then."""
    if state == "account-unread":
        with opened(broken) as connector, pytest.raises(ProviderUnavailableError):
            connect(connector, sandbox)
        return datetime.now(UTC)
    with opened(env) as connector:
        expires_at = connect(connector, sandbox).expires_at
        if state == "needs_repair":
            kill_grant(connector, sandbox)
        elif state == "degraded":
            sandbox.set_scenarios("text-500")
            with pytest.raises(ProviderUnavailableError):
                connector.refresh(PRACTICE, force=True)
            sandbox.set_scenarios()
    assert expires_at is not None
    return expires_at + timedelta(seconds=1) if state == "ended" else datetime.now(UTC)


def test_a_wrong_secret_is_no_reason_for_consent(sandbox: RunningSandbox, store_url: str) -> None:
    """Settings that the provider refuses are not the connection's fault."""
    with opened(settings(sandbox, store_url)) as connector:
        expires_at = connect(connector, sandbox).expires_at
    assert expires_at is not None
    wrong = settings(sandbox, store_url, ORMCO_CLIENT_SECRET="wrong")
    with (
        time_machine.travel(expires_at + timedelta(seconds=1)),
        opened(wrong) as connector,
        pytest.raises(ClientRefusedError),
    ):
        connector.repair(PRACTICE, capture=no_capture)


@pytest.mark.parametrize(
    "failure",
    [KeyboardInterrupt(), WindowClosedError("the window was closed"), ConsentDeniedError("no")],
    ids=["ctrl-c", "window", "cancel"],
)
def test_the_old_tokens_stay_until_there_are_new_ones(
    connector: Connector, sandbox: RunningSandbox, failure: BaseException, env: dict[str, str]
) -> None:
    """A consent that fails changes nothing, leaves no open request, and can be tried again."""
    connect(connector, sandbox)
    kill_grant(connector, sandbox)
    before = refresh_token(env)

    def capture(url: str, *, redirect_uri: str) -> str:
        raise failure

    with pytest.raises(type(failure)):
        connector.repair(PRACTICE, capture=capture)
    assert refresh_token(env) == before
    assert connector.open_requests(PRACTICE) == []
    assert connector.repair(PRACTICE, capture=visitor_capture(sandbox)).step == "consent"


def test_another_account_is_refused_with_both_named(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """The connection is unchanged, and the fresh tokens of the other account are revoked if possible."""
    connect(connector, sandbox)
    kill_grant(connector, sandbox)
    before = refresh_token(env)
    other = visitor_capture(sandbox, sandbox.other_practice)
    with pytest.raises(AccountMismatchError) as failure:
        connector.repair(PRACTICE, capture=other)
    assert sandbox.practice.username in failure.value.message
    assert sandbox.other_practice.username in failure.value.message
    assert refresh_token(env) == before
    assert connector.status(PRACTICE).state is ConnectionState.NEEDS_REPAIR
    assert sandbox.counters().get("revocations", 0) == (0 if sandbox.generation == "classic" else 2)
    repair = connector.repair(PRACTICE, capture=other, allow_account_change=True)
    assert repair.connection.account is not None
    assert repair.connection.account.email == sandbox.other_practice.username


def test_two_repairs_at_once_both_succeed(
    connector: Connector, env: dict[str, str], sandbox: RunningSandbox
) -> None:
    """Two people who repair the same connection leave one that works."""
    connect(connector, sandbox)
    kill_grant(connector, sandbox)
    meeting = threading.Barrier(2)

    def capture(url: str, *, redirect_uri: str) -> str:
        meeting.wait(30)
        return visitor_capture(sandbox)(url, redirect_uri=redirect_uri)

    def repair(number: int) -> str:
        with opened(env) as other:
            return other.repair(PRACTICE, capture=capture).step

    assert at_once(2, repair) == ["consent", "consent"]
    assert connector.status(PRACTICE).state is ConnectionState.CONNECTED
    assert connector.repair(PRACTICE, capture=no_capture).step == "none"


def test_repair_by_another_process_is_taken_over(
    connector: Connector, env: dict[str, str], sandbox: RunningSandbox
) -> None:
    """A connection that another process has repaired meanwhile needs nothing."""
    connect(connector, sandbox)
    kill_grant(connector, sandbox)
    with opened(env) as other:
        other.repair(PRACTICE, capture=visitor_capture(sandbox))
    assert connector.repair(PRACTICE, capture=no_capture).step == "none"


def test_a_connection_that_is_being_revoked_is_not_repaired(
    connector: Connector, sandbox: RunningSandbox
) -> None:
    """A revocation in progress is kept; reconnecting is the next step."""
    connect(connector, sandbox)
    with pytest.raises(GrantStillHonouredError):
        connector.revoke(PRACTICE, removal=Removal(done=True))
    for ask in (lambda: connector.repair(PRACTICE, capture=no_capture), lambda: connector.begin(PRACTICE)):
        with pytest.raises(RevokedError, match="is being revoked"):
            ask()
    connection = connector.reconnect(
        PRACTICE, capture=visitor_capture(sandbox), removal=Removal(remove=PageVisitor(sandbox))
    )
    assert connection.state is ConnectionState.CONNECTED


def test_diagnosis_is_shown_before_a_person_is_asked(connector: Connector, sandbox: RunningSandbox) -> None:
    """A person sees the diagnosis before the browser opens."""
    connect(connector, sandbox)
    kill_grant(connector, sandbox)
    reported: list[str] = []
    connector.repair(PRACTICE, capture=visitor_capture(sandbox), progress=reported.append)
    assert reported[0] == "found: 3Shape does not accept the grant any more"
    assert reported.index("consent") > 0


def codes_refused(sandbox: RunningSandbox, *, until_removed: bool) -> None:
    """Have the provider refuse every fresh code, for ever or until Ormco is removed on its page."""
    sandbox.set_scenarios("stale-grant" if until_removed else "refused-codes")


def last_resort(sandbox: RunningSandbox, asked: list[RevocationSteps], *, agreed: bool) -> LastResort:
    def agree(what: RevocationSteps) -> bool:
        asked.append(what)
        return agreed

    return LastResort(removal=Removal(remove=PageVisitor(sandbox)), agree=agree)


def test_the_last_steps_are_the_guides(classic: RunningSandbox, connector: Connector) -> None:
    """If a new consent is refused too, Ormco is removed on the Applications page, and connected again."""
    connect(connector, classic)
    kill_grant(connector, classic)
    codes_refused(classic, until_removed=True)
    connector_grant = visitor_capture(classic)
    asked: list[RevocationSteps] = []
    repair = connector.repair(
        PRACTICE, capture=connector_grant, last_resort=last_resort(classic, asked, agreed=True)
    )
    assert repair.step == "reconnect"
    assert [what.practice_id for what in asked] == [PRACTICE]
    assert repair.connection.state is ConnectionState.CONNECTED


def test_an_older_grant_at_the_first_consent_is_removed_by_hand(
    classic: RunningSandbox, connector: Connector
) -> None:
    """With nothing stored, `reconnect` would find no connection, so the error does not name it."""
    codes_refused(classic, until_removed=True)
    with pytest.raises(CodeRefusedError) as failure:
        connector.connect(PRACTICE, capture=visitor_capture(classic))
    assert failure.value.action == "ask_consent"
    assert "remove Ormco on the Applications page" in failure.value.hint


def test_nothing_is_revoked_without_agreement(classic: RunningSandbox, connector: Connector) -> None:
    """Without a yes the repair ends there, and names the next command."""
    connect(connector, classic)
    kill_grant(connector, classic)
    codes_refused(classic, until_removed=True)
    for resort in (None, last_resort(classic, [], agreed=False)):
        with pytest.raises(CodeRefusedError) as failure:
            connector.repair(PRACTICE, capture=visitor_capture(classic), last_resort=resort)
        assert failure.value.action == "reconnect"
    assert classic.counters().get("applications_removed", 0) == 0


def test_the_guides_last_step_is_named_at_the_end(classic: RunningSandbox, connector: Connector) -> None:
    """If even that is refused, the guide's last step is given."""
    connect(connector, classic)
    kill_grant(connector, classic)
    codes_refused(classic, until_removed=False)
    with pytest.raises(CodeRefusedError) as failure:
        connector.repair(
            PRACTICE, capture=visitor_capture(classic), last_resort=last_resort(classic, [], agreed=True)
        )
    assert "local 3Shape reseller" in failure.value.hint


def test_reconnect_revokes_and_connects_again(connector: Connector, sandbox: RunningSandbox) -> None:
    """The old grant is dead, the new one works, and the history is kept."""
    before = connect(connector, sandbox)
    page = PageVisitor(sandbox)
    after = connector.reconnect(PRACTICE, capture=visitor_capture(sandbox), removal=Removal(remove=page))
    assert after.state is ConnectionState.CONNECTED
    assert after.account == before.account
    assert after.token_generation > before.token_generation
    assert connector.access_token(PRACTICE)
    assert page.visits == ([sandbox.practice.username] if sandbox.generation == "classic" else [])


def test_reconnect_visits_the_page_even_if_the_grant_is_dead(
    classic: RunningSandbox, connector: Connector
) -> None:
    """The guide's cleaning is done in any case: the entry may be the obstacle."""
    connect(connector, classic)
    kill_grant(connector, classic)
    page = PageVisitor(classic)
    connector.reconnect(PRACTICE, capture=visitor_capture(classic), removal=Removal(remove=page))
    assert len(page.visits) == 1


@pytest.mark.parametrize("step", ["page", "consent", "account"])
def test_reconnect_continues_at_the_step_where_it_stopped(
    sandbox: RunningSandbox, store_url: str, tmp_path: Path, step: str
) -> None:
    """At whatever step it stopped, the same call continues there and ends connected."""
    env = settings(sandbox, store_url)
    broken = env | {"ORMCO_PROVIDER": without_users(sandbox, tmp_path)} if step == "account" else env

    def interrupt() -> None:
        raise KeyboardInterrupt

    def interrupted(url: str, *, redirect_uri: str) -> str:
        raise KeyboardInterrupt

    page = PageVisitor(sandbox, first=interrupt) if step == "page" else PageVisitor(sandbox)
    capture = interrupted if step in ("page", "consent") else visitor_capture(sandbox)
    with opened(env) as connector:
        before = connect(connector, sandbox)
    with opened(broken) as connector, pytest.raises((KeyboardInterrupt, ProviderUnavailableError)):
        connector.reconnect(PRACTICE, capture=capture, removal=Removal(remove=page))
    capture = no_capture if step == "account" else visitor_capture(sandbox)
    with opened(env) as connector:
        after = connector.reconnect(PRACTICE, capture=capture, removal=Removal(remove=PageVisitor(sandbox)))
    assert after.state is ConnectionState.CONNECTED
    assert after.account == before.account


def test_reconnect_with_another_account_is_refused(connector: Connector, sandbox: RunningSandbox) -> None:
    """The history has the account of the connection."""
    connect(connector, sandbox)
    with pytest.raises(AccountMismatchError):
        connector.reconnect(
            PRACTICE,
            capture=visitor_capture(sandbox, sandbox.other_practice),
            removal=Removal(remove=PageVisitor(sandbox)),
        )
    assert connector.status(PRACTICE).state is ConnectionState.REVOKED


def test_reconnect_revokes_nothing_that_it_could_not_restore(sandbox: RunningSandbox, store_url: str) -> None:
    """Everything that the second half needs is checked before the first half begins."""
    with opened(settings(sandbox, store_url)) as connector:
        connect(connector, sandbox)
    env = settings(sandbox, store_url)
    del env["ORMCO_CLIENT_ID"]
    with opened(env) as connector, pytest.raises(ConnectorError, match="ORMCO_CLIENT_ID"):
        connector.reconnect(PRACTICE, capture=no_capture, removal=Removal(done=True))
    with opened(settings(sandbox, store_url)) as connector:
        assert connector.status(PRACTICE).state is ConnectionState.CONNECTED


def test_reconnect_needs_a_connection(connector: Connector) -> None:
    """A misspelt, unknown practice is not reconnected."""
    with pytest.raises(ConnectionNotFoundError):
        connector.reconnect(PRACTICE, capture=no_capture)
