"""The code page and the landing page, in a real browser."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from connector.web.code_page import code_page, landing_page
from tests.support.code_pages import REDIRECT_URI, Parser, page_parser, read_by_python
from tests.support.codes import CODE, OPAQUE, encoded
from tests.support.pastes import pastes
from tests.support.redirects import ACCEPTED, REFUSED, Row
from tests.support.web_server import PageHandler, serving

URL = f"https://ormco.com/?code={encoded(CODE, 2)}&state=zz9"
DIALOG_CODE = encoded(CODE, 1)
Site = tuple[str, list[tuple[str, str | None]]]


@pytest.fixture
def page(chromium: Browser, tmp_path: Path) -> Iterator[Page]:
    """The code page, opened from the disk, where nothing may be contacted; nothing on it may fail."""
    file = tmp_path / "code.html"
    file.write_text(code_page(REDIRECT_URI), "utf-8")
    failures: list[str] = []
    with chromium.new_context(locale="en-US") as context:
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda message: failures.append(message.text))
        page.on(
            "request", lambda request: failures.append(request.url) if request.url != file.as_uri() else None
        )
        page.goto(file.as_uri())
        yield page
        assert failures == []


def shown(page: Page) -> tuple[str | None, str | None, str]:
    """The state, the kind and the code that the page shows."""
    body = page.locator("body")
    code = page.locator("#code").text_content() or ""
    return body.get_attribute("data-state"), body.get_attribute("data-kind"), code


@pytest.fixture(scope="module")
def parser(chromium: Browser) -> Iterator[Parser]:
    """The page's parser, for many texts at once."""
    with page_parser(chromium) as parse:
        yield parse


@pytest.fixture(scope="module")
def golden(parser: Parser) -> dict[str, list[Any]]:
    """The page's result for each text of the golden table."""
    texts = [row.values[0].text for row in (*ACCEPTED, *REFUSED)]
    return dict(zip(texts, parser(texts), strict=True))


def test_golden_pastes_are_read_alike(golden: dict[str, list[Any]]) -> None:
    """The page finds in each paste the code that `parse_redirect` finds, or refuses it in the same words."""
    for parameters in (*ACCEPTED, *REFUSED):
        row: Row = parameters.values[0]
        assert golden[row.text] == read_by_python(row.text), parameters.id
        assert golden[row.text][0] == (row.error or row.code), parameters.id


@settings(max_examples=10, suppress_health_check=list(HealthCheck), deadline=None, phases=[Phase.generate])
@given(st.lists(pastes(), min_size=20, max_size=40))
def test_random_pastes_are_read_alike(parser: Parser, texts: list[str]) -> None:
    """Any paste has the same verdict, code and words on the page and in Python."""
    assert parser(texts) == [read_by_python(text) for text in texts]


def test_page_shows_the_code_at_once(page: Page) -> None:
    """A paste is read at once, and the dialog's form of its code can be copied."""
    assert shown(page) == ("empty", None, "")
    page.fill("#paste", f"Hi, this is what I got: <{URL}> Thanks")
    assert shown(page) == ("ok", None, DIALOG_CODE)
    assert "359 of 359 characters" in page.inner_text("#message")
    assert page.locator("#copy").is_enabled()


def test_page_says_what_is_wrong(page: Page) -> None:
    """A damaged code is refused with the reason and the remedy, and cannot be copied."""
    page.fill("#paste", URL.partition("&")[0][:-14])
    assert shown(page) == ("refused", "code_damaged", "")
    assert "14 of its 359 characters are missing." in page.inner_text("#message")
    assert "Copy the ENTIRE address" in page.inner_text("#message")
    assert page.locator("#copy").is_disabled()


def test_page_marks_a_code_that_cannot_be_checked(page: Page) -> None:
    """A code of an unknown format is shown, with the note that it cannot be checked."""
    page.fill("#paste", f"https://ormco.com/?code={OPAQUE}")
    assert shown(page) == ("unchecked", None, OPAQUE)
    page.fill("#paste", "")
    assert shown(page) == ("empty", None, "")


def test_page_warns_of_an_unusual_code(page: Page) -> None:
    """A code whose handle is not as long as usual is pointed out."""
    page.fill("#paste", f"https://ormco.com/?code={CODE[1:]}")
    assert shown(page)[0] == "ok"
    assert "3 characters are before" in page.inner_text("#message")


def copied(page: Page) -> str:
    page.wait_for_function("document.getElementById('copied').textContent.startsWith('Copied')")
    page.fill("#paste", "")
    page.focus("#paste")
    page.keyboard.press("Control+V")
    return page.input_value("#paste")


def test_copy_works_without_a_clipboard(page: Page) -> None:
    """*Copy* works in a browser that has no clipboard for pages from the disk."""
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.fill("#paste", URL)
    page.click("#copy")
    assert copied(page) == DIALOG_CODE


def test_page_works_by_keyboard_alone(page: Page) -> None:
    """From the paste to the copied code with Tab and Enter."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", URL)
    assert page.evaluate("document.activeElement.id") == "paste"
    page.keyboard.press("Control+V")
    for expected in ("code", "copy"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == expected
    page.keyboard.press("Enter")
    assert copied(page) == DIALOG_CODE


def test_age_is_counted_from_the_paste(page: Page) -> None:
    """The page says how long ago the paste was, and after three minutes that the code is too old."""
    page.clock.install()
    page.reload()
    page.fill("#paste", URL)
    assert "0:00 min ago" in page.inner_text("#age")
    page.clock.run_for(65_000)
    assert "1:0" in page.inner_text("#age")
    page.clock.run_for(120_000)
    assert "probably expired" in page.inner_text("#age")
    assert page.get_attribute("#age", "role") == "alert"


def test_clear_leaves_nothing(page: Page) -> None:
    """*Clear* empties the page, and so does leaving it and coming back."""
    page.fill("#paste", URL)
    page.click("#clear")
    assert shown(page) == ("empty", None, "")
    page.fill("#paste", URL)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert (page.input_value("#paste"), *shown(page)) == ("", "empty", None, "")


def test_page_speaks_the_chosen_language(page: Page) -> None:
    """The whole page is in the chosen language, with the message about a paste; no text is missing."""
    words = {"de": "abgeschnitten", "fr": "tronqué", "es": "cortado", "it": "tagliato", "en": "cut short"}
    page.fill("#paste", URL.partition("&")[0][:-14])
    for language, says in words.items():
        page.select_option("#language", language)
        assert page.get_attribute("html", "lang") == language
        assert says in page.inner_text("#message")
        assert "undefined" not in page.inner_text("body")


def test_language_follows_the_browser(chromium: Browser) -> None:
    """The page begins in the language of the browser, or in English."""
    for locale, expected in (("fr-CA", "fr"), ("da-DK", "en")):
        with chromium.new_context(locale=locale) as context:
            page = context.new_page()
            page.set_content(code_page(REDIRECT_URI))
            assert page.get_attribute("html", "lang") == expected


def test_page_fits_its_window(page: Page) -> None:
    """Nothing has to be scrolled sideways: on a telephone, on a desk, and at 200 % zoom."""
    for text, width in itertools.product(("", URL, URL[:-40]), (320, 360, 768, 1440)):
        page.fill("#paste", text)
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name(page: Page) -> None:
    """A screen reader has a name for every control, and reads the result aloud."""
    page.fill("#paste", URL)
    for role, name in (("textbox", "What you copied"), ("button", "Copy"), ("combobox", "Language")):
        assert page.get_by_role(role, name=name, exact=True).count() == 1  # type: ignore[arg-type]
    assert page.locator("#message").get_attribute("role") == "status"
    assert page.locator("#code").get_attribute("aria-labelledby") == "code-label"


def test_nothing_is_stored(page: Page) -> None:
    """The page keeps nothing: no cookie, no storage, no cache."""
    page.fill("#paste", URL)
    assert page.context.storage_state() == {"cookies": [], "origins": []}
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


@pytest.fixture
def site() -> Iterator[Site]:
    """The address of the landing page, and the paths and referrers of the requests to its server."""
    asked: list[tuple[str, str | None]] = []

    class Handler(PageHandler):
        def do_GET(self) -> None:  # noqa: N802 - of http.server
            asked.append((self.path, self.headers.get("Referer")))
            self.respond(200, landing_page(REDIRECT_URI))

    with serving(Handler) as url:
        yield f"{url}/", asked


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Page]:
    """A page of a browser that visits the landing page."""
    with chromium.new_context(locale="en-US") as context:
        yield context.new_page()


@pytest.mark.parametrize("mark", ["?", "#"])
def test_landing_page_shows_the_code_of_its_address(visitor: Page, site: Site, mark: str) -> None:
    """The code is shown, and is neither in the address bar nor in the history any more."""
    address, asked = site
    visitor.goto(f"{address}{mark}code={encoded(CODE, 2)}&state=zz9")
    assert shown(visitor) == ("ok", None, DIALOG_CODE)
    assert visitor.url == address
    assert visitor.evaluate("document.activeElement.id") == "copy"
    visitor.goto(f"{address}next")
    visitor.go_back()
    assert (visitor.url, shown(visitor)) == (address, ("empty", None, ""))
    assert [referrer for _, referrer in asked] == [None] * len(asked)
    assert [path for path, _ in asked[1:]] == ["/next", "/"][: len(asked) - 1]


def test_landing_page_says_that_access_was_not_allowed(visitor: Page, site: Site) -> None:
    """After *Cancel* the page says so; without a response it explains itself, and reads a paste."""
    visitor.goto(f"{site[0]}?error=access_denied&state=zz9")
    assert shown(visitor) == ("refused", "consent_denied", "")
    assert "Cancel was pressed" in visitor.inner_text("#message")
    visitor.goto(site[0])
    assert shown(visitor) == ("empty", None, "")
    assert "after “Allow access”" in visitor.inner_text("#message")
    visitor.fill("#paste", URL)
    assert shown(visitor) == ("ok", None, DIALOG_CODE)


ACTS = [
    "fetch(address)",
    "new Promise((_, no) => Object.assign(new Image(), {onerror: no, src: address}))",
    "new Promise((_, no) => { const script = document.createElement('script'); script.text = 'ran = 1';"
    " document.body.append(script); window.ran ? 0 : no(); })",
    "new Promise((_, no) => new WebSocket(address.replace('http', 'ws')).onerror = no)",
    "new Promise((_, no) => { navigator.sendBeacon(address); setTimeout(no, 300); })",
    "new Promise((_, no) => { const form = document.createElement('form'); form.action = address;"
    " document.body.append(form); form.submit(); setTimeout(no, 300); })",
]


def test_policy_blocks_all_requests(visitor: Page, site: Site) -> None:
    """No script on the page can load or send anything."""
    for act in ACTS:
        visitor.set_content(code_page(REDIRECT_URI))
        script = f"address => {act}.then(() => 'done', () => 'blocked')"
        assert visitor.evaluate(script, f"{site[0]}leak") == "blocked", act
    assert site[1] == []


def test_parser_keeps_nothing_from_one_text_to_the_next(parser: Parser, golden: dict[str, list[Any]]) -> None:
    """Each text is read as if it were the first."""
    texts = list(golden)
    random.Random(1).shuffle(texts)
    assert parser(texts) == [golden[text] for text in texts]
