"""Taking over a grant that another program holds."""

from __future__ import annotations

import pytest

from connector import Config, ConnectionState, Connector
from connector.errors import AccountMismatchError, ConnectionNotFoundError, GrantRefusedError
from tests.support.connecting import granted_tokens, settings
from tests.support.sandbox import RunningSandbox


@pytest.fixture
def connector(classic: RunningSandbox, store_url: str) -> Connector:
    return Connector.from_config(Config.from_env(settings(classic, store_url)))


def test_adopt_makes_a_connection(connector: Connector, classic: RunningSandbox) -> None:
    """A refresh token of another program becomes a connection with its account, and a working token."""
    with connector:
        connection = connector.adopt("practice-42", granted_tokens(classic)["refresh_token"])
        answer = connector.session("practice-42").get(f"{classic.url}/api/users/me")
    assert connection.state is ConnectionState.CONNECTED
    assert connection.account is not None
    assert connection.account.email == classic.practice.username
    assert answer.status_code == 200


def test_adopt_refuses_a_dead_token(connector: Connector) -> None:
    """A token that the provider refuses leaves nothing behind."""
    with connector:
        with pytest.raises(GrantRefusedError):
            connector.adopt("practice-42", "made!up")
        with pytest.raises(ConnectionNotFoundError):
            connector.status("practice-42")


def test_adopt_refuses_another_account(connector: Connector, classic: RunningSandbox) -> None:
    """A token of another account than expected is not kept."""
    with connector:
        with pytest.raises(AccountMismatchError, match="not by other@practice.test"):
            connector.adopt(
                "practice-42",
                granted_tokens(classic)["refresh_token"],
                expected_account="other@practice.test",
            )
        assert list(connector.connections()) == []


def test_adopt_keeps_a_token_while_the_provider_is_down(
    connector: Connector, classic: RunningSandbox
) -> None:
    """An outage in the middle loses nothing: the token is tried again."""
    refresh_token = granted_tokens(classic)["refresh_token"]
    classic.set_scenarios("text-500")
    with connector:
        with pytest.raises(Exception, match="500"):
            connector.adopt("practice-42", refresh_token)
        classic.set_scenarios()
        assert connector.access_token("practice-42")
