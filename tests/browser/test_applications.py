"""The Applications page in a real Chromium: sign in, the square icon next to Ormco, confirm, removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from connector import ConnectionState
from connector.browser.applications import remove_application
from connector.errors import (
    AccountMismatchError,
    BrowserUnavailableError,
    ConnectorError,
    NobodyActedError,
    PageChangedError,
    ProviderUnavailableError,
    SettingError,
    WindowClosedError,
)
from tests.support.commands import COMMAND, printed
from tests.support.connecting import connect, opened, settings
from tests.support.sandbox import RunningSandbox
from tests.support.web_server import PageHandler, serving

PRACTICE = "practice-42"
Remove = Callable[..., bool]


@pytest.fixture
def remove(browser: str, one_browser: None, classic: RunningSandbox) -> Remove:
    """Remove Ormco without a window, signed in as the sandbox's practice."""
    credentials = (classic.practice.username, classic.practice.password)
    return partial(
        remove_application, classic.applications_page, credentials=credentials, headless=True, browser=browser
    )


def allow(sandbox: RunningSandbox) -> None:
    sandbox.authorize(sandbox.authorization_url())


def removed(sandbox: RunningSandbox) -> int:
    return sandbox.counters().get("applications_removed", 0)


def test_ormco_is_removed_and_not_listed_any_more(remove: Remove, classic: RunningSandbox) -> None:
    """Ormco is no longer listed, and a second visit finds nothing to remove."""
    allow(classic)
    assert remove(account=classic.practice.username)
    assert removed(classic) == 1
    assert not remove()
    assert removed(classic) == 1


def test_another_account_is_left_alone(remove: Remove, classic: RunningSandbox) -> None:
    """Nothing is removed from an account other than the connection's, known before or read from the page."""
    allow(classic)
    with pytest.raises(AccountMismatchError, match=classic.other_practice.username):
        remove(account=classic.other_practice.username)
    classic.set_scenarios("other-account")
    with pytest.raises(AccountMismatchError, match=classic.practice.username):
        remove(account=classic.practice.username)
    assert removed(classic) == 0


def test_outage_and_wrong_password_are_different_errors(
    remove: Remove, browser: str, classic: RunningSandbox
) -> None:
    """A provider that is down is not a page that has changed, and neither is a wrong password."""
    with pytest.raises(SettingError, match="user name or password"):
        remove(credentials=(classic.practice.username, "wrong"))
    classic.set_scenarios("outage")
    with pytest.raises(ProviderUnavailableError, match="502"):
        remove()
    with pytest.raises(ProviderUnavailableError, match="could not load"):
        remove_application("http://127.0.0.1:9/", headless=True, browser=browser)


def test_nobody_signs_in(classic: RunningSandbox, browser: str, one_browser: None) -> None:
    """The wait for a person ends, and nothing was removed."""
    with pytest.raises(NobodyActedError, match="not removed in time"):
        remove_application(classic.applications_page, headless=True, timeout=2, browser=browser)


LIST = """<!doctype html><title>x</title><h1>Applications</h1><table>
<tbody><tr><td>Ormco Test</td><td><a href="/wrong"><i>&#9633;</i></a></td></tr>
{row}<tr><td>Harbour</td><td><a href="/wrong"><i>&#9633;</i></a></td></tr></table>"""
PAGES = {
    # Icons without text, and a dialog of the browser.
    "native": """<tr><td>Ormco</td>
        <td><a href="#" onclick="if (confirm('Sure?')) location = '/gone'"><i>&#9633;</i></a></td></tr>""",
    # A list that is filled in after the page has loaded, and a dialog of the page.
    "late": """<template><tr><td>Ormco</td>
        <td><span role=button onclick="d.showModal()">&#9633;</span></td></tr></template>
        <script>setTimeout(() => document.querySelector("tbody").append(
            document.querySelector("template").content.cloneNode(true)), 900)</script>
        <dialog id=d>Really? <button onclick="location = '/gone'">Yes, delete it</button></dialog>""",
    # A dialog that closes by itself.
    "brief": """<tr><td>Ormco</td><td>
        <span role=button onclick="d.showModal(); setTimeout(() => d.close(), 4000)">&#9633;</span></td></tr>
        <dialog id=d>Really? <button onclick="location = '/gone'">Yes, delete it</button></dialog>""",
    # No button at all.
    "bare": "<tr><td>Ormco</td><td></td></tr>",
    # Two buttons, either of which may confirm.
    "two buttons": """<tr><td>Ormco</td><td><span role=button onclick="d.showModal()">&#9633;</span></td></tr>
        <dialog id=d>Really? <button onclick="location = '/wrong'">Remove all</button>
        <button onclick="location = '/gone'">Remove</button></dialog>""",
    # The removal by a person.
    "person": "<tr><td>Ormco</td><td><script>setTimeout(() => location = '/gone', 2000)</script></td></tr>",
}


@contextmanager
def applications_page(row: str) -> Iterator[tuple[str, list[str]]]:
    """A page that means the same and is built otherwise, and the paths that were requested."""
    asked: list[str] = []

    class Handler(PageHandler):
        def do_GET(self) -> None:  # noqa: N802 - of http.server
            asked.append(self.path)
            self.respond(200, LIST.format(row="" if self.path == "/gone" else row))

    with serving(Handler) as url:
        yield f"{url}/", asked


@pytest.mark.parametrize("layout", ["native", "late", "brief"])
def test_pages_with_another_layout(layout: str, browser: str, usual_timeouts: None) -> None:
    """Ormco is found by its name, its icon by its place; applications with similar names are not touched."""
    with applications_page(PAGES[layout]) as (url, asked):
        assert remove_application(url, headless=True, timeout=30, browser=browser)
        assert "/gone" in asked
        assert "/wrong" not in asked


@pytest.mark.parametrize(
    ("layout", "words"), [("bare", "icon next to Ormco"), ("two buttons", "more than one button")]
)
def test_page_without_a_clear_button(layout: str, words: str, browser: str, one_browser: None) -> None:
    """If an icon or one button that confirms is missing the error says so, and nothing else is pressed."""
    with applications_page(PAGES[layout]) as (url, asked):
        with pytest.raises(PageChangedError, match=words) as failure:
            remove_application(url, credentials=("a", "b"), headless=True, browser=browser)
    assert "by hand" in failure.value.hint
    assert "/wrong" not in asked


@pytest.mark.parametrize(
    ("end", "error", "words"),
    [("closing", WindowClosedError, "before Ormco"), ("crashing", BrowserUnavailableError, "ended")],
)
def test_page_that_ends_is_reported(
    end: str, error: type[ConnectorError], words: str, browser: str, request: pytest.FixtureRequest
) -> None:
    """If the window is closed, or the page crashes, that is reported at once, and nothing was removed."""
    request.getfixturevalue(end)
    with applications_page(PAGES["bare"]) as (url, asked), pytest.raises(error, match=words):
        remove_application(url, headless=True, browser=browser)
    assert "/gone" not in asked


@pytest.mark.usefixtures("one_browser")
def test_a_person_removes_ormco_in_a_window() -> None:
    """If the page looks different a person can continue, and the removal is detected."""
    with applications_page(PAGES["person"]) as (url, _):
        assert remove_application(url, timeout=60)


@pytest.fixture
def env(classic: RunningSandbox, store_url: str, browser: str, one_browser: None) -> dict[str, str]:
    """Settings with the practice's credentials, and a store in which the practice is connected."""
    env = settings(
        classic,
        store_url,
        ORMCO_BROWSER=browser,
        ORMCO_3SHAPE_USERNAME=classic.practice.username,
        ORMCO_3SHAPE_PASSWORD=classic.practice.password,
    )
    with opened(env) as connector:
        connect(connector, classic)
    return env


def state(env: dict[str, str]) -> ConnectionState:
    with opened(env) as connector:
        return connector.status(PRACTICE).state


def test_revoke_from_end_to_end(env: dict[str, str], classic: RunningSandbox) -> None:
    """`ormco revoke --headless` removes Ormco on the page, proves it and wipes the tokens."""
    done = printed(env, "revoke", PRACTICE, "--yes", "--headless")
    assert (done["method"], done["proved"], done["wiped"]) == ("applications_page", True, True)
    assert removed(classic) == 1
    assert state(env) is ConnectionState.REVOKED


def test_reconnect_from_end_to_end(env: dict[str, str], classic: RunningSandbox) -> None:
    """`ormco reconnect --headless` does the guide's whole repair: Applications page, consent, lab."""
    connection = printed(env, "reconnect", PRACTICE, "--yes", "--headless")
    assert (connection["state"], connection["token_generation"]) == ("connected", 2)
    assert removed(classic) == 1


def test_repair_from_end_to_end(env: dict[str, str], classic: RunningSandbox) -> None:
    """`ormco repair --headless` gives consent again in a fresh browser if the grant is dead."""
    classic.set_scenarios("revoked")
    classic.set_scenarios()
    assert printed(env, "repair", PRACTICE, "--headless")["step"] == "consent"


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_revoke_continues_after_a_stop_at_the_page(
    env: dict[str, str], classic: RunningSandbox, kill: signal.Signals, temporary_folder: Path
) -> None:
    """After Ctrl-C no browser profile is left; after Ctrl-C or a kill the next run continues."""
    with applications_page(PAGES["bare"]) as (url, asked):
        text = Path(classic.provider_file).read_text("utf-8")
        file = temporary_folder / "provider.toml"
        file.write_text(text.replace(classic.applications_page, url), "utf-8")
        program = subprocess.Popen(
            [*COMMAND, "revoke", PRACTICE, "--headless", "--yes"],
            env={**os.environ, **env, "ORMCO_PROVIDER": str(file)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not asked:
            assert program.poll() is None
            threading.Event().wait(0.1)
        program.send_signal(kill)
        status = program.wait(60)
    assert status == (-kill if kill is signal.SIGKILL else 130)
    assert state(env) is ConnectionState.REVOKING
    if kill is not signal.SIGKILL:
        assert not list(temporary_folder.glob("ormco-browser-*"))
    printed(env, "revoke", PRACTICE, "--yes", "--headless")
    assert state(env) is ConnectionState.REVOKED
