"""What a library call leaves behind when it fails: nothing that a reporter of local variables could send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from connector import AsyncConnector, Config, Connector
from connector.errors import ConnectorError, ConsentDeniedError, StateMismatchError
from tests.support.connecting import settings
from tests.support.frames import secrets_in_frames
from tests.support.sandbox import RunningSandbox

PRACTICE, SESSION = "practice-42", "the-session's-own-secret"


def secrets_of(response: str) -> list[str]:
    """Return the secrets of a response, as they are written there and as they are sent."""
    query = urlsplit(response).query
    written = [part.partition("=")[2] for part in query.split("&")]
    return [SESSION, *written, *(value for values in parse_qs(query).values() for value in values)]


def as_another(response: str) -> dict[str, str]:
    return {"redirect_url": response, "binding": f"{SESSION}-of-another"}


def stale(response: str) -> dict[str, str]:
    return {"redirect_url": f"{response}x", "binding": SESSION}


@pytest.mark.parametrize("change", [as_another, stale])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_refused_response_is_in_no_local_variable(
    classic: RunningSandbox, store_url: str, change: Callable[[str], dict[str, str]], is_async: bool
) -> None:
    """Neither the code, nor the state, nor the session's secret."""
    config = Config.from_env(settings(classic, store_url))
    with Connector.from_config(config) as connector:
        response = classic.authorize(connector.begin(PRACTICE, binding=SESSION).url)
        complete = partial(run_completed, config) if is_async else connector.complete
        with pytest.raises(StateMismatchError) as caught:
            complete(**change(response))
    assert secrets_in_frames(caught.value, *secrets_of(response)) == []


def run_completed(config: Config, **given: str) -> None:
    asyncio.run(completed(config, **given))


async def completed(config: Config, **given: str) -> None:
    async with AsyncConnector.from_config(config) as connector:
        await connector.complete(given.pop("redirect_url"), binding=given.pop("binding"))


def test_a_callback_keeps_its_own_local_variables(connector: Connector) -> None:
    """An exception of the caller's own code is reported with its local variables, as everywhere else."""

    def capture(url: str, *, redirect_uri: str) -> str:
        step = "asking"
        raise ConsentDeniedError(f"no, while {step}")

    with pytest.raises(ConsentDeniedError) as caught:
        connector.connect(PRACTICE, capture=capture)
    frames = [entry.frame.f_locals for entry in caught.traceback if entry.name == "capture"]
    assert [frame["step"] for frame in frames] == ["asking"]


@pytest.mark.parametrize("query", ["?nonsense=1", "?port=x"])
def test_an_address_of_a_database_leaves_no_password(classic: RunningSandbox, query: str) -> None:
    """Not even in the frames of the driver, which quotes what it cannot read."""
    env = settings(classic, f"postgresql://me:made-up-word@127.0.0.1:1/x{query}")
    with Connector.from_config(Config.from_env(env)) as connector:
        for ask in (connector.status, connector.access_token):
            with pytest.raises(ConnectorError) as caught:
                ask(PRACTICE)
            assert secrets_in_frames(caught.value, "made-up-word") == []


def test_a_session_without_a_response_leaves_no_token(connector: Connector, classic: RunningSandbox) -> None:
    """The error is of requests, as its users expect, and the token is in none of its frames."""
    connector.complete(classic.authorize(connector.begin(PRACTICE).url), practice_id=PRACTICE)
    token, session = connector.access_token(PRACTICE), connector.session(PRACTICE)
    classic.set_scenarios("slow")
    with pytest.raises(requests.RequestException) as caught:
        session.get(f"{classic.url}/api/users/me", timeout=0.05)
    assert secrets_in_frames(caught.value, token) == []
