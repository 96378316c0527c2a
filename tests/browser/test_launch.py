"""Finding a browser, starting it, and leaving nothing of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from connector.browser import capture_redirect, find_browser
from connector.browser.installed import Browser
from connector.browser.intercept import ResultPage
from connector.browser.launch import open_browser
from connector.browser.redirect_target import RedirectTarget
from connector.browser.session import BrowserSession
from connector.errors import BrowserUnavailableError, ExtraMissingError
from tests.support.authorization_pages import browser_processes
from tests.support.browsers import SharedBrowser

if sys.platform != "win32":
    import pwd

posix = pytest.mark.skipif(sys.platform != "linux", reason="the places are those of Linux")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put programs on an otherwise empty machine: relative to PATH's only folder, or to the home folder."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "ms-playwright"))

    def install(name: str, content: str = "#!/bin/sh\n") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)
        return path

    return install


FULL = "ms-playwright/chromium-1255/chrome-linux64/chrome"
SHELL = "ms-playwright/chromium_headless_shell-1255/chrome-headless-shell-linux64/chrome-headless-shell"


@posix
@pytest.mark.parametrize(
    ("installed", "headless", "found"),
    [
        (["bin/chromium", "bin/microsoft-edge", "bin/google-chrome", FULL], False, FULL),
        ([FULL, FULL.replace("1255", "999")], False, FULL),
        ([FULL, SHELL], True, SHELL),
        (["bin/google-chrome", SHELL], False, "bin/google-chrome"),
        (["bin/chromium", "bin/microsoft-edge", "bin/google-chrome"], True, "bin/google-chrome"),
        (["bin/chromium", "bin/microsoft-edge-stable"], False, "bin/microsoft-edge-stable"),
        (["bin/chromium", "bin/chromium-headless-shell"], True, "bin/chromium-headless-shell"),
        (["bin/chromium", "bin/chromium-headless-shell"], False, "bin/chromium"),
    ],
)
def test_order_of_browsers(
    installed: list[str], headless: bool, found: str, program: Callable[[str], Path], tmp_path: Path
) -> None:
    """Playwright's own build, then Chrome, Edge, Chromium; one without windows only if none is needed."""
    for name in installed:
        program(name)
    assert find_browser(headless=headless).path == str(tmp_path / found)


@posix
def test_setting_comes_first(program: Callable[[str], Path]) -> None:
    """The browser that is set is used, by path or by name."""
    program("bin/google-chrome")
    chosen = program("elsewhere/my-chromium")
    assert find_browser(str(chosen)).path == str(chosen)
    assert find_browser("google-chrome").name == "google-chrome"


def test_setting_that_is_wrong(program: Callable[[str], Path], tmp_path: Path) -> None:
    """A wrong setting is an error that names it, and never another browser."""
    program("bin/chromium")
    with pytest.raises(BrowserUnavailableError, match=r"no program at .*nowhere"):
        find_browser(str(tmp_path / "nowhere"))


@posix
def test_snap_is_skipped(program: Callable[..., Path]) -> None:
    """A Chromium that only starts a snap is not taken, and the error names the ways out."""
    program("bin/chromium", '#!/bin/sh\nexec /snap/bin/chromium "$@"\n')
    with pytest.raises(BrowserUnavailableError) as caught:
        find_browser()
    for way in ("Google Chrome", "playwright install chromium", "apt install chromium", "by a paste"):
        assert way in caught.value.hint


@posix
@pytest.mark.parametrize("display", ["", ":987"])
def test_no_display(display: str, windowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a display, or with one that does not respond, the error names the two ways that do without."""
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BrowserUnavailableError, match="no display") as caught:
        capture_redirect("https://auth.test/", redirect_uri="https://landing.test/", browser=windowed)
    assert "headless" in caught.value.hint
    assert "paste" in caught.value.hint


@posix
def test_program_that_is_not_a_browser() -> None:
    """A program that ends at once is named."""
    with pytest.raises(BrowserUnavailableError, match="did not start"):
        capture_redirect(
            "https://auth.test/", redirect_uri="https://landing.test/", headless=True, browser="false"
        )


def test_playwright_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Playwright the error says what to install."""
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(ExtraMissingError) as caught:
        capture_redirect("https://auth.test/", redirect_uri="https://landing.test/")
    assert "pip install '.[browser]'" in caught.value.hint


def test_import_does_not_load_playwright() -> None:
    """Importing the package does not load Playwright."""
    modules = "connector.browser, connector.browser.pages.communicate"
    check = f"import sys, {modules}; print('playwright' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "False"


@posix
def test_profile_is_new_and_private(
    windowed: str, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile is new, stores no password and is gone afterwards; Chromium's sandbox is on for everybody.

    A service's user has neither HOME nor an entry in the list of users; root starts the browser as a user
    that has no other process.
    """

    def no_entry(user: int) -> NoReturn:
        raise KeyError(user)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XAUTHORITY", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    with open_browser(Browser(name="Chromium", path=windowed), headless=True) as context:
        (folder,) = temporary_folder.iterdir()
        preferences = json.loads((folder / "profile" / "Default" / "Preferences").read_text("utf-8"))
        assert context.cookies() == []
        assert preferences["credentials_enable_service"] is False
        for private in (folder / "profile", folder / "tmp"):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
        processes = [Path(f"/proc/{each}") for each in browser_processes(context.pages[0])]
        commands = [(each / "cmdline").read_text() for each in processes]
        users = {each.stat().st_uid for each in processes}
    assert list(temporary_folder.iterdir()) == []
    assert not [command for command in commands if "--no-sandbox" in command]
    assert os.getuid() != 0 or 0 not in users


@posix
def test_sandbox_that_is_not_available(browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its sandbox the browser is not started, unless a setting switches the sandbox off."""
    if os.getuid() != 0:
        pytest.skip("only root is refused it everywhere")
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(BrowserUnavailableError, match="only as another user") as caught:
        open_browser(Browser(name="Chromium", path=browser), headless=True).__enter__()
    assert "ORMCO_BROWSER_SANDBOX=off" in caught.value.hint
    monkeypatch.setenv("ORMCO_BROWSER_SANDBOX", "off")
    with open_browser(Browser(name="Chromium", path=browser), headless=True) as context:
        assert len(context.pages) == 1


def test_folder_that_cannot_be_made(browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder that is not there is reported in words."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(BrowserUnavailableError, match="no folder for the browser"):
        open_browser(Browser(name="Chromium", path=browser), headless=True).__enter__()


def test_result_page_shows_text_as_text() -> None:
    """Words from elsewhere cannot become part of the page."""
    page = ResultPage.FAILED.html("<script>alert(1)</script>").decode()
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_result_page_shows_each_result(shared_browser: SharedBrowser) -> None:
    """The result page shows each result, with one heading, a title and a language."""

    def look(session: BrowserSession) -> None:
        interceptor, page = session.interceptor, session.page
        assert interceptor is not None
        page.goto("https://landing.test/?code=made-up")
        for result in ResultPage:
            interceptor.show(result, "One more sentence.")
            assert page.get_by_role("heading").all_inner_texts() == [page.title()] == [result.value[1]]
            assert page.get_by_text("One more sentence.").is_visible()
            assert (page.url, page.locator("html").get_attribute("lang")) == ("https://landing.test/", "en")

    target = RedirectTarget.from_urls("https://landing.test/", "https://auth.test/")
    shared_browser.run(look, target=target)
