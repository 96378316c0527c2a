"""Take over a grant that another program holds."""

from __future__ import annotations

import pytest

from connector import ConnectionState, Connector
from connector.errors import (
    AccountMismatchError,
    ConnectionNotFoundError,
    GrantRefusedError,
    ProviderUnavailableError,
)
from connector.oauth.token_endpoint import TokenEndpoint
from connector.oauth.token_set import TokenSet
from tests.support.oauth_calls import connected as tokens_of
from tests.support.sandbox import RunningSandbox


def test_adopt_makes_a_connection(connector: Connector, classic: RunningSandbox) -> None:
    """A refresh token of another program becomes a connection with its account, and a working token."""
    connection = connector.adopt("practice-42", tokens_of(classic)["refresh_token"])
    response = connector.session("practice-42").get(f"{classic.url}/api/users/me")
    assert connection.state is ConnectionState.CONNECTED
    assert connection.account is not None
    assert connection.account.email == classic.practice.username
    assert response.status_code == 200


def test_adopt_refuses_a_dead_token(connector: Connector) -> None:
    """A token that the provider refuses leaves nothing in the store."""
    with pytest.raises(GrantRefusedError):
        connector.adopt("practice-42", "made!up")
    with pytest.raises(ConnectionNotFoundError):
        connector.status("practice-42")


def test_adopt_refuses_another_account(connector: Connector, classic: RunningSandbox) -> None:
    """A token of another account than expected is not kept."""
    with pytest.raises(AccountMismatchError, match="not by other@practice.test"):
        connector.adopt(
            "practice-42", tokens_of(classic)["refresh_token"], expected_account="other@practice.test"
        )
    assert list(connector.connections()) == []


def test_adopt_keeps_a_token_while_the_provider_is_down(
    connector: Connector, classic: RunningSandbox
) -> None:
    """An outage in the middle loses nothing: the token is tried again."""
    refresh_token = tokens_of(classic)["refresh_token"]
    classic.set_scenarios("text-500")
    with pytest.raises(Exception, match="500"):
        connector.adopt("practice-42", refresh_token)
    classic.set_scenarios()
    assert connector.access_token("practice-42")


def test_adopt_reports_a_lost_response(
    connector: Connector, classic: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the program died between the call and the store, the practice is not forgotten silently."""
    refresh_token = tokens_of(classic)["refresh_token"]
    real = TokenEndpoint.refresh

    def dies_with_the_response(self: TokenEndpoint, token: str) -> TokenSet:
        real(self, token)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(TokenEndpoint, "refresh", dies_with_the_response)
        with pytest.raises(SystemExit):
            connector.adopt("practice-42", refresh_token)
    with pytest.raises(GrantRefusedError):
        connector.access_token("practice-42")
    connection = connector.status("practice-42")
    events = [(event.kind, event.outcome) for event in connector.events()]
    assert (connection.state, connection.reason) == (ConnectionState.NEEDS_REPAIR, "answer_lost")
    assert ("complete", "answer_lost") in events


def test_a_call_that_was_never_sent_is_not_a_lost_response(
    connector: Connector, classic: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh token that was refused after an outage is reported as refused, and as nothing else."""

    def is_down(self: TokenEndpoint, token: str) -> TokenSet:
        raise ProviderUnavailableError("down", sent=False)

    with monkeypatch.context() as patch:
        patch.setattr(TokenEndpoint, "refresh", is_down)
        with pytest.raises(ProviderUnavailableError):
            connector.adopt("practice-42", "made!up")
    assert connector.status("practice-42").state is ConnectionState.DEGRADED
    with pytest.raises(GrantRefusedError):
        connector.adopt("practice-42", "made!up")
    assert [event.outcome for event in connector.events()] == ["grant_refused"]


def test_account_that_cannot_be_read_after_the_refresh(
    connector: Connector, classic: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New tokens whose account cannot be read at once are kept, and their account is read later."""
    refresh_token = tokens_of(classic)["refresh_token"]

    def is_down(*args: object, **kwargs: object) -> None:
        raise ProviderUnavailableError("down", answered=True)

    with monkeypatch.context() as patch:
        patch.setattr("connector.consent.account.read_account", is_down)
        with pytest.raises(ProviderUnavailableError, match="down"):
            connector.adopt("practice-42", refresh_token)
        with pytest.raises(ProviderUnavailableError, match="could not be read yet"):
            connector.access_token("practice-42")
    assert connector.repair("practice-42").connection.state is ConnectionState.CONNECTED
    assert classic.counters()["token:refresh_token"] == 1
