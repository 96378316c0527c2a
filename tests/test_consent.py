"""Consent: from the link that is sent to the stored connection."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
import time_machine

from connector import Config, ConnectionState, Connector
from connector.consent import complete
from connector.errors import (
    AccountMismatchError,
    AccountUnconfirmedError,
    AuthorizationResponseError,
    CodeDamagedError,
    CodeRefusedError,
    CodeSpentError,
    ConnectionNotFoundError,
    ConsentDeniedError,
    NobodyActedError,
    ProviderUnavailableError,
    RequestExpiredError,
    SealingKeyError,
    SettingError,
    StateMismatchError,
    StoreUnavailableError,
)
from connector.resources import Resources
from connector.store.store import Store
from tests.support.applications import no_capture, visitor_capture, without_users
from tests.support.connecting import connect, opened, settings, stored
from tests.support.sandbox import RunningSandbox


def without(url: str, name: str) -> str:
    return re.sub(rf"&?\b{name}=[^&]*", "", url)


def exchanges(sandbox: RunningSandbox) -> int:
    return sandbox.counters().get("token:authorization_code", 0)


def test_two_halves_make_a_connection(sandbox: RunningSandbox, store_url: str) -> None:
    """One process begins and another completes, on both generations, and the token works."""
    env = settings(sandbox, store_url)
    with opened(env) as first:
        request = first.begin("practice-42", binding="session-1")
    response = sandbox.authorize(request.url)
    with opened(env) as second:
        connection = second.complete(response, practice_id="practice-42", binding="session-1")
        user = second.session("practice-42").get(f"{sandbox.url}/api/users/me").json()
    assert connection.state is ConnectionState.CONNECTED
    assert connection.account is not None
    assert connection.account.email == user["Email"] == sandbox.practice.username
    assert connection.renewable


def test_a_response_works_once(connector: Connector, classic: RunningSandbox) -> None:
    """The same address again gives the same connection, and does not reach the provider."""
    request = connector.begin("practice-42")
    response = classic.authorize(request.url)
    first = connector.complete(response, practice_id="practice-42")
    assert connector.complete(response, practice_id="practice-42") == first
    with pytest.raises(AuthorizationResponseError):
        connector.complete(response, practice_id="practice-7")
    assert exchanges(classic) == 1


def test_a_code_works_once_even_without_its_state(connector: Connector, classic: RunningSandbox) -> None:
    """A code that this store has spent is refused for any other request, which stays open."""
    response = without(classic.authorize(connector.begin("practice-42").url), "state")
    with pytest.raises(AccountUnconfirmedError):
        connector.complete(response, practice_id="practice-42")
    connector.begin("practice-7")
    with pytest.raises(CodeSpentError):
        connector.complete(response, practice_id="practice-7")
    assert len(connector.open_requests("practice-7")) == 1
    assert exchanges(classic) == 1


@pytest.mark.parametrize(
    ("practice_id", "binding"),
    [("practice-7", "session-1"), ("practice-42", "session-2"), ("practice-42", None)],
)
def test_a_response_for_another_practice_or_session_is_refused(
    connector: Connector, classic: RunningSandbox, practice_id: str, binding: str | None
) -> None:
    """A response of another session is refused; the request itself stays open."""
    response = classic.authorize(connector.begin("practice-42", binding="session-1").url)
    with pytest.raises(StateMismatchError, match="another practice, session or provider"):
        connector.complete(response, practice_id=practice_id, binding=binding)
    assert exchanges(classic) == 0
    assert connector.complete(response, practice_id="practice-42", binding="session-1")


def test_without_state_only_requests_of_the_same_session_count(
    connector: Connector, classic: RunningSandbox
) -> None:
    """A response without state belongs to the session's own request, or to none."""
    request = connector.begin("practice-42", binding="session-1")
    response = without(classic.authorize(request.url), "state")
    for binding in ("session-2", None):
        with pytest.raises(StateMismatchError, match="no open request"):
            connector.complete(response, practice_id="practice-42", binding=binding)
    connector.begin("practice-42", binding="session-2")
    assert exchanges(classic) == 0
    with pytest.raises(AccountUnconfirmedError):
        connector.complete(response, practice_id="practice-42", binding="session-1")


def test_a_browser_that_brings_the_response_to_another_request_is_refused(
    connector: Connector, classic: RunningSandbox
) -> None:
    """A response that our own browser captured has to belong to the request that it was opened with."""
    other = connector.begin("practice-42")

    def capture(url: str, *, redirect_uri: str) -> str:
        return classic.authorize(other.url)

    with pytest.raises(StateMismatchError, match="another practice, session or provider"):
        connector.repair("practice-42", capture=capture)
    assert exchanges(classic) == 0


def test_a_response_to_a_request_at_another_provider_is_refused(
    connector: Connector, classic: RunningSandbox, identity: RunningSandbox, store_url: str
) -> None:
    """A code goes to the provider that its request was made for, and to no other."""
    with opened(settings(identity, store_url)) as elsewhere:
        state = re.findall("state=([^&]*)", elsewhere.begin("practice-42").url)[0]
    response = classic.authorize(connector.begin("practice-42").url)
    with pytest.raises(StateMismatchError, match="another practice, session or provider"):
        connector.complete(re.sub("state=[^&]*", f"state={state}", response), practice_id="practice-42")
    assert exchanges(classic) == exchanges(identity) == 0


def test_an_invented_state_is_refused(connector: Connector, classic: RunningSandbox) -> None:
    """A state that no open request has is not accepted."""
    response = classic.authorize(connector.begin("practice-42").url)
    with pytest.raises(StateMismatchError):
        connector.complete(re.sub("state=[^&]*", "state=invented", response), practice_id="practice-42")
    assert exchanges(classic) == 0


def test_without_state_several_open_requests_are_too_many(
    connector: Connector, classic: RunningSandbox
) -> None:
    """If several requests are open, a response without state is refused."""
    connector.begin("practice-42")
    response = classic.authorize(connector.begin("practice-42").url)
    with pytest.raises(StateMismatchError, match="2 requests are open"):
        connector.complete(without(response, "state"), practice_id="practice-42")


def test_without_state_if_the_provider_returns_it(identity: RunningSandbox, connector: Connector) -> None:
    """A provider that always returns the state has not sent a response without one."""
    response = identity.authorize(connector.begin("practice-42").url)
    with pytest.raises(StateMismatchError, match="no state") as caught:
        connector.complete(without(response, "state"), practice_id="practice-42")
    assert "whole address" in caught.value.hint


def test_a_response_without_its_issuer_is_refused(identity: RunningSandbox, connector: Connector) -> None:
    """If discovery promises `iss`, a response without it, or with another, is refused."""
    response = identity.authorize(connector.begin("practice-42").url)
    with pytest.raises(AuthorizationResponseError, match="issuer"):
        connector.complete(without(response, "iss"), practice_id="practice-42")
    wrong = re.sub("iss=[^&]*", "iss=https%3A%2F%2Fevil.test", response)
    with pytest.raises(StateMismatchError, match="another provider"):
        connector.complete(wrong, practice_id="practice-42")
    assert exchanges(identity) == 0
    assert connector.complete(response, practice_id="practice-42")


def test_a_damaged_code_is_not_spent(connector: Connector, classic: RunningSandbox) -> None:
    """A cut-short address is refused before the exchange, and the whole one still works."""
    request = connector.begin("practice-42", expected_account=classic.practice.username)
    response = without(classic.authorize(request.url), "state")
    with pytest.raises(CodeDamagedError):
        connector.complete(response[:-3], practice_id="practice-42")
    assert exchanges(classic) == 0
    assert connector.complete(response, practice_id="practice-42")


def test_a_refusal_closes_its_request(connector: Connector, classic: RunningSandbox) -> None:
    """Cancel ends its request, and is in the audit record."""
    response = classic.authorize(connector.begin("practice-42").url, decision="cancel")
    with pytest.raises(ConsentDeniedError):
        connector.complete(response, practice_id="practice-42")
    assert connector.open_requests("practice-42") == []
    assert [(event.kind, event.outcome) for event in connector.events()] == [
        ("begin", "ok"),
        ("complete", "consent_denied"),
    ]


def test_a_request_is_dead_after_ten_minutes(connector: Connector, classic: RunningSandbox) -> None:
    """A response that is too late is refused as such, and not sent."""
    request = connector.begin("practice-42")
    response = classic.authorize(request.url)
    with time_machine.travel(request.created_at + timedelta(minutes=10, seconds=1), tick=True):
        with pytest.raises(RequestExpiredError, match="ten minutes"):
            connector.complete(response, practice_id="practice-42")
    assert exchanges(classic) == 0


def test_a_code_that_the_provider_refuses(connector: Connector, classic: RunningSandbox) -> None:
    """For a code used elsewhere the error says to start again; nothing is stored."""
    classic.set_scenarios("empty-401")
    response = classic.authorize(connector.begin("practice-42").url)
    with pytest.raises(CodeRefusedError) as caught:
        connector.complete(response, practice_id="practice-42")
    assert "start again" in caught.value.hint
    with pytest.raises(ConnectionNotFoundError):
        connector.status("practice-42")


def test_a_second_account_is_refused_unless_it_is_allowed(
    connector: Connector, classic: RunningSandbox, env: dict[str, str]
) -> None:
    """A consent by another account leaves the old connection unchanged and working; a change is recorded.

    The same account is known by its id: its address may change.
    """
    connect(connector, classic)
    with pytest.raises(AccountMismatchError) as caught:
        connect(connector, classic, who=classic.other_practice)
    assert classic.practice.username in caught.value.message
    assert classic.other_practice.username in caught.value.message
    account = connector.status("practice-42").account
    assert account is not None
    assert account.email == classic.practice.username
    assert connector.session("practice-42").get(f"{classic.url}/api/users/me").status_code == 200
    request = connector.begin("practice-42", allow_account_change=True)
    response = classic.authorize(request.url, who=classic.other_practice)
    account = connector.complete(response, practice_id="practice-42").account
    assert account is not None
    assert account.email == classic.other_practice.username
    assert [event.kind for event in connector.events()][-2:] == ["complete", "account_change"]
    with stored(env) as store:
        store.database.apply([("UPDATE ormco_connections SET account_email = 'old@practice.test'", ())])
    assert connect(connector, classic, who=classic.other_practice).account == account


def test_tokens_with_the_id_token_of_another_request_are_revoked(
    identity: RunningSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens that are refused are not left alive at the provider."""
    response = identity.authorize(connector.begin("practice-42").url)
    refused = Mock(side_effect=StateMismatchError("another nonce"))
    monkeypatch.setattr("connector.consent.completion.check_id_token", refused)
    with pytest.raises(StateMismatchError, match="another nonce"):
        connector.complete(response, practice_id="practice-42")
    assert identity.counters()["revocations"] == 2


def test_a_wrong_accounts_fresh_tokens_are_revoked(identity: RunningSandbox, connector: Connector) -> None:
    """If the provider can revoke, tokens of the wrong account do not live on."""
    request = connector.begin("practice-42", expected_account="somebody@else.test")
    with pytest.raises(AccountMismatchError, match="somebody@else.test"):
        connector.complete(identity.authorize(request.url), practice_id="practice-42")
    event = connector.events()[-1]
    assert list(connector.connections()) == []
    assert event.outcome == "account_mismatch"
    assert event.detail["fresh_tokens_revoked"] == "yes"


def test_two_responses_to_one_request_at_once(sandbox: RunningSandbox, store_url: str) -> None:
    """A request takes one response: of two that arrive together, the second is not sent to the provider."""
    env = settings(sandbox, store_url)
    with opened(env) as connector, closing(Resources(Config.from_env(env))) as resources:
        url = connector.begin("practice-42").url
        first, second = (sandbox.authorize(url) for _ in range(2))

        def be_faster(step: str) -> None:
            if step == "code":
                connector.complete(second, practice_id="practice-42")

        with pytest.raises(StateMismatchError):
            complete(resources, first, practice_id="practice-42", progress=be_faster)
        assert sandbox.counters()["token:authorization_code"] == 1
        assert connector.status("practice-42").state is ConnectionState.CONNECTED


def test_one_account_is_refused_for_a_second_practice(identity: RunningSandbox, connector: Connector) -> None:
    """The account of one practice is refused for another one, and the first practice's grant is kept."""
    connect(connector, identity)
    before = identity.counters().get("revocations", 0)
    with pytest.raises(AccountMismatchError, match="already connected to practice-42"):
        connect(connector, identity, "practice-7")
    with pytest.raises(ConnectionNotFoundError):
        connector.status("practice-7")
    assert identity.counters().get("revocations", 0) == before
    assert connector.refresh("practice-42", force=True).state == "connected"


def test_one_account_for_two_practices_at_once(
    identity: RunningSandbox, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If both look before either is stored, the database refuses the second."""
    connect(connector, identity)
    find, looks = Store.practices_of_account, [list[str](), list[str]()]
    monkeypatch.setattr(Store, "practices_of_account", lambda *args: looks.pop() if looks else find(*args))
    with pytest.raises(AccountMismatchError):
        connect(connector, identity, "practice-7")
    assert [known.practice_id for known in connector.connections()] == ["practice-42"]


def test_an_unread_account_keeps_the_tokens(
    classic: RunningSandbox, env: dict[str, str], tmp_path: Path
) -> None:
    """Tokens whose account cannot be read are kept, not returned, and verified later without consent."""
    nameless = without_users(classic, tmp_path, url=f"{classic.url}/nowhere")
    with opened(env | {"ORMCO_PROVIDER": nameless}) as connector:
        with pytest.raises(ProviderUnavailableError, match="answered with 404"):
            connect(connector, classic)
        assert connector.status("practice-42").state is ConnectionState.DEGRADED
        with pytest.raises(ProviderUnavailableError):
            connector.access_token("practice-42")
    with opened(env) as connector:
        connection = connector.connect("practice-42", capture=no_capture)
        assert connection.state is ConnectionState.CONNECTED
        assert connector.access_token("practice-42")
    assert exchanges(classic) == 1


def test_a_grant_without_refresh_token(connector: Connector, classic: RunningSandbox) -> None:
    """Such a connection works, and says that it cannot be renewed."""
    classic.set_scenarios("no-refresh-token")
    connection = connect(connector, classic)
    assert connection.state is ConnectionState.CONNECTED
    assert not connection.renewable
    assert connector.access_token("practice-42")


def test_a_changed_scope_loses_no_token(identity: RunningSandbox, connector: Connector) -> None:
    """A grant with another scope is stored, with the scope that was granted."""
    identity.set_scenarios("scope-shrinks")
    asked = connector.begin("practice-42")
    connection = connector.complete(identity.authorize(asked.url), practice_id="practice-42")
    assert set((connection.scope or "").split()) < set((asked.scope or "").split())


def test_begin_names_everything_that_is_missing(store_url: str) -> None:
    """One error lists all missing settings."""
    with opened({"ORMCO_STORE": store_url}) as connector, pytest.raises(SettingError) as caught:
        connector.begin("practice-42")
    assert "ORMCO_CLIENT_ID" in caught.value.message
    assert "ORMCO_CLIENT_SECRET" in caught.value.message


def test_begin_checks_the_store_first(classic: RunningSandbox, tmp_path: Path) -> None:
    """Consent is not requested if its result could not be stored."""
    (tmp_path / "file").write_text("")
    env = settings(classic, f"sqlite:///{tmp_path}/file/connections.db")
    with opened(env) as connector, pytest.raises(StoreUnavailableError):
        connector.begin("practice-42")


def test_begin_checks_the_key_first(connector: Connector, classic: RunningSandbox, store_url: str) -> None:
    """A wrong sealing key is found before the browser opens, and changes nothing."""
    connect(connector, classic)
    env = settings(classic, store_url, ORMCO_STORE_KEYS="YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=")
    with opened(env) as other, pytest.raises(SealingKeyError):
        other.begin("practice-42")
    assert connector.access_token("practice-42")


def test_begin_checks_the_provider_first(connector: Connector, classic: RunningSandbox) -> None:
    """While the provider is down nothing is begun."""
    classic.set_scenarios("outage")
    with pytest.raises(ProviderUnavailableError, match="502"):
        connector.begin("practice-42")
    assert connector.open_requests("practice-42") == []


def test_a_connection_stays_at_its_provider(
    connector: Connector, classic: RunningSandbox, identity: RunningSandbox, store_url: str
) -> None:
    """Settings that name another provider are refused for a practice that is connected."""
    connect(connector, classic)
    with opened(settings(identity, store_url)) as other, pytest.raises(SettingError, match="connected at"):
        other.begin("practice-42")


@pytest.mark.parametrize("practice_id", ["", " ", "a b\n", "x" * 201, "tab\t"])
def test_an_impossible_practice_id_is_refused(connector: Connector, practice_id: str) -> None:
    """Ids that cannot be typed again are refused at once."""
    with pytest.raises(SettingError, match="practice id"):
        connector.begin(practice_id)


def test_a_capture_that_fails_leaves_no_request_open(connector: Connector) -> None:
    """An attempt that ended without a response cannot be completed later."""

    def nobody(url: str, *, redirect_uri: str) -> str:
        raise NobodyActedError("nobody acted")

    with pytest.raises(NobodyActedError):
        connector.connect("practice-42", capture=nobody)
    assert connector.open_requests("practice-42") == []


def test_a_code_that_waited_too_long_is_not_sent(connector: Connector, classic: RunningSandbox) -> None:
    """A captured code that has expired is not sent."""
    clock = time_machine.travel(0.0)
    steps: list[str] = []

    def progress(step: str) -> None:
        steps.append(step)
        if step == "consent":
            nonlocal clock
            clock = time_machine.travel(timedelta(minutes=3, seconds=1), tick=True)
            clock.start()

    try:
        with pytest.raises(RequestExpiredError, match="too old"):
            connector.connect("practice-42", capture=visitor_capture(classic), progress=progress)
    finally:
        clock.stop()
    assert steps == ["settings", "store", "provider", "ready", "consent", "code"]
    assert exchanges(classic) == 0


def test_nothing_secret_is_in_a_repr(connector: Connector, classic: RunningSandbox) -> None:
    """Requests and connections can be printed without a secret."""
    request = connector.begin("practice-42")
    connection = connector.complete(classic.authorize(request.url), practice_id="practice-42")
    shown = repr(request) + repr(connection) + repr(connector.events())
    for secret in (request.state, request.url, connector.access_token("practice-42")):
        assert secret not in shown
