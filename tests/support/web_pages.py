"""Every page for people, in every state that it has: served for a browser by a sandbox and a connector."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from waitress.server import create_server

from connector import Config, Connector, ConnectorError
from connector.web import practice_pages
from connector.web.code_page import code_page, landing_page
from connector.web.desk_server import DeskServer
from tests.support.codes import CODE
from tests.support.connecting import connect, kill_grant, settings
from tests.support.sandbox import RunningSandbox, running_sandbox
from tests.support.stores import fresh_url

if TYPE_CHECKING:
    from playwright.sync_api import Page


_ADDRESS = f"https://ormco.com/?code={CODE}&state=x"


class WebPages:
    """The addresses of the pages; without a practice no person is signed in to the practice page."""

    def __init__(self, stack: ExitStack, sandbox: RunningSandbox, folder: Path) -> None:
        config = Config.from_env(settings(sandbox, fresh_url("sqlite", folder)))
        self.sandbox = sandbox
        self.folder = folder
        self.connector = stack.enter_context(Connector.from_config(config, proactive=False))
        self.practice: str | None = None
        self._is_open = False
        self.desk = stack.enter_context(DeskServer(self.connector))
        app = Flask("backend")
        app.secret_key = "made up, for a test"
        pages = practice_pages(self.connector, practice_of=lambda request: self.practice, hosts=None)
        app.register_blueprint(pages)
        server: Any = create_server(app, host="127.0.0.1", port=0)
        stack.callback(server.close)
        self.practice_url = f"http://127.0.0.1:{server.effective_port}/"
        for run in (self.desk.run, server.run):
            threading.Thread(target=run, daemon=True).start()

    def open_desk(self, page: Page, path: str = "/") -> None:
        """Show a page of the desk, opening it by its file the first time."""
        if not self._is_open:
            page.goto(self.desk.link_file.as_uri())
            page.wait_for_url(f"{self.desk.url}/")
            self._is_open = True
        page.goto(self.desk.url + path)

    def file(self, page: Page, name: str, html: str) -> None:
        """Show one of the pages that are files."""
        path = self.folder / name
        path.write_text(html, "utf-8")
        page.goto(path.as_uri())

    def of_practice(self, page: Page, practice: str | None, path: str = "") -> None:
        """Show a practice's page."""
        self.practice = practice
        page.goto(self.practice_url + path)


@contextmanager
def web_pages(folder: Path) -> Iterator[WebPages]:
    """Serve the pages; the practices are `sound`, `broken`, `waiting` and, not connected, `new`."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(running_sandbox("classic", redirect_uris=["https://ormco.com/"]))
        pages = WebPages(stack, sandbox, folder)
        begun = pages.connector.begin("waiting")
        response = sandbox.authorize(begun.url, who=sandbox.lab)
        with suppress(ConnectorError):  # no person has confirmed the account
            pages.connector.complete(response.partition("&state=")[0], practice_id="waiting")
        connect(pages.connector, sandbox, "broken", who=sandbox.other_practice)
        kill_grant(pages.connector, sandbox, "broken")
        connect(pages.connector, sandbox, "sound")
        pages.connector.lab.request("sound")
        yield pages


def _pasted(text: str) -> Callable[[WebPages, Page], None]:
    def show(pages: WebPages, page: Page) -> None:
        pages.file(page, "code.html", code_page("https://ormco.com/"))
        page.fill("#paste", text)

    return show


def _of(practice: str | None, path: str = "") -> Callable[[WebPages, Page], None]:
    return lambda pages, page: pages.of_practice(page, practice, path)


def _desk(path: str) -> Callable[[WebPages, Page], None]:
    return lambda pages, page: pages.open_desk(page, path)


def _pasting(pages: WebPages, page: Page) -> None:
    pages.of_practice(page, "new")
    page.get_by_role("button", name="Connect with a code").click()


def _out_of_date(pages: WebPages, page: Page) -> None:
    pages.of_practice(page, "sound")
    page.evaluate("document.querySelectorAll('[name=form_token]').forEach(field => field.value = 'x')")
    page.get_by_role("button", name="Test").click()
    page.get_by_text("out of date").wait_for()


def _desk_after(practice: str, button: str, shown: str) -> Callable[[WebPages, Page], None]:
    def bring(pages: WebPages, page: Page) -> None:
        pages.open_desk(page, f"/practice?id={practice}")
        page.get_by_role("button", name=button).click()
        page.locator(shown).wait_for()

    return bring


# The content of a page → the function that brings a browser to it.
PAGES: dict[str, Callable[[WebPages, Page], None]] = {
    "code page, empty": _pasted(""),
    "code page, right": _pasted(_ADDRESS),
    "code page, wrong": _pasted(_ADDRESS[:-60]),
    "code page, unchecked": _pasted("https://ormco.com/?code=0a1b2c3d4e5f"),
    "landing page": lambda pages, page: pages.file(page, "landing.html", landing_page("https://ormco.com/")),
    "practice, new": _of("new"),
    "practice, pasting": _pasting,
    "practice, connected": _of("sound"),
    "practice, broken": _of("broken"),
    "practice, waiting": _of("waiting"),
    "practice, disconnect": _of("sound", "disconnect"),
    "practice, signed out": _of(None),
    "practice, no such page": _of("sound", "nothing"),
    "practice, out of date": _out_of_date,
    "desk, list": _desk("/"),
    "desk, nothing found": _desk("/?q=zzz"),
    "desk, connected": _desk_after("sound", "Show", "text=No cases"),
    "desk, broken": _desk("/practice?id=broken"),
    "desk, waiting": _desk("/practice?id=waiting"),
    "desk, link": _desk_after("new", "Make a link", "#link-url"),
    "desk, revoke": _desk("/practice/revoke?id=sound"),
    "desk, reconnect": _desk("/practice/revoke?id=sound&then=connect"),
    "desk, no such page": _desk("/nothing"),
}
