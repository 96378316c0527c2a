"""The connector as a program builds on it: by overriding, with odd settings, and after its end."""

from __future__ import annotations

import pytest

from connector import Config, Connector
from connector.errors import ConnectorError, SettingError
from tests.support.connecting import settings
from tests.support.sandbox import RunningSandbox
from tests.support.stores import put, store_at


class Recording(Connector):
    """Hands out a token of its own, and notes who asked."""

    def access_token(self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None) -> str:
        return f"AT-of-{practice_id}"


def test_an_overridden_access_token_is_what_a_session_sends(classic: RunningSandbox, store_url: str) -> None:
    """A subclass that overrides `access_token` is asked wherever the token is needed."""
    with Recording.from_config(Config.from_env(settings(classic, store_url))) as connector:
        answer = connector.session("p").get(f"{classic.url}/api/users/me")
    assert answer.request.headers["Authorization"] == "Bearer AT-of-p"


def test_nothing_is_handed_out_after_close(classic: RunningSandbox, store_url: str) -> None:
    """A closed connector answers no question, with a token it has in memory neither."""
    store = store_at(store_url, keys=settings(classic, store_url)["ORMCO_STORE_KEYS"])
    put(store, "p")
    store.close()
    with Connector.from_config(Config.from_env(settings(classic, store_url))) as connector:
        assert connector.access_token("p") == "at-p-0"
    for attempt in (lambda: connector.access_token("p"), lambda: connector.refresh("p", force=True)):
        with pytest.raises(ConnectorError, match="closed"):
            attempt()


@pytest.mark.parametrize("practice_id", ["a\0b", "\ud800", "", "x" * 300])
def test_ids_that_no_practice_has(classic: RunningSandbox, store_url: str, practice_id: str) -> None:
    """Whatever is passed as an id, the error is one of this package's."""
    with Connector.from_config(Config.from_env(settings(classic, store_url))) as connector:
        for call in (connector.access_token, connector.status, connector.refresh, connector.begin):
            with pytest.raises(ConnectorError):
                call(practice_id)


def test_a_secret_of_another_type() -> None:
    """A plain text in place of a `Secret` is an error that says so, without showing it."""
    with pytest.raises(SettingError, match="client_secret") as caught:
        Config(client_secret="made-up")  # type: ignore[arg-type]
    assert "made-up" not in f"{caught.value} {caught.value.hint}"
