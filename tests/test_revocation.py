"""Revocation: access is removed, the removal is proved, and only then are the tokens wiped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from connector import Config, ConnectionState, Connector
from connector.consent import complete
from connector.errors import (
    BrowserUnavailableError,
    ClientRefusedError,
    ConnectionNotFoundError,
    ConnectorError,
    ConsentRequiredError,
    GrantStillHonouredError,
    ProviderUnavailableError,
    RevokedError,
    SettingError,
    StateMismatchError,
    WindowClosedError,
)
from connector.oauth.token_endpoint import TokenEndpoint
from connector.observers import Call
from connector.resources import Resources
from connector.revocation import Revocation
from connector.revocation.removal import Removal
from connector.store.columns import FromNow
from connector.store.owners import this_process
from connector.store.sqlite import SqliteDatabase
from tests.support.applications import PageVisitor, without_users
from tests.support.clock import ManualClock
from tests.support.connecting import connect, kill_grant, opened, refresh_token, settings, stored
from tests.support.sandbox import RunningSandbox

PRACTICE = "practice-42"


def outcomes(connector: Connector) -> list[str]:
    return [event.outcome for event in connector.events(practice_id=PRACTICE) if event.kind == "revoke"]


def never(url: str, *, account: str | None) -> bool:
    raise AssertionError("the page was opened")


def test_access_is_revoked_proved_and_wiped(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """The grant is revoked at the provider, a refresh is refused, and no token is left."""
    connect(connector, sandbox)
    page = PageVisitor(sandbox)
    done = connector.revoke(PRACTICE, removal=Removal(remove=page))
    assert done.method == ("applications_page" if sandbox.generation == "classic" else "endpoint")
    assert (done.provider_revoked, done.proved, done.wiped) == (True, True, True)
    connection = connector.status(PRACTICE)
    assert connection.state is ConnectionState.REVOKED
    assert not connection.renewable
    assert refresh_token(env) is None
    assert connection.account is not None  # the history stays
    assert outcomes(connector) == ["begun", "ok"]
    with pytest.raises(RevokedError):
        connector.access_token(PRACTICE)


def test_an_access_token_that_outlives_the_grant_is_reported(
    connector: Connector, sandbox: RunningSandbox
) -> None:
    """Identity's access tokens live to their end, which is reported; classic's die with the grant."""
    expires_at = connect(connector, sandbox).expires_at
    done = connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox)))
    assert done.access_token_until == (None if sandbox.generation == "classic" else expires_at)


def test_the_process_that_revokes_hands_out_no_token_from_then_on(
    connector: Connector, sandbox: RunningSandbox
) -> None:
    """A token that was read a moment before is not served from memory, whether or not the removal ends."""
    connect(connector, sandbox)
    connector.access_token(PRACTICE)
    with suppress(ConsentRequiredError):
        connector.revoke(PRACTICE, interactive=False)
    with pytest.raises(RevokedError):
        connector.access_token(PRACTICE)


def test_revoking_twice_succeeds(connector: Connector, sandbox: RunningSandbox) -> None:
    """The second call has nothing to do, and asks no person."""
    connect(connector, sandbox)
    connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox)))
    before = sandbox.counters()
    done = connector.revoke(PRACTICE, removal=Removal(remove=never))
    assert (done.method, done.wiped) == ("already_gone", True)
    assert sandbox.counters() == before


def test_grant_removed_by_the_practice_needs_no_person(connector: Connector, sandbox: RunningSandbox) -> None:
    """A grant that is dead already is proved dead without a browser."""
    connect(connector, sandbox)
    sandbox.set_scenarios("revoked")
    done = connector.revoke(PRACTICE, removal=Removal(remove=never))
    assert done.method == ("already_gone" if sandbox.generation == "classic" else "endpoint")
    assert connector.status(PRACTICE).state is ConnectionState.REVOKED


def test_a_connection_that_needs_repair_can_be_revoked(connector: Connector, sandbox: RunningSandbox) -> None:
    """A latched dead grant ends as revoked."""
    connect(connector, sandbox)
    kill_grant(connector, sandbox)
    assert connector.status(PRACTICE).state is ConnectionState.NEEDS_REPAIR
    assert connector.revoke(PRACTICE, removal=Removal(remove=never)).proved


def test_an_unknown_practice_is_an_error(connector: Connector) -> None:
    """There is nothing to revoke of a practice that was never connected."""
    with pytest.raises(ConnectionNotFoundError):
        connector.revoke(PRACTICE, removal=Removal(remove=never))
    with pytest.raises(ConnectionNotFoundError):
        connector.revocation_steps(PRACTICE)


def test_a_grant_that_is_still_honoured_is_a_failure(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """If the removal by hand did not happen, the newest tokens are kept, and the error says so."""
    connect(connector, sandbox)
    before = refresh_token(env)
    with pytest.raises(GrantStillHonouredError, match="a refresh succeeded") as failure:
        connector.revoke(PRACTICE, removal=Removal(done=True))
    assert failure.value.hint.endswith("Then confirm that it is done.")
    connection = connector.status(PRACTICE)
    assert connection.state is ConnectionState.REVOKING
    assert connection.token_generation == 2
    assert refresh_token(env) not in (None, before)
    assert outcomes(connector)[-1] == "grant_still_honoured"
    done = connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox)))
    assert done.wiped


def test_a_confirmed_removal_is_proved(connector: Connector, sandbox: RunningSandbox) -> None:
    """After the steps by hand only the proof is made, without the page."""
    connect(connector, sandbox)
    PageVisitor(sandbox)(sandbox.applications_page, account=None)
    done = connector.revoke(PRACTICE, removal=Removal(done=True))
    assert (done.method, done.proved, done.wiped) == ("by_hand", True, True)


# One fault of each kind; test_token_response has all responses.
FAULTS = ("outage", "captive-portal", "cut-answer", "lost-answer", "empty-401")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("removed", [True, False])
def test_a_fault_keeps_the_tokens_and_the_same_command_continues(
    connector: Connector, sandbox: RunningSandbox, fault: str, removed: bool, env: dict[str, str]
) -> None:
    """Without proof the tokens are kept but not returned; then the same call finishes it."""
    connect(connector, sandbox)
    page = PageVisitor(sandbox)
    if removed:
        page(sandbox.applications_page, account=None)
    sandbox.set_scenarios(fault)
    ended = run(connector, Removal(done=removed, remove=page))
    if isinstance(ended, Exception):
        assert isinstance(ended, ProviderUnavailableError)
        assert connector.status(PRACTICE).state is ConnectionState.REVOKING
        assert refresh_token(env) is not None
        with pytest.raises(RevokedError):
            connector.access_token(PRACTICE)
    sandbox.set_scenarios()
    ended = run(connector, Removal(remove=page))
    assert isinstance(ended, Revocation)
    assert connector.status(PRACTICE).state is ConnectionState.REVOKED


@pytest.mark.parametrize(
    ("fault", "method"),
    [
        *(("outage", method) for method in ("interactive", "server", "by_hand")),
        ("captive-portal", "interactive"),
    ],
)
def test_the_revocation_is_recorded_whatever_is_down(
    sandbox: RunningSandbox, fault: str, method: str, env: dict[str, str]
) -> None:
    """A process that has to discover the provider records the revocation first: no token is returned."""
    with opened(env) as connector:
        connect(connector, sandbox)
    sandbox.set_scenarios(fault)
    with opened(env) as connector:
        page = Removal(remove=PageVisitor(sandbox))
        with pytest.raises(ConnectorError):
            revoke_by(method, connector, page)
        assert connector.status(PRACTICE).state is ConnectionState.REVOKING
        with pytest.raises(RevokedError):
            connector.access_token(PRACTICE)
    sandbox.set_scenarios()
    with opened(env) as connector:
        assert connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox))).wiped


def revoke_by(method: str, connector: Connector, page: Removal) -> Revocation:
    if method == "by_hand":
        return connector.confirm_revoked(PRACTICE)
    if method == "server":
        return connector.revoke(PRACTICE, interactive=False)
    return connector.revoke(PRACTICE, removal=page)


def test_both_tokens_are_given_to_the_endpoint(identity: RunningSandbox, connector: Connector) -> None:
    """Some servers end only the token that they are given."""
    connect(connector, identity)
    connector.revoke(PRACTICE, interactive=False)
    assert identity.counters()["revocations"] == 2


def run(connector: Connector, removal: Removal) -> Revocation | Exception:
    try:
        return connector.revoke(PRACTICE, removal=removal)
    except ConnectorError as exc:
        return exc


@pytest.mark.parametrize(
    "interruption",
    [KeyboardInterrupt(), WindowClosedError("the window was closed"), ProviderUnavailableError("no network")],
    ids=["ctrl-c", "window", "network"],
)
def test_an_interrupted_visit_is_continued(
    classic: RunningSandbox, connector: Connector, interruption: BaseException
) -> None:
    """However the visit to the page ends, the state is `revoking`, and the same call finishes it."""

    def fail() -> None:
        raise interruption

    connect(connector, classic)
    with pytest.raises(type(interruption)):
        connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(classic, first=fail)))
    assert connector.status(PRACTICE).state is ConnectionState.REVOKING
    assert connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(classic))).wiped


def test_without_a_browser_the_steps_are_listed(classic: RunningSandbox, connector: Connector) -> None:
    """If no browser can be used, the error has the guide's steps and the next command."""

    def no_browser(url: str, *, account: str | None) -> bool:
        raise BrowserUnavailableError("there is no display for a browser window")

    connect(connector, classic)
    for remove in (no_browser, None):
        with pytest.raises(GrantStillHonouredError) as failure:
            connector.revoke(PRACTICE, removal=Removal(remove=remove))
        for words in (
            classic.applications_page,
            classic.practice.username,
            "square icon",
            "Then confirm that it is done",
        ):
            assert words in failure.value.hint
    assert classic.counters().get("applications_removed", 0) == 0


def test_a_lost_response_makes_a_refusal_no_proof(classic: RunningSandbox, connector: Connector) -> None:
    """If a response was lost, the refresh token may be an old one: a person's word is not enough."""
    connect(connector, classic)
    classic.set_scenarios("lost-answer")
    with pytest.raises(ProviderUnavailableError):
        connector.revoke(PRACTICE, removal=Removal(done=True))
    classic.set_scenarios()
    with pytest.raises(GrantStillHonouredError, match="still accepts the access token"):
        connector.revoke(PRACTICE, removal=Removal(done=True))
    PageVisitor(classic)(classic.applications_page, account=None)
    assert connector.revoke(PRACTICE, removal=Removal(done=True)).proved


def test_a_wrong_secret_proves_nothing(sandbox: RunningSandbox, store_url: str, env: dict[str, str]) -> None:
    """A client that the provider refuses is a configuration error; the tokens are kept."""
    with opened(settings(sandbox, store_url)) as connector:
        connect(connector, sandbox)
    with opened(settings(sandbox, store_url, ORMCO_CLIENT_SECRET="wrong")) as connector:
        with pytest.raises(ClientRefusedError):
            connector.revoke(PRACTICE, removal=Removal(done=True))
        assert connector.status(PRACTICE).state is ConnectionState.REVOKING
        assert refresh_token(env) is not None


def test_a_connection_of_another_provider_is_left_alone(
    sandbox: RunningSandbox, store_url: str, connector: Connector
) -> None:
    """Settings for another provider change nothing."""
    connect(connector, sandbox)
    env = settings(sandbox, store_url) | {"ORMCO_PROVIDER": "sandbox"}
    with opened(env) as other, pytest.raises(SettingError):
        other.revoke(PRACTICE, removal=Removal(remove=never))
    assert connector.status(PRACTICE).state is ConnectionState.CONNECTED


def test_without_a_refresh_token_revoking_succeeds(sandbox: RunningSandbox, connector: Connector) -> None:
    """A connection that cannot be renewed is revoked too; what its access token can still do is reported."""
    sandbox.set_scenarios("no-refresh-token")
    expires_at = connect(connector, sandbox).expires_at
    done = connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox)))
    assert connector.status(PRACTICE).state is ConnectionState.REVOKED
    assert done.wiped
    assert done.access_token_until == (None if sandbox.generation == "classic" else expires_at)
    assert sandbox.refreshes == 0


def test_without_refresh_token_no_statement_is_enough(classic: RunningSandbox, connector: Connector) -> None:
    """While the access token works, no statement is enough; when it has expired, none is needed."""
    classic.set_scenarios("no-refresh-token")
    expires_at = connect(connector, classic).expires_at
    assert expires_at is not None
    with pytest.raises(GrantStillHonouredError, match="which expires at"):
        connector.revoke(PRACTICE, removal=Removal(done=True))
    with time_machine.travel(expires_at + timedelta(seconds=1)):
        assert connector.revoke(PRACTICE, removal=Removal(done=True)).wiped


def test_tokens_whose_account_was_never_read_are_revoked(
    env: dict[str, str], sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """Freshly granted tokens that wait for their account are revoked with the rest."""
    env["ORMCO_PROVIDER"] = without_users(sandbox, tmp_path)
    with opened(env) as connector:
        with pytest.raises(ProviderUnavailableError):
            connect(connector, sandbox)
        assert connector.status(PRACTICE).reason == "account_unread"
        assert connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox))).wiped
    with stored(env) as store:
        rows = store.grants.rows(PRACTICE).all
    assert [(row.slot, row.access_sealed, row.refresh_sealed) for row in rows] == [("live", None, None)]


def test_the_consequences_are_named(connector: Connector, sandbox: RunningSandbox) -> None:
    """Before anything is done: the account, the other practices on it, and whether it is all of Ormco."""
    connect(connector, sandbox)
    request = connector.begin("practice-43", allow_account_change=True)
    connector.complete(sandbox.authorize(request.url), practice_id="practice-43")
    what = connector.revocation_steps(PRACTICE)
    assert what is not None
    assert what.account is not None
    assert what.account.email == sandbox.practice.username
    assert what.others == ("practice-43",)
    assert what.whole_application == (sandbox.generation == "classic")
    connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox)))
    assert connector.revocation_steps(PRACTICE) is None


def test_revoking_while_others_refresh(
    connector: Connector, sandbox: RunningSandbox, env: dict[str, str]
) -> None:
    """If other processes refresh at the same time, none has a token in the end."""
    connect(connector, sandbox)
    stop, unexpected = threading.Event(), []

    def refresh() -> None:
        with opened(env) as other:
            while not stop.is_set():
                try:
                    other.refresh(PRACTICE, force=True)
                except RevokedError:
                    continue
                except Exception as exc:
                    unexpected.append(exc)

    threads = [threading.Thread(target=refresh) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox))).wiped
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert unexpected == []
    assert connector.status(PRACTICE).state is ConnectionState.REVOKED


def test_refresh_that_was_granted_before_the_removal(identity: RunningSandbox, store_url: str) -> None:
    """New tokens that were given out before the grant was removed, and stored after it, prove nothing."""
    answered, removed = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        answered.set()
        removed.wait(30)

    def refresh(other: Connector) -> None:
        with suppress(RevokedError):
            other.refresh(PRACTICE, force=True)

    def progress(step: str) -> None:
        if step == "endpoint":
            threading.Timer(0.5, removed.set).start()  # when the proof waits for that refresh

    env = settings(identity, store_url)
    with opened(env) as connector, opened(env) as other:
        connect(connector, identity)
        refresh(other)
        other.on_call(hold)
        refreshing = threading.Thread(target=refresh, args=[other])
        refreshing.start()
        answered.wait(30)
        assert connector.revoke(PRACTICE, removal=Removal(progress=progress)).wiped
        refreshing.join()


def test_two_revocations_at_once_both_succeed(env: dict[str, str], sandbox: RunningSandbox) -> None:
    """The second finds the work done."""
    with opened(env) as connector, opened(env) as other:
        connect(connector, sandbox)
        page = PageVisitor(sandbox)
        inner = Removal(remove=page)
        meanwhile = PageVisitor(sandbox, first=lambda: other.revoke(PRACTICE, removal=inner))
        assert connector.revoke(PRACTICE, removal=Removal(remove=meanwhile)).wiped
        assert connector.revoke(PRACTICE, removal=Removal(remove=never)).wiped


def test_a_practice_that_is_connected_again_meanwhile_stays_connected(
    classic: RunningSandbox, store_url: str
) -> None:
    """If another process connects again while a person is at the page, the new token is not sent as proof."""
    env, sent = settings(classic, store_url), list[int]()
    with opened(env) as connector, opened(env) as other:
        connect(connector, classic)

        def connect_again(url: str, *, account: str | None) -> bool:
            other.forget(PRACTICE)
            connect(other, classic)
            sent.append(classic.refreshes)
            return True

        with pytest.raises(RevokedError, match="connected again"):
            connector.revoke(PRACTICE, removal=Removal(remove=connect_again))
        assert [classic.refreshes] == sent
        assert connector.status(PRACTICE).state is ConnectionState.CONNECTED


def test_an_access_token_that_ended_does_not_outlive_the_grant(
    classic: RunningSandbox, store_url: str, tmp_path: Path
) -> None:
    """Without an API to ask, a token past its expiry counts as expired."""
    env = settings(classic, store_url)
    with opened(env) as connector:
        connect(connector, classic)
    with stored(env) as store:
        row = store.grants.row(PRACTICE)
        assert row is not None
        store.grants.change(row, {"refreshed_at": FromNow(-3600), "expires_at": FromNow(-1)})
    env["ORMCO_PROVIDER"] = without_users(classic, tmp_path)
    classic.set_scenarios("revoked")
    with opened(env) as connector:
        done = connector.revoke(PRACTICE, removal=Removal(done=True))
    assert (done.wiped, done.access_token_until) == (True, None)


@pytest.mark.parametrize("when", ["while it is revoked", "afterwards"])
def test_a_link_from_before_the_revocation_connects_nothing(
    connector: Connector, sandbox: RunningSandbox, when: str
) -> None:
    """A consent that was requested before the revocation ends with it, and is never exchanged."""
    connect(connector, sandbox)
    response = sandbox.authorize(connector.begin(PRACTICE).url)

    def hand_in(when_it_is: str) -> None:
        if when_it_is == when:
            with pytest.raises((RevokedError, StateMismatchError)):
                connector.complete(response, practice_id=PRACTICE)

    page = PageVisitor(sandbox, first=lambda: hand_in("while it is revoked"))
    removal = Removal(remove=page, progress=lambda step: hand_in("while it is revoked"))
    assert connector.revoke(PRACTICE, removal=removal).wiped
    hand_in("afterwards")
    assert connector.status(PRACTICE).state is ConnectionState.REVOKED


def test_a_grant_that_comes_after_revoking_is_dropped(env: dict[str, str], sandbox: RunningSandbox) -> None:
    """A grant whose code was sent before the revocation does not replace the old one."""
    with (
        opened(env) as connector,
        stored(env) as store,
        closing(Resources(Config.from_env(env))) as resources,
    ):
        connect(connector, sandbox)

        def ask_to_revoke(step: str) -> None:
            live = store.grants.rows(PRACTICE).live
            if step == "tokens" and live is not None:
                store.grants.change(live, {"state": "revoking", "reason": "revocation_unproved"})

        response = sandbox.authorize(connector.begin(PRACTICE).url)
        with pytest.raises(RevokedError):
            complete(resources, response, practice_id=PRACTICE, progress=ask_to_revoke)
        assert connector.status(PRACTICE).state is ConnectionState.REVOKING
        with pytest.raises(RevokedError):
            connector.adopt(PRACTICE, "RT-made-up")


def test_other_processes_notice_it_within_seconds(env: dict[str, str], sandbox: RunningSandbox) -> None:
    """A process that has a token in its memory stops handing it out within five seconds."""
    clock = ManualClock()
    with opened(env) as connector, Connector.from_config(Config.from_env(env), clock=clock) as other:
        connect(connector, sandbox)
        assert other.access_token(PRACTICE)
        connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox)))
        clock.advance(5)
        with pytest.raises(RevokedError):
            other.access_token(PRACTICE)


def test_progress_names_each_part(connector: Connector, sandbox: RunningSandbox) -> None:
    """Each step is reported as it is done."""
    connect(connector, sandbox)
    steps: list[str] = []
    connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox), progress=steps.append))
    last_part = "removed" if sandbox.generation == "classic" else "endpoint"
    assert steps == ["recorded", last_part, "proved", "wiped"]


def test_no_secret_in_the_record(connector: Connector, sandbox: RunningSandbox, env: dict[str, str]) -> None:
    """Neither the audit record nor an error holds a token."""
    connect(connector, sandbox)
    secrets = [refresh_token(env)]
    with pytest.raises(GrantStillHonouredError) as failure:
        connector.revoke(PRACTICE, removal=Removal(done=True))
    secrets.append(refresh_token(env))
    text = f"{failure.value} {failure.value.hint} {connector.events()}"
    for secret in secrets:
        assert secret is not None
        assert secret not in text


class Killed(BaseException):
    """The process ended here."""


def kill_at(patch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
    """Let the process end at one of its writes or calls, before it or right after it."""
    calls = 0

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number and not after:
                raise Killed
            result = call(*args, **options)
            if calls == number:
                raise Killed
            return result

        return run

    for owner, name in ((SqliteDatabase, "apply"), (TokenEndpoint, "refresh"), (TokenEndpoint, "revoke")):
        patch.setattr(owner, name, dying(getattr(owner, name)))


def end_process(env: dict[str, str]) -> None:
    """Let the process that holds a lease be one that has ended, as it would have."""
    dead = this_process().rsplit(" ", 2)[0] + " 999999999 1"
    update = "UPDATE ormco_connections SET refresh_by = ? WHERE refresh_by IS NOT NULL"
    with stored(env) as store:
        store.database.transact(lambda execute: execute(update, (dead,)))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 9))
def test_killed_at_any_step_the_same_command_continues(
    env: dict[str, str], sandbox: RunningSandbox, number: int, after: bool
) -> None:
    """At whatever point the process ends, no token is returned afterwards, and a second run finishes."""
    with opened(env) as connector, pytest.MonkeyPatch.context() as patch:
        connect(connector, sandbox)
        kill_at(patch, number, after=after)
        with suppress(Killed):
            connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox)))
    end_process(env)
    with opened(env) as connector:
        if number > 1 or after:
            with pytest.raises(RevokedError):
                connector.access_token(PRACTICE)
        assert connector.revoke(PRACTICE, removal=Removal(remove=PageVisitor(sandbox))).wiped
        assert connector.status(PRACTICE).state is ConnectionState.REVOKED
    assert sandbox.control()["grants"][sandbox.practice.username] == 0
