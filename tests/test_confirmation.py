"""Anyone can have sent a response without state: it has no effect before a person has seen the account."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from connector import Config, ConnectionState, Connector
from connector.errors import (
    AccountMismatchError,
    AccountUnconfirmedError,
    CodeRefusedError,
    ConnectionNotFoundError,
    ConsentDeniedError,
    RequestExpiredError,
    StateMismatchError,
    StoreDamagedError,
)
from connector.redirect.parse import CapturedUrl
from connector.revocation.removal import Removal
from tests.support.applications import PageVisitor
from tests.support.codes import made_up_code
from tests.support.connecting import settings, stored
from tests.support.sandbox import RunningSandbox, SignIn, running_sandbox

PRACTICE, SESSION = "practice-42", "session-1"


def connector_at(sandbox: RunningSandbox, store_url: str, **more: str) -> Connector:
    return Connector.from_config(Config.from_env(settings(sandbox, store_url, **more)))


@pytest.fixture
def attacker(classic: RunningSandbox) -> SignIn:
    """An attacker with a Communicate account of their own, and the address of the application's callback."""
    return classic.other_practice


def without_state(url: str) -> str:
    return re.sub(r"&?\bstate=[^&]*", "", url)


def attackers_response(sandbox: RunningSandbox, who: SignIn) -> str:
    """A code of the attacker's account, in an address that a signed-in person is made to open."""
    return without_state(sandbox.authorize(sandbox.authorization_url(), who=who))


def handed_in(
    connector: Connector, sandbox: RunningSandbox, who: SignIn, *, expected: str | None = None
) -> AccountUnconfirmedError:
    connector.begin(PRACTICE, binding=SESSION, expected_account=expected)
    with pytest.raises(AccountUnconfirmedError) as caught:
        connector.complete(attackers_response(sandbox, who), practice_id=PRACTICE, binding=SESSION)
    return caught.value


def let_wait(connector: Connector, sandbox: RunningSandbox, who: SignIn) -> None:
    """Complete an attacker's response for a practice that is connected already."""
    connector.begin(PRACTICE, binding=SESSION, allow_account_change=True)
    with pytest.raises(AccountUnconfirmedError):
        connector.complete(attackers_response(sandbox, who), practice_id=PRACTICE, binding=SESSION)


def test_a_strangers_code_connects_nobody(
    connector: Connector, classic: RunningSandbox, attacker: SignIn
) -> None:
    """An attacker's code in a signed-in session gives no token, and the error names its account."""
    error = handed_in(connector, classic, attacker)
    assert error.account.email == attacker.username
    assert connector.status(PRACTICE).state is not ConnectionState.CONNECTED
    assert connector.status(PRACTICE).account is None
    for ask in (connector.access_token, connector.repair):
        with pytest.raises(AccountUnconfirmedError):
            ask(PRACTICE)


def test_a_strangers_code_leaves_the_connection_as_it_is(
    connector: Connector, classic: RunningSandbox, attacker: SignIn
) -> None:
    """The practice's own tokens are handed out and refreshed, whatever waits beside them."""
    own = connected(connector, classic)
    let_wait(connector, classic, attacker)
    assert connector.access_token(PRACTICE) == own
    assert [found.practice_id for found in connector.connections(needs_attention=True)] == [PRACTICE]
    with time_machine.travel(timedelta(minutes=61), tick=True):
        assert connector.access_token(PRACTICE) != own
        assert connector.session(PRACTICE).get(f"{classic.url}/api/users/me").ok
    account = connector.status(PRACTICE).account
    assert account is not None
    assert account.email == classic.practice.username


def connected(connector: Connector, sandbox: RunningSandbox) -> str:
    """Connect the practice without ever showing a state, and return its access token."""
    request = connector.begin(PRACTICE, expected_account=sandbox.practice.username)
    response = without_state(sandbox.authorize(request.url))
    connector.complete(response, practice_id=PRACTICE)
    return connector.access_token(PRACTICE)


def test_grant_is_live_after_a_person_has_confirmed(connector: Connector, classic: RunningSandbox) -> None:
    """The account that the person was shown makes the grant live; saying so twice changes nothing."""
    error = handed_in(connector, classic, classic.practice)
    for _ in range(2):
        done = connector.confirm_account(PRACTICE, account_id=error.account.id, binding=SESSION)
        assert (done.state, done.account) == (ConnectionState.CONNECTED, error.account)
    assert connector.access_token(PRACTICE)
    assert connector.repair(PRACTICE).step == "none"


@pytest.mark.parametrize("binding", [None, "session-2"])
def test_only_the_session_that_began_may_confirm(
    connector: Connector, classic: RunningSandbox, binding: str | None
) -> None:
    """Neither a yes nor a no of another session counts."""
    error = handed_in(connector, classic, classic.practice)
    with pytest.raises(StateMismatchError):
        connector.confirm_account(PRACTICE, account_id=error.account.id, binding=binding)
    with pytest.raises(StateMismatchError):
        connector.reject_account(PRACTICE, binding=binding)
    assert connector.confirm_account(PRACTICE, account_id=error.account.id, binding=SESSION)


def test_confirming_another_account_than_the_one_that_waits(
    connector: Connector, classic: RunningSandbox, attacker: SignIn
) -> None:
    """A page that showed one account cannot confirm another that came in between."""
    shown = handed_in(connector, classic, classic.practice).account
    handed_in(connector, classic, attacker)
    with pytest.raises(AccountMismatchError, match="not the one that was shown"):
        connector.confirm_account(PRACTICE, account_id=shown.id, binding=SESSION)
    with pytest.raises(AccountUnconfirmedError):
        connector.access_token(PRACTICE)


def test_rejection_drops_the_grant(connector: Connector, classic: RunningSandbox, attacker: SignIn) -> None:
    """After a no nothing is left, and nothing waits."""
    error = handed_in(connector, classic, attacker)
    connector.reject_account(PRACTICE, binding=SESSION)
    with pytest.raises(ConnectionNotFoundError):
        connector.status(PRACTICE)
    with pytest.raises(ConnectionNotFoundError):
        connector.confirm_account(PRACTICE, account_id=error.account.id, binding=SESSION)


@pytest.mark.parametrize(
    "change",
    [
        "policy_sealed = NULL",
        "policy_sealed = NULL, confirm_by = NULL, reason = 'account_unread'",
        "account_email = 'praxis@good.test', account_name = 'Good'",
    ],
)
def test_writing_to_the_database_confirms_nothing(
    connector: Connector, classic: RunningSandbox, attacker: SignIn, env: dict[str, str], change: str
) -> None:
    """Without its sealed policy a grant stays unconfirmed, and no invented account is shown."""
    error = handed_in(connector, classic, attacker)
    with stored(env) as store:
        store.database.apply([(f"UPDATE ormco_connections SET {change}", ())])
    asks: list[Callable[[str], object]] = [connector.repair, connector.access_token]
    asks += [] if "confirm_by" in change else [connector.unconfirmed_account]
    for ask in asks:
        with pytest.raises((StoreDamagedError, AccountUnconfirmedError)) as caught:
            ask(PRACTICE)
        assert "good.test" not in str(caught.value)
    with pytest.raises((StoreDamagedError, StateMismatchError)):
        connector.confirm_account(PRACTICE, account_id=error.account.id, binding=SESSION)
    assert connector.status(PRACTICE).state is not ConnectionState.CONNECTED


@pytest.mark.parametrize("act", ["confirm", "begin", "refresh_due", "repair"])
def test_grant_is_dropped_after_ten_minutes(connector: Connector, classic: RunningSandbox, act: str) -> None:
    """A grant that is not confirmed is dropped after ten minutes, by any next call."""
    error = handed_in(connector, classic, classic.practice)
    with time_machine.travel(timedelta(minutes=10, seconds=1), tick=True):
        if act == "confirm":
            with pytest.raises(RequestExpiredError):
                connector.confirm_account(PRACTICE, account_id=error.account.id, binding=SESSION)
        elif act == "repair":
            with pytest.raises(ConsentDeniedError):
                connector.repair(PRACTICE, capture=declining)
        else:
            connector.begin(PRACTICE) if act == "begin" else connector.refresh_due()
        with pytest.raises(ConnectionNotFoundError):
            connector.status(PRACTICE)


@pytest.mark.parametrize("change", ["refresh_sealed = ''", "refresh_sealed = x'00'", "confirm_by = -1e300"])
def test_a_grant_that_cannot_be_read_stops_no_refresh(
    connector: Connector,
    classic: RunningSandbox,
    env: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    change: str,
) -> None:
    """A timer's run refreshes all other connections, and logs which grant it could not end."""
    handed_in(connector, classic, classic.practice)
    with stored(env) as store:
        store.database.apply([(f"UPDATE ormco_connections SET {change}", ())])
    with time_machine.travel(timedelta(minutes=10, seconds=1), tick=True):
        assert connector.refresh_due().failed == 0
    assert f"the unconfirmed account of {PRACTICE} cannot be revoked" in caplog.text


def test_no_call_waits_for_another_practices_grant(connector: Connector, classic: RunningSandbox) -> None:
    """A call for one practice sends no request about another's grant, which may be slow."""
    handed_in(connector, classic, classic.practice)
    with time_machine.travel(timedelta(minutes=10, seconds=1), tick=True):
        connector.begin("practice-7")
        assert connector.status(PRACTICE).reason == "account_unconfirmed"


def declining(url: str, *, redirect_uri: str) -> str:
    raise ConsentDeniedError("no")


def test_rejection_revokes_the_tokens_if_possible(store_url: str, tmp_path: Path) -> None:
    """The tokens are dead at the provider too, and the audit record says so."""
    with running_sandbox("identity") as sandbox:
        file = tmp_path / "silent.toml"
        text = Path(sandbox.provider_file).read_text()
        file.write_text(text.replace("returns_state = true", "returns_state = false"))
        with connector_at(sandbox, store_url, ORMCO_PROVIDER=str(file)) as connector:
            request = connector.begin(PRACTICE, binding=SESSION)
            response = without_state(sandbox.authorize(request.url))
            with pytest.raises(AccountUnconfirmedError):
                connector.complete(response, practice_id=PRACTICE, binding=SESSION)
            connector.reject_account(PRACTICE, binding=SESSION)
        assert sandbox.counters()["revocations"] == 2


@pytest.mark.parametrize("way", ["expected", "the same as before"])
def test_known_account_needs_no_confirmation(connector: Connector, classic: RunningSandbox, way: str) -> None:
    """No confirmation is needed for the account that was expected, or that the practice had."""
    connected(connector, classic)
    named = classic.practice.username if way == "expected" else None
    connector.begin(PRACTICE, binding=SESSION, expected_account=named)
    response = attackers_response(classic, classic.practice)
    done = connector.complete(response, practice_id=PRACTICE, binding=SESSION)
    assert done.state is ConnectionState.CONNECTED


def captured(sandbox: RunningSandbox, kind: type[str]) -> Callable[..., str]:
    return lambda url, *, redirect_uri: kind(without_state(sandbox.authorize(url)))


def test_a_captured_response_needs_no_confirmation(connector: Connector, classic: RunningSandbox) -> None:
    """What our own browser captured belongs to its request; a stranger may have sent what is pasted."""
    with pytest.raises(AccountUnconfirmedError):
        connector.connect(PRACTICE, capture=captured(classic, str))
    connected = connector.connect("practice-7", capture=captured(classic, CapturedUrl))
    assert connected.state is ConnectionState.CONNECTED


def test_a_provider_that_returned_the_state_once_always_does(
    connector: Connector, classic: RunningSandbox, attacker: SignIn, store_url: str
) -> None:
    """From then on a response without state is refused, its code unsent, for every practice and process."""
    response = classic.authorize(connector.begin("practice-7").url)
    connector.complete(response, practice_id="practice-7")
    with connector_at(classic, store_url) as other:
        other.begin(PRACTICE)
        with pytest.raises(StateMismatchError, match="no state") as caught:
            other.complete(attackers_response(classic, attacker), practice_id=PRACTICE)
        assert "whole address" in caught.value.hint
    assert classic.counters()["token:authorization_code"] == 1


@pytest.mark.parametrize("invented", ["state", "code"])
def test_an_invented_response_does_not_change_the_record(
    connector: Connector, classic: RunningSandbox, invented: str
) -> None:
    """An invented state or code does not change the record of whether a provider returns the state."""
    request = connector.begin("practice-7", binding=SESSION)
    forged = f"{request.redirect_uri}?code={made_up_code(7)}&state={request.state}"
    if invented == "state":
        forged = f"{attackers_response(classic, classic.practice)}&state=invented"
    with pytest.raises(StateMismatchError if invented == "state" else CodeRefusedError):
        connector.complete(forged, practice_id="practice-7", binding=SESSION)
    assert handed_in(connector, classic, classic.practice)


def test_an_appended_state_prevents_no_later_connection(
    connector: Connector, classic: RunningSandbox, attacker: SignIn
) -> None:
    """A state that was appended to a response without one prevents no later connection."""
    for _ in range(2):  # a second time, after responses that our own browser captured
        appended = classic.authorize(connector.begin("practice-7").url, who=attacker)
        connector.complete(appended, practice_id="practice-7")
        done = connector.connect("practice-8", capture=captured(classic, CapturedUrl))
        assert done.state is ConnectionState.CONNECTED
        for practice_id in ("practice-7", "practice-8"):
            connector.forget(practice_id)
        assert handed_in(connector, classic, classic.practice)
        connector.reject_account(PRACTICE, binding=SESSION)


def test_an_unknown_account_is_refused(classic: RunningSandbox, store_url: str, tmp_path: Path) -> None:
    """Without an API that names the account, a response without state is refused, and its code not sent."""
    text = re.sub(r"(?m)^users_url = .*$", "", Path(classic.provider_file).read_text())
    (tmp_path / "nameless.toml").write_text(text)
    with connector_at(classic, store_url, ORMCO_PROVIDER=str(tmp_path / "nameless.toml")) as connector:
        connector.begin(PRACTICE)
        with pytest.raises(StateMismatchError, match="does not name the account"):
            connector.complete(attackers_response(classic, classic.practice), practice_id=PRACTICE)
    assert "token:authorization_code" not in classic.counters()


@pytest.mark.parametrize("by_hand", [True, False])
def test_an_unconfirmed_grant_does_not_prevent_revoking(
    connector: Connector, classic: RunningSandbox, attacker: SignIn, by_hand: bool
) -> None:
    """A stranger's grant that waits cannot keep a practice from cutting Ormco off, and is dropped."""
    connected(connector, classic)
    let_wait(connector, classic, attacker)
    if by_hand:
        classic.set_scenarios("revoked")
    removal = Removal(done=True) if by_hand else Removal(remove=PageVisitor(classic))
    done = connector.revoke(PRACTICE, removal=removal)
    assert (done.proved, done.connection.state) == (True, ConnectionState.REVOKED)
    assert connector.unconfirmed_account(PRACTICE) is None
