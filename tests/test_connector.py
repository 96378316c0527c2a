"""The connector as a program builds on it: by overriding, with odd settings, and after its end."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import subprocess
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connector import Config, Connector
from connector.errors import ConnectorError, SettingError, StoreDamagedError
from tests.support.applications import no_capture
from tests.support.commands import printed, run
from tests.support.connecting import connect, opened, stored
from tests.support.frames import secrets_in_frames
from tests.support.sandbox import RunningSandbox
from tests.support.stores import put


class Recording(Connector):
    """Returns a token of its own, and records the calls."""

    def access_token(self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None) -> str:
        return f"AT-of-{practice_id}"


def test_an_overridden_access_token_is_what_a_session_sends(
    classic: RunningSandbox, env: dict[str, str]
) -> None:
    """A subclass that overrides `access_token` is called wherever the token is needed."""
    with Recording.from_config(Config.from_env(env)) as connector:
        response = connector.session("p").get(f"{classic.url}/api/users/me")
    assert response.request.headers["Authorization"] == "Bearer AT-of-p"


def test_nothing_is_handed_out_after_close(connector: Connector, env: dict[str, str]) -> None:
    """Every call of a closed connector is an error, also for a token in memory."""
    with stored(env) as store:
        put(store, "p")
    assert connector.access_token("p") == "at-p-0"
    connector.close()
    for attempt in (lambda: connector.access_token("p"), lambda: connector.refresh("p", force=True)):
        with pytest.raises(ConnectorError, match="closed"):
            attempt()


def functions_in_memory() -> int:
    """How many functions of this package there are, those in closures included."""
    gc.collect()
    return sum(
        isinstance(one, FunctionType) and (one.__module__ or "").startswith("connector.")
        for one in gc.get_objects()
    )


def test_connectors_that_are_gone_leave_nothing_behind(env: dict[str, str]) -> None:
    """A program that makes a connector for each job does not grow with each one."""

    def make() -> None:
        with opened(env) as connector:
            connector.connections(needs_attention=True)
            connector.prepare()

    make()
    before = functions_in_memory()
    for _ in range(20):
        make()
    assert functions_in_memory() <= before


CALLS: dict[str, Callable[[Connector, Any], object]] = {
    "begin": lambda connector, text: connector.begin(text),
    "begin-binding": lambda connector, text: connector.begin("p", binding=text),
    "begin-redirect": lambda connector, text: connector.begin("p", redirect_uri=text),
    "begin-account": lambda connector, text: connector.begin("p", expected_account=text),
    "complete": lambda connector, text: connector.complete("https://ormco.com/?code=x", practice_id=text),
    "complete-binding": lambda connector, text: connector.complete("https://ormco.com/?code=x", binding=text),
    "complete-url": lambda connector, text: connector.complete(text),
    "confirm_account": lambda connector, text: connector.confirm_account(text, account_id="x"),
    "reject_account": lambda connector, text: connector.reject_account(text),
    "access_token": lambda connector, text: connector.access_token(text),
    "token": lambda connector, text: connector.token(text),
    "refresh": lambda connector, text: connector.refresh(text),
    "session": lambda connector, text: connector.session(text).get(connector.token_origins()[0]),
    "adopt": lambda connector, text: connector.adopt(text, "made-up"),
    "status": lambda connector, text: connector.status(text),
    "repair": lambda connector, text: connector.repair(text, interactive=False),
    "revocation_steps": lambda connector, text: connector.revocation_steps(text),
    "confirm_revoked": lambda connector, text: connector.confirm_revoked(text),
    "revoke": lambda connector, text: connector.revoke(text, interactive=False),
    "reconnect": lambda connector, text: connector.reconnect(text, capture=no_capture),
    "forget": lambda connector, text: connector.forget(text),
    "lab.status": lambda connector, text: connector.lab.status(text),
    "cases.list": lambda connector, text: list(connector.cases.list(text)),
    "acting_as": lambda connector, text: connector.acting_as(text).begin(text),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_that_are_not_ids(connector: Connector, name: str) -> None:
    """Any value in place of an id or another text raises an error of this package."""
    for text in ("a\0b", "\ud800", "", "x" * 300, b"x", 7, None):
        is_fine = "-" in name and (text is None or text == "x" * 300 or text == "")
        with contextlib.suppress(ConnectorError):
            CALLS[name](connector, text)
            assert is_fine, repr(text)


@pytest.mark.parametrize("call", ["token", "access_token"])
@pytest.mark.parametrize("min_ttl", ["60", None, b"", [], float("nan"), 10**400])
def test_invalid_min_ttl(connector: Connector, env: dict[str, str], call: str, min_ttl: Any) -> None:
    """It is refused with an error of this package, whether or not a token is in memory."""
    with stored(env) as store:
        put(store, "p")
    for _ in range(2):
        with pytest.raises(SettingError):
            getattr(connector, call)("p", min_ttl=min_ttl)
        connector.access_token("p")
    with pytest.raises(SettingError):
        connector.access_token([])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a\0b", "\ud800", b"x", 7])
def test_searches_for_values_that_are_not_text(connector: Connector, text: Any) -> None:
    """A search for a value that is no text raises an error of this package, not of the database."""
    for call in (
        lambda: connector.search(text),
        lambda: connector.events(practice_id=text),
        lambda: list(connector.doctor(text, only=[])),
        lambda: connector.open_requests(text),
        lambda: connector.unconfirmed_account(text),
    ):
        with pytest.raises(SettingError):
            call()


@pytest.mark.parametrize(
    "fault", ["outage", "text-500", "lost-answer", "revoked", "wrong-binding", "bad-code"]
)
def test_no_secret_is_left_in_the_frames_of_an_error(
    sandbox: RunningSandbox, connector: Connector, fault: str
) -> None:
    """A reporter that collects local variables finds no code, state, address, token or session secret."""
    request = connector.begin("q", binding="the-session")
    url = sandbox.authorize(request.url, who=sandbox.other_practice)
    query = parse_qs(urlsplit(url).query)
    secrets = [url, query["code"][0], query["state"][0], "the-session", "made-up-refresh"]
    connect(connector, sandbox)
    old = connector.access_token("practice-42")
    sandbox.set_scenarios(*([] if "-b" in fault or "bad" in fault else [fault]))
    url = url.replace("code=", "code=x") if fault == "bad-code" else url
    binding = "the-session" + ("-of-another" if fault == "wrong-binding" else "")
    for call in (
        lambda: connector.complete(url, binding=binding),
        lambda: connector.adopt("r", "made-up-refresh-token"),
        lambda: connector.token("practice-42", rejected=old),
        lambda: connector.refresh("practice-42", force=True),
    ):
        try:
            call()
        except ConnectorError as exc:
            found = secrets_in_frames(exc, *secrets, old)
            assert found == []


def test_a_connector_that_is_never_closed_prints_nothing() -> None:
    """What was prepared for a fork prints nothing when the program ends."""
    program = "from connector import Config, Connector; connector = Connector.from_config(Config())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


DAMAGE = ["state = 'odd'", "since = 1e300", "expires_at = 'x'", "generation = X'00'", "account_email = X'ff'"]


def damaged(env: dict[str, str], change: str) -> None:
    """Store three connections, and change the row of the second by hand."""
    with stored(env) as store:
        for name in ("p", "q", "r"):
            put(store, name)
        store.database.apply([(f"UPDATE ormco_connections SET {change} WHERE practice_id = 'q'", ())])


@pytest.mark.parametrize("change", DAMAGE)
def test_one_damaged_row_is_listed_as_damaged(env: dict[str, str], connector: Connector, change: str) -> None:
    """The others are listed beside it, its use is an error, and it can be forgotten."""
    damaged(env, change)
    for found in (connector.connections(), connector.search()):
        shown = {each.practice_id: each.reason for each in found}
        assert shown == {"p": None, "q": "damaged", "r": None}
    assert (connector.status("q").state, connector.status("q").reason) == ("needs_repair", "damaged")
    for attempt in (lambda: connector.refresh("q", force=True), lambda: connector.access_token("q")):
        with pytest.raises(StoreDamagedError):
            attempt()
    connector.forget("q")
    assert [each.practice_id for each in connector.connections()] == ["p", "r"]


def test_status_shows_a_damaged_row(env: dict[str, str]) -> None:
    """The command lists it beside the others, as text and as JSON, with the command that helps."""
    damaged(env, "state = 'odd'")
    for args in (["status"], ["status", "q"]):
        result = run(env, *args)
        assert "is damaged" in result.output
        assert "ormco forget q" in result.output
    shown = [
        (each["reason"], each["next"], each["since"] is None)
        for each in printed(env, "status")["connections"]
    ]
    assert shown == [(None, None, False), ("damaged", "ormco forget q", True), (None, None, False)]


FIELDS = [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize("field", FIELDS)
def test_settings_of_a_wrong_type(field: str) -> None:
    """Each setting is checked when the settings are made, and named."""
    wrong: list[Any] = [b"x", 7 + 1j, ["x"], object(), "a\0b", "\ud800"]
    for value in wrong:
        with pytest.raises(SettingError, match=field):
            Config(**{field: value})
