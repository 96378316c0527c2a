"""The sandbox's pages in a real Chromium, found by role and name, as a person finds them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.oauth_calls import PKCE
from tests.support.sandbox import RunningSandbox, SignIn

UNNAMED = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, summary")]
    .filter(element => !element.getAttribute("aria-label") && !element.labels?.length)
    .filter(element => !element.textContent.trim())
    .map(element => element.outerHTML)"""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of a fresh browser context; anything it complains about fails the test."""
    complaints: list[str] = []
    with chromium.new_context() as context:
        page = context.new_page()
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda message: complaints.append(message.text))
        yield page
    # Chromium logs that autofocus was blocked if a test types before any element has the focus.
    harmless = ("ERR_NAME_NOT_RESOLVED", "Autofocus processing was blocked")
    assert [text for text in complaints if not any(words in text for words in harmless)] == []


def sign_in(page: Page, who: SignIn) -> None:
    page.get_by_label("Email").fill(who.username)
    page.get_by_label("Password").fill(who.password)
    page.get_by_role("button", name="Log in").click()


def allow(page: Page) -> str:
    """Press Allow access and return the address that the browser was sent to, byte for byte."""
    with page.expect_request(
        lambda request: urlsplit(request.url).hostname == "ormco.com" and request.frame == page.main_frame
    ) as request:
        page.get_by_role("button", name="Allow access").click()
    return request.value.url


def assert_everything_has_a_name(page: Page) -> None:
    assert page.evaluate(UNNAMED) == []
    assert page.get_by_role("main").count() == 1


@pytest.mark.parametrize(
    ("generation", "scenario"), [("identity", "redirect-chain"), ("classic", "landing-frame")]
)
def test_consent(page: Page, request: pytest.FixtureRequest, generation: str, scenario: str) -> None:
    """Login and Authorize lead to the redirect URI, also after redirects and beside frames."""
    sandbox: RunningSandbox = request.getfixturevalue(generation)
    sandbox.set_scenarios(scenario)
    page.goto(sandbox.authorization_url(**PKCE))
    assert_everything_has_a_name(page)
    sign_in(page, sandbox.practice)
    expect(page.get_by_role("heading", name="Authorize")).to_be_visible()
    expect(page.get_by_role("link", name="Home")).to_be_visible()
    assert_everything_has_a_name(page)
    assert ("%2521" in allow(page)) == (generation == "classic")


def test_popup_for_a_person_who_is_signed_in(page: Page, classic: RunningSandbox) -> None:
    """Without a login, a button opens the window."""
    classic.set_scenarios("popup")
    page.goto(classic.portal_url)
    sign_in(page, classic.practice)
    expect(page.get_by_role("heading", name="Connections")).to_be_visible()
    page.goto(classic.authorization_url())
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Continue").click()
    expect(page.get_by_text("Continue in the window that has opened.")).to_be_visible()
    assert "%2521" in allow(opened.value)


def test_applications(page: Page, classic: RunningSandbox) -> None:
    """The square icon next to Ormco asks, and Delete removes it."""
    page.goto(classic.authorization_url())
    sign_in(page, classic.practice)
    allow(page)
    page = page.context.new_page()  # the other page still tries to reach the landing site
    page.goto(classic.applications_page)
    assert_everything_has_a_name(page)
    page.get_by_role("button", name="Remove Ormco").click()
    dialog = page.get_by_role("alertdialog", name="Delete Ormco?")
    dialog.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Remove Ormco").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("You have not authorized any application.")).to_be_visible()


def test_connections(page: Page, classic: RunningSandbox) -> None:
    """Add Connection, Find, select; the row waits, becomes active, and the red cross removes it."""
    classic.control(approval_seconds=None)
    page.goto(classic.portal_url)
    sign_in(page, classic.practice)
    page.get_by_role("link", name="Add Connection").click()
    page.get_by_label("Fill in email or name").fill("insignia.support@ormco.com")
    expect(page.get_by_label("Show me Labs")).to_be_checked()
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", name="Search results")).to_be_visible()
    assert_everything_has_a_name(page)
    page.get_by_role("button", name="Insignia.Support@ormco.com").click()
    row = page.get_by_role("listitem", name="Ormco Corporation")
    expect(row.get_by_text("Request sent, waiting for approval")).to_be_visible()
    classic.control(approval_seconds=0)
    page.reload()
    expect(row.get_by_text("Active")).to_be_visible()
    row.get_by_role("button", name="Remove Ormco Corporation").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("You have no connections yet.")).to_be_visible()


def test_ormcodigital_as_in_the_guide(page: Page, classic: RunningSandbox) -> None:
    """Steps 1 to 10: a wrong form is refused in the dialog, the right one is saved by Update."""
    page.goto(classic.ormcodigital_url)
    page.get_by_label("Username").fill(classic.practice.username)
    page.get_by_label("Password").fill(classic.practice.password)
    page.get_by_role("button", name="Log In").click()
    page.get_by_text("My Account").click()
    page.get_by_role("link", name="My Profile").click()
    expect(page.get_by_role("button", name="Connect 3 Shape to Insignia")).to_be_hidden()
    page.get_by_role("combobox", name="Intraoral Scanner").select_option("3Shape Trios")
    page.get_by_role("button", name="Connect 3 Shape to Insignia").click()
    dialog = page.get_by_role("dialog", name="Enter Authorization Code")
    with page.expect_popup() as opened:
        dialog.get_by_role("link", name="here").click()
    sign_in(opened.value, classic.practice)
    url = allow(opened.value)
    dialog.get_by_label("Enter Code :").fill(url)
    dialog.get_by_role("button", name="Ok").click()
    dialog.get_by_role("alert").wait_for()
    code = url.partition("code=")[2].partition("&")[0].replace("%2521", "%21")
    dialog.get_by_label("Enter Code :").fill(code)
    dialog.get_by_role("button", name="Ok").click()
    page.get_by_text("Select Update to save it.").wait_for()
    assert_everything_has_a_name(page)
    page.get_by_role("button", name="Update").click()
    expect(page.get_by_text("Your profile has been updated.")).to_be_visible()
    expect(page.get_by_text("3Shape is connected to Insignia.")).to_be_visible()
