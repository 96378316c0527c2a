"""The example web application, with two worker processes, in a real browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from connector.browser.pages import communicate as pages
from tests.support.connecting import KEY, opened
from tests.support.stores import fresh_url

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EXAMPLE = Path(__file__).parents[2] / "scripts" / "example"
ALEX = ("alex", "example-alex")
ROBIN = ("robin", "example-robin")
TIMEOUT = 30


class Example:
    """The running example: its address, the sandbox behind it, and its access log."""

    def __init__(self, lines: list[str], log: Path) -> None:
        self.text = text = "\n".join(lines)
        self.url = _found(r"The example: (\S+)", text)
        self.sandbox = _found(r"3Shape, imitated: (\S+)/portal", text)
        self.practice = (
            _found(r"sign in there as (\S+),", text),
            _found(r"there as \S+, password (\S+)", text),
        )
        self._log = log
        self._log_begins = 0

    def reset(self, store: dict[str, str]) -> None:
        """Delete the traces of an earlier test: at 3Shape, in the store, and in the log."""
        requests.post(f"{self.sandbox}/sandbox/control", json={"reset": True}, timeout=TIMEOUT)
        with opened(store) as connector:
            for connection in connector.connections():
                connector.forget(connection.practice_id)
        self._log_begins += len(self.log)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")[self._log_begins :]

    def counters(self) -> dict[str, int]:
        response = requests.get(f"{self.sandbox}/sandbox/control", timeout=TIMEOUT).json()
        counters: dict[str, int] = response["counters"]
        return counters


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


@contextmanager
def running_example(tmp_path: Path, *arguments: str, **environment: str) -> Iterator[Example]:
    """Start it with two workers on a free port; stop it as a service manager would."""
    log = tmp_path / "example.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, str(EXAMPLE), "--port", "0", "--workers", "2", *arguments],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        try:
            yield Example(lines, log)
        finally:
            process.terminate()
            process.wait(TIMEOUT)
            print(log.read_text(encoding="utf-8"))  # noqa: T201 - shown if the test fails


@pytest.fixture(scope="module")
def shared_example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Example, dict[str, str]]]:
    """The example on SQLite, and its store's settings; one for all tests that do not look at its end."""
    folder = tmp_path_factory.mktemp("example")
    store = {"ORMCO_STORE": f"sqlite:///{folder}/connections.db", "ORMCO_STORE_KEYS": KEY}
    with running_example(folder, **store) as running:
        yield running, store


@pytest.fixture
def example(shared_example: tuple[Example, dict[str, str]]) -> Example:
    """The example on SQLite, without a connection."""
    running, store = shared_example
    running.reset(store)
    return running


@pytest.fixture
def session(chromium: Browser, example: Example) -> Iterator[Callable[[], Page]]:
    """Sign in to the example in a session of its own; returns its profile page."""
    with ExitStack() as opened:

        def begin() -> Page:
            own = opened.enter_context(chromium.new_context())
            own.set_default_timeout(TIMEOUT * 1000)
            return sign_in(own.new_page(), example)

        yield begin


def sign_in(page: Page, example: Example) -> Page:
    page.goto(example.url)
    page.get_by_label("User name").fill(ALEX[0])
    page.get_by_label("Password").fill(ALEX[1])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="3Shape TRIOS").wait_for()
    return page


def consent(page: Page, example: Example) -> None:
    pages.sign_in(page, *example.practice)
    pages.press(page, pages.ALLOW)


def connect(page: Page, example: Example, button: str = "Connect") -> None:
    page.get_by_role("button", name=button, exact=True).click()
    consent(page, example)
    assert message(page) == f"Connected to {example.practice[0]}."


def copied_address(page: Page, example: Example) -> str:
    """Go through the paste dialog's "here", in another tab; return the address that the tab ends on."""
    page.get_by_role("button", name="Connect with a code").click()
    with page.expect_popup() as popup:
        page.get_by_role("button", name="here").click()
    tab = popup.value
    with tab.expect_request("https://ormco.com/**") as landing:
        consent(tab, example)
    tab.close()
    return landing.value.url


def remove_ormco(page: Page, example: Example) -> None:
    tab = page.context.new_page()
    tab.goto(f"{example.sandbox}/User/Applications")
    tab.get_by_role("button", name="Remove Ormco").click()
    tab.get_by_role("button", name="Delete").click()
    tab.get_by_text("You have not authorized any application").wait_for()
    tab.close()


def message(page: Page) -> str:
    """The page's message about the last step."""
    page.locator(".message").first.wait_for()
    return page.locator(".message").first.inner_text()


def state(page: Page) -> str:
    return page.locator(".state").inner_text()


def test_connect_and_come_back(session: Callable[[], Page], example: Example) -> None:
    """Any worker takes the redirect; the code is in no address, page, referrer or log afterwards."""
    page = session()
    asked: list[tuple[str, str]] = []
    page.on("request", lambda request: asked.append((request.url, request.headers.get("referer", ""))))
    connect(page, example)
    response = next(url for url, _ in asked if "/connected?" in url)
    code = _found(r"code=([^&]+)", response)
    assert state(page) == "Connected"
    assert page.url == f"{example.url}/3shape/"
    assert code not in page.content() + page.evaluate("document.referrer")
    assert [url for url, referrer in asked if code in referrer or (code in url and url != response)] == []
    assert "GET /3shape/connected 303" in example.log
    assert "?" not in example.log
    assert code not in example.log


def test_paste_anything(session: Callable[[], Page], example: Example) -> None:
    """The address that another tab ended on is taken as it was copied, in a sentence too."""
    page = session()
    address = copied_address(page, example)
    page.get_by_label("Address or code").fill(f"This came up: <{address}>, is that right?")
    page.get_by_role("button", name="Ok").click()
    page.get_by_text("Connected to").wait_for()
    assert state(page) == "Connected"


def test_a_dead_connection_shows_up_and_is_repaired(session: Callable[[], Page], example: Example) -> None:
    """When any session or process finds the connection dead, an open page shows it; *Repair* repairs it."""
    page, elsewhere = session(), session()
    connect(page, example)
    elsewhere.get_by_text("Connected", exact=True).wait_for()  # the page reloads by itself
    remove_ormco(page, example)
    elsewhere.get_by_role("button", name="Test").click()
    page.get_by_text("Needs repair", exact=True).wait_for()
    assert page.get_by_text("The connection needs repair").count() == 1
    page.context.clear_cookies(name=re.compile("^sandbox-"))
    connect(page, example, "Repair")
    assert state(page) == "Connected"
    elsewhere.get_by_role("heading", name="3Shape TRIOS").wait_for()


def test_every_worker_shows_changes_of_the_others(chromium: Browser, tmp_path: Path) -> None:
    """Each worker process shows, on PostgreSQL too, what another one has done; all end together."""
    store = fresh_url("postgresql", tmp_path)
    with running_example(tmp_path, ORMCO_STORE=store) as example, chromium.new_page() as page:
        sign_in(page, example)
        connect(page, example)
        workers: set[str] = set()
        while len(workers) < 2:
            page.reload()
            assert state(page) == "Connected"
            workers = set(re.findall(r"worker (\d+): GET /3shape/ 200", example.log))
    with pytest.raises(requests.ConnectionError):
        requests.get(example.url, timeout=TIMEOUT)


def test_requests_of_other_sites_and_strangers_are_refused(example: Example) -> None:
    """Forms of other sites, other host names and strangers get nothing and no session; no code is logged."""

    def send(method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(
            method, f"{example.url}{path}", timeout=TIMEOUT, allow_redirects=False, **options
        )

    for path in ("connect", "paste", "repair", "disconnect"):
        assert send("POST", f"/3shape/{path}").status_code == 400
    for name in ("evil.example", "127.0.0.1", "127.0.0.1:1"):
        assert send("GET", "/3shape/", headers={"Host": name}).status_code == 400
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        response = send("POST", "/", data={"user": ROBIN[0], "password": ROBIN[1]}, headers=headers)
        assert (response.status_code, dict(response.cookies)) == (400, {})
    assert send("GET", "/3shape/connected?code=made-up-code&state=x").status_code == 401
    assert send("GET", "/3shape/events").status_code == 401
    wrong = send("POST", "/", data={"user": "alex", "password": "wrong"})
    assert "is not right" in wrong.text
    assert "made-up-code" not in example.log


def test_signing_out_ends_the_session_on_the_server(example: Example) -> None:
    """A copy of the cookie opens nothing afterwards; the cookie does not contain the user name."""
    with requests.Session() as person:
        person.post(example.url, data={"user": ALEX[0], "password": ALEX[1]}, timeout=TIMEOUT)
        copy = dict(person.cookies)
        assert requests.get(f"{example.url}/3shape/", cookies=copy, timeout=TIMEOUT).status_code == 200
        person.post(f"{example.url}/sign-out", timeout=TIMEOUT)
    assert requests.get(f"{example.url}/3shape/", cookies=copy, timeout=TIMEOUT).status_code == 401
    assert all(ALEX[0] not in value for value in copy.values())


def test_cookies_and_headers_behind_tls(tmp_path: Path) -> None:
    """Behind TLS the session's cookie belongs to this host alone, and browsers come back by TLS only."""
    with running_example(tmp_path, "--workers", "1", "--url", "https://practice.example") as example:
        port = int(_found(r"its Host to http://127.0.0.1:(\d+)", example.text))
        response = requests.post(
            f"http://127.0.0.1:{port}/",
            data={"user": ALEX[0], "password": ALEX[1]},
            headers={"Host": "practice.example"},
            timeout=TIMEOUT,
            allow_redirects=False,
        )
    assert response.headers["Set-Cookie"].startswith("__Host-example-practice.example=")
    assert "; Secure; HttpOnly; Path=/; SameSite=Lax" in response.headers["Set-Cookie"]
    assert "Strict-Transport-Security" in response.headers
