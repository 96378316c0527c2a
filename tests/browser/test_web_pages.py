"""Every page for people in a real browser: its look, its use by keyboard alone, and its updates."""

from __future__ import annotations

import os
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from connector.web.desk_server import DeskServer
from tests.support.connecting import connect
from tests.support.web_pages import PAGES, WebPages, web_pages

# With PICTURES=folder, the README's pictures are written to that folder.
PICTURES = {"code page, right": "code-page", "practice, connected": "practice", "desk, list": "desk"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebPages]:
    """The pages, and practices in every state."""
    with web_pages(tmp_path_factory.mktemp("pages")) as pages:
        yield pages


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, pages: WebPages) -> Iterator[Page]:
    """A browser that has opened the desk; nothing that runs on a page may fail."""
    failures: list[str] = []
    with chromium.new_context(locale="en-US", timezone_id="Europe/Berlin") as context:
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        pages.open_desk(page)
        yield page
        assert failures == []


@pytest.fixture
def page(signed_in: Page) -> Page:
    """The browser with a window as wide as on a desk."""
    signed_in.set_viewport_size({"width": 1000, "height": 760})
    signed_in.emulate_media(color_scheme="light")
    return signed_in


@pytest.mark.parametrize("name", PAGES)
def test_page_can_be_used_by_everybody(pages: WebPages, page: Page, name: str) -> None:
    """No rule of axe-core is broken and nothing has to be scrolled sideways, on a telephone and a desk."""
    PAGES[name](pages, page)
    if (folder := os.environ.get("PICTURES")) and name in PICTURES:
        taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp"})
        Path(folder, f"{PICTURES[name]}.webp").write_bytes(b64decode(taken["data"]))
    page.emulate_media(color_scheme="dark")
    for width, rules in ((360, {}), (1440, {"runOnly": ["color-contrast"]})):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page, **rules) == []
        page.emulate_media(color_scheme="light")


def violations(page: Page, **options: object) -> list[tuple[str, list[str]]]:
    """The rules of axe-core that the page breaks, each with the elements that break it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **options})[
        "violations"
    ]
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def test_used_link_leads_to_an_explanation(chromium: Browser, pages: WebPages, page: Page) -> None:
    """The file, opened a second time, leads to a page like the others that says what to do."""
    with chromium.new_context() as context:
        late = context.new_page()
        late.goto(pages.desk.link_file.as_uri())
        late.get_by_text("was used before").wait_for()
        assert violations(late) == []


def test_desk_is_opened_by_a_typed_word(chromium: Browser, pages: WebPages) -> None:
    """A browser that may not read the file: the word is typed, by keyboard alone."""
    with DeskServer(pages.connector) as desk, chromium.new_context() as context:
        threading.Thread(target=desk.run, daemon=True).start()
        page = context.new_page()
        page.goto(desk.open_url)
        assert violations(page) == []
        page.keyboard.type(desk.word)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{desk.url}/")
        assert page.get_by_role("heading", name="Practices").is_visible()


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something has the focus."""
    for _ in range(40):
        if focused(page) == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} cannot be reached by keyboard")


def test_desk_by_keyboard_alone(pages: WebPages, page: Page) -> None:
    """From the search to the copied link, without a mouse."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    pages.open_desk(page)
    page.locator("#q:focus").wait_for()  # Chromium sets the focus when it first draws the page
    page.keyboard.type("SOUND")
    page.get_by_role("link", name="broken").wait_for(state="detached")
    tab_to(page, "sound")
    page.keyboard.press("Enter")
    page.wait_for_url("**/practice?id=sound")
    tab_to(page, "Make a new link")
    page.keyboard.press("Enter")
    page.locator("#link-url").wait_for()
    tab_to(page, "Copy")
    page.keyboard.press("Enter")
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.input_value("#link-url")


def test_practice_page_by_keyboard_alone(pages: WebPages, page: Page) -> None:
    """The dialog takes the focus, Escape closes it, and the focus is where it was."""
    pages.of_practice(page, "new")
    tab_to(page, "Connect with a code")
    page.keyboard.press("Enter")
    assert focused(page) == "answer"
    page.keyboard.press("Escape")
    assert focused(page) == "Connect with a code"
    page.keyboard.press("Enter")
    page.keyboard.type("https://evil.test/?code=made-up")
    tab_to(page, "Ok")
    page.keyboard.press("Enter")
    page.get_by_text("This is an address of evil.test").wait_for()


def test_desk_follows_the_changes_of_others(pages: WebPages, page: Page) -> None:
    """The list and a practice's page follow at once, in the person's own time; the focus stays."""
    pages.open_desk(page, "/?q=broken")
    page.get_by_role("link", name="broken").focus()
    connect(pages.connector, pages.sandbox, "broken", who=pages.sandbox.other_practice)
    page.get_by_role("cell", name="Connected", exact=True).wait_for()
    assert focused(page) == "broken"
    since = pages.connector.status("broken").since
    assert since
    assert since.astimezone(ZoneInfo("Europe/Berlin")).strftime("%-I:%M") in page.inner_text("tbody time")
