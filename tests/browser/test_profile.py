"""OrmcoDigital's My Profile, connected in a real browser."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from connector.browser.profile import ProfileUpdate, SignIns, connect_profile
from connector.errors import (
    BrowserUnavailableError,
    CodeRefusedError,
    ConnectorError,
    ConsentDeniedError,
    NobodyActedError,
    PageChangedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    RequestExpiredError,
    SettingError,
    WindowClosedError,
)
from tests.support.authorization_pages import Trap
from tests.support.browsers import SharedBrowser, child_processes
from tests.support.commands import payload, run
from tests.support.profile_pages import CODE, REDIRECT_URI, serve_profile
from tests.support.sandbox import RunningSandbox, Visitor

ALERT = "<p role=alert>{}</p>"
SIGN_IN = (
    "<form><label>Username <input name=u></label><input type=password name=p><button>Log In</button></form>"
)
SIGN_INS = SignIns(digital=("somebody", "made-up 1"), communicate=("somebody@example.test", "made-up 2"))

Connect = Callable[..., ProfileUpdate]


@pytest.fixture
def connect(browser: str, one_browser: None) -> Connect:
    """`connect_profile`, in the shared browser, without a window."""
    return partial(connect_profile, redirect_uri=REDIRECT_URI, headless=True, timeout=120, browser=browser)


def sign_ins(sandbox: RunningSandbox) -> SignIns:
    who = (sandbox.practice.username, sandbox.practice.password)
    return SignIns(digital=who, communicate=who)


def profile(sandbox: RunningSandbox) -> str:
    """My Profile as the practice sees it."""
    visitor, who = Visitor(sandbox), sandbox.practice
    return visitor.submit(
        visitor.open(sandbox.ormcodigital_url), username=who.username, password=who.password
    ).text


def test_guide_from_step_1_to_10(connect: Connect, classic: RunningSandbox) -> None:
    """Sign-in, Submission Method, consent, dialog and Update: the profile is saved and connected."""
    progress: list[str] = []
    where: dict[str, Any] = {"redirect_uri": classic.redirect_uri, "sign_ins": sign_ins(classic)}
    update = connect(classic.ormcodigital_url, progress=progress.append, **where)
    page = profile(classic)
    assert (update.said, update.confirmed) == ("Your profile has been updated.", True)
    assert "3Shape is connected to Insignia." in page
    assert "<option selected>3Shape Trios</option>" in page
    assert progress == ["method", "dialog", "consent", "code", "ok", "update", "checked"]


@pytest.mark.parametrize(
    ("scenario", "error", "words"),
    [
        ("deny", ConsentDeniedError, "did not allow access"),
        ("outage", ProviderUnavailableError, "status 502"),
    ],
)
def test_3shape_does_not_give_a_code(
    scenario: str, error: type[ConnectorError], words: str, connect: Connect, classic: RunningSandbox
) -> None:
    """An error at 3Shape, in a tab of its own, is reported as that error, and nothing is saved."""
    classic.set_scenarios(scenario)
    with pytest.raises(error, match=words):
        connect(classic.ormcodigital_url, redirect_uri=classic.redirect_uri, sign_ins=sign_ins(classic))
    assert "3Shape is connected" not in profile(classic)


@pytest.mark.parametrize(
    ("site", "words"), [("digital", "OrmcoDigital did not"), ("communicate", "3Shape did not")]
)
def test_wrong_password(site: str, words: str, connect: Connect, classic: RunningSandbox) -> None:
    """A refused sign-in names the site, and the password is nowhere in what is reported."""
    right = (classic.practice.username, classic.practice.password)
    wrong = (classic.practice.username, "made-up wrong password")
    both = SignIns(**{"digital": right, "communicate": right, site: wrong})
    with pytest.raises(SettingError, match=f"{words} accept") as caught:
        connect(classic.ormcodigital_url, redirect_uri=classic.redirect_uri, sign_ins=both)
    assert "made-up wrong" not in repr(both) + "".join(traceback.format_exception(caught.value))


def test_page_that_reports_no_result(connect: Connect, trap: Trap) -> None:
    """If the page reports neither success nor failure, nothing is confirmed; no landing site is reached."""
    landing = f"http://127.0.0.1:{trap.port}/"
    with serve_profile(redirect_uri=landing) as pages:
        update = connect(pages.url, redirect_uri=landing, sign_ins=SIGN_INS)
    assert (update.said, update.confirmed) == ("", False)
    assert pages.entered == [CODE]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"target": "_self"}, id="3Shape replaces My Profile, which is opened again"),
        pytest.param(
            {"hint": "<p>We use cookies. <button onclick='d.remove()'>Ok</button></p>"},
            id="the button beside the field is pressed, not another one",
        ),
    ],
)
def test_profile_is_connected_despite_page_differences(page: dict[str, str], connect: Connect) -> None:
    """Differences from the guide's page do not keep the code from its field."""
    with serve_profile(**page) as pages:
        connect(pages.url, sign_ins=SIGN_INS)
    assert pages.entered == [CODE]


def test_browser_s_own_dialog(connect: Connect) -> None:
    """A message in a dialog of the browser's own is read, too."""
    saved = "<script>alert('Profile saved.'); location.replace('/')</script>"
    with serve_profile(update=saved) as pages:
        update = connect(pages.url, sign_ins=SIGN_INS)
    assert update.said == "Profile saved."


BROKEN: list[tuple[dict[str, Any], type[ConnectorError], str]] = [
    ({"ok": "problem.innerText = 'The code is not valid.'"}, CodeRefusedError, '"The code is not valid."'),
    ({"ok": "alert('Invalid authorization code')"}, CodeRefusedError, '"Invalid authorization code"'),
    ({"ok": "0"}, CodeRefusedError, "stays open and shows no reason"),
    ({"ok": "fetch('/check', {method: 'POST', body: 'x'})"}, ProviderUnavailableError, "failed at the code"),
    (
        {"update": ALERT.format("3Shape did not accept the code.")},
        CodeRefusedError,
        "did not save the profile",
    ),
    ({"update": 500}, ProviderUnavailableError, "failed at Update"),
    ({"update": SIGN_IN}, RequestExpiredError, "session at OrmcoDigital ended"),
    ({"beside": "<button onclick='d.remove()'>Ok</button>"}, PageChangedError, 'single button "Ok"'),
    ({"disabled": "disabled"}, PageChangedError, "no field or button that can be used"),
    ({"update": None}, PageChangedError, 'no answer to "Update"'),
    ({"forgets": True}, PageChangedError, "it was not saved"),
    ({"extra": "<label>Zip <input required></label>"}, ProviderErrorPageError, '"Zip: '),
    ({"button": "Link scanner"}, PageChangedError, '"Connect 3 Shape to Insignia"; it has: "Link scanner"'),
    ({"redirect_uri": "https://other.test/x"}, SettingError, "https://other.test/x, where it is not"),
]


@pytest.mark.parametrize(("page", "error", "words"), BROKEN)
def test_each_failure_is_reported(
    page: dict[str, Any], error: type[ConnectorError], words: str, connect: Connect
) -> None:
    """Dialog, Update, session and page each fail in words with a hint, and never with the code in them."""
    with serve_profile(**page) as pages, pytest.raises(error) as caught:
        connect(pages.url, sign_ins=SIGN_INS)
    assert words in caught.value.message
    assert caught.value.hint
    assert CODE not in "".join(traceback.format_exception(caught.value))


def test_nobody_signs_in(connect: Connect, classic: RunningSandbox) -> None:
    """The wait for a person ends."""
    with pytest.raises(NobodyActedError, match="nobody signed in to OrmcoDigital within 2 seconds"):
        connect(classic.ormcodigital_url, redirect_uri=classic.redirect_uri, timeout=2)


@pytest.mark.parametrize(
    ("path", "error"), [("nowhere", ProviderErrorPageError), (None, ProviderUnavailableError)]
)
def test_wrong_address(
    path: str | None, error: type[ConnectorError], connect: Connect, classic: RunningSandbox
) -> None:
    """An address without OrmcoDigital, or without any server, is reported with the setting to check."""
    url = f"{classic.url}/{path}" if path else "http://127.0.0.1:9/"
    with pytest.raises(error):
        connect(url, redirect_uri=classic.redirect_uri, sign_ins=SIGN_INS)


PERSON = """addEventListener("DOMContentLoaded", () => {
    const password = document.querySelector("input[type=password]");
    const allow = [...document.querySelectorAll("button")].find(each => each.innerText === "Allow access");
    if (password) {
        document.querySelector("input[type=email], input[name=username]").value = "%s";
        password.value = "%s";
        password.form.requestSubmit(password.form.querySelector("button"));
    }
    allow?.click();
})"""


@pytest.mark.usefixtures("display")
def test_person_signs_in_and_allows(
    connect: Connect, windowed: str, shared_browser: SharedBrowser, classic: RunningSandbox
) -> None:
    """A person signs in to both sites and allows access; the rest is done for them."""
    person = PERSON % (classic.practice.username, classic.practice.password)
    shared_browser.prepare = lambda session: session.context.add_init_script(person)
    where = {"redirect_uri": classic.redirect_uri, "browser": windowed}
    assert connect(classic.ormcodigital_url, headless=False, **where).confirmed


@pytest.mark.parametrize(
    ("end", "error", "words"),
    [
        ("closing", WindowClosedError, "before the profile was saved"),
        ("crashing", BrowserUnavailableError, "ended unexpectedly"),
    ],
)
def test_page_that_ends(
    end: str, error: type[ConnectorError], words: str, connect: Connect, request: pytest.FixtureRequest
) -> None:
    """If the window is closed, or the page crashes, that is reported at once, and nothing is saved."""
    request.getfixturevalue(end)
    with serve_profile() as pages, pytest.raises(error, match=words):
        connect(pages.url)
    assert pages.entered == []


def test_driver_that_dies_is_reported(browser: str, classic: RunningSandbox) -> None:
    """It is not taken for a page that has changed, and not for a person who does not act."""
    before = child_processes()

    def end_driver(step: str) -> None:
        if step == "method":
            (driver,) = child_processes() - before
            os.kill(driver, signal.SIGKILL)

    with pytest.raises(BrowserUnavailableError, match="ended unexpectedly"):
        connect_profile(
            classic.ormcodigital_url,
            redirect_uri=classic.redirect_uri,
            sign_ins=sign_ins(classic),
            headless=True,
            timeout=60,
            browser=browser,
            progress=end_driver,
        )


def test_command(browser: str, one_browser: None, classic: RunningSandbox) -> None:
    """`ormco profile connect` needs neither a client secret nor a store, and prints no code."""
    who = classic.practice
    env = {"ORMCO_BROWSER": browser, "ORMCO_DIGITAL_URL": classic.ormcodigital_url}
    for site in ("DIGITAL", "3SHAPE"):
        env |= {f"ORMCO_{site}_USERNAME": who.username, f"ORMCO_{site}_PASSWORD": who.password}
    result = run(env, "profile", "connect", "practice-42", "--headless", "--json")
    assert result.exit_code == 0, result.stderr
    found = {"saved": True, "confirmed": True, "said": "Your profile has been updated."}
    assert payload(result) == {"version": 1, "practice": "practice-42", **found}
    assert "IAAAA" not in result.output


def test_without_a_display(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no window can open, the hint is one for this command."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BrowserUnavailableError) as caught:
        connect("https://digital.test/", headless=False)
    assert "the code page shows the code" in caught.value.hint
