"""The pytest plugin, used from another project."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from connector.browser.session import BrowserSession
from connector.config import Config
from connector.testing.communicate import open_communicate
from connector.testing.consent import new_request
from connector.testing.evidence import masked_screenshot
from tests.support.browsers import QUICK, SharedBrowser

pytest_plugins = ["pytester"]

Project = Callable[..., "Run"]

CONSENT = """
    from connector import Connector

    def test_consent(communicate, consent, tmp_path):
        config = communicate.config(store=f"sqlite:///{tmp_path}/connections.db")
        with Connector.from_config(config) as connector:
            consent.open(connector.begin("practice-42"))
            consent.sign_in()
            consent.allow()
            connection = connector.complete(consent.redirect_url, practice_id="practice-42")
            assert connection.state == "connected"
            assert connection.account.email == communicate.practice.username
"""
PAGE_CHANGED = """
    def test_changed(communicate, consent):
        with communicate.scenarios("page-changed"):
            consent.open()
            consent.sign_in()
"""
# The outer run has imported the plugin already, so the inner run cannot rewrite its assertions.
INI = """
    [pytest]
    addopts = --strict-markers
    filterwarnings =
        error
        ignore::pytest.PytestAssertRewriteWarning
"""
STAGING = {"ORMCO_PROVIDER": "communicate-staging"}


@dataclass(frozen=True)
class Run:
    """The output and the exit status of a run of pytest."""

    stdout: str
    stderr: str
    status: int

    @property
    def counts(self) -> str:
        """The last line's counts, such as "1 failed, 2 passed"."""
        lines = self.stdout.strip().splitlines() or [""]
        return re.sub(r" in [\d.]+s.*", "", lines[-1])


@pytest.fixture(scope="module")
def everything_imported() -> None:
    """Import the modules of a run in this process; it forgets those that it imported itself."""
    for generation in ("classic", "identity"):
        with open_communicate({}, generation=generation) as found:
            found.consent_url(new_request(Config.from_env(found.settings)).url)


@pytest.fixture
def project(
    pytester: pytest.Pytester,
    browser: str,
    shared_browser: SharedBrowser,
    everything_imported: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """Run pytest in a project of its own, with the plugin and nothing else, warnings being errors."""
    for name, seconds in QUICK.items():
        monkeypatch.setattr(f"connector.browser.session_options.{name}", seconds)

    def run(source: str, *options: str, own_browser: bool = False, **environment: str) -> Run:
        if not own_browser:
            monkeypatch.setattr("connector.testing.browser.ConsentBrowser", lambda **options: shared_browser)
        alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "ORMCO_BROWSER": browser}
        for name, value in (alone | environment).items():
            monkeypatch.setenv(name, value)
        pytester.makeini(INI)
        pytester.makepyfile(test_theirs=dedent(source))
        found = pytester.runpytest_inprocess("-p", "connector.testing.plugin", "-qra", *options)
        return Run(found.stdout.str(), found.stderr.str(), int(found.ret))

    return run


def test_consent_against_the_sandbox(project: Project, tmp_path: Path) -> None:
    """A project's test gets consent at a sandbox of its own and a connection; a trace is saved on request."""
    options = ["--consent-trace", f"--consent-output={tmp_path / 'out'}", "--consent-generation", "identity"]
    assert project(CONSENT, *options, own_browser=True).counts == "1 passed"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["test_consent-trace.zip"]
    assert project(CONSENT).counts == "1 passed"


def test_cancel(project: Project) -> None:
    """*Cancel* brings the refusal back, and a new request is opened in a browser that knows nothing."""
    source = """
        def test_cancel(consent, practice_account):
            consent.open()
            consent.sign_in(practice_account)
            consent.cancel()
            assert "error=access_denied" in consent.redirect_url
            consent.open()
            assert consent.page.get_by_role("button", name="Log in").is_visible()
    """
    assert project(source).counts == "1 passed"


BESIDE = """
    import asyncio
    import pytest
    from playwright.sync_api import Page, expect, sync_playwright

    @pytest.fixture(scope="session", autouse=True)
    def playwright():
        # As pytest-playwright does: from here on, an event loop runs in this thread.
        with sync_playwright() as playwright:
            yield playwright

    def test_page(consent):
        asyncio.get_running_loop()
        consent.open()
        consent.sign_in()
        page = consent.page
        assert isinstance(page, Page)
        expect(page.get_by_role("heading", name="Authorize")).to_be_visible()
        expect(page.get_by_role("button", name="Agree")).to_have_count(0)
        with pytest.raises(AssertionError, match="Allow access"):
            expect(page.get_by_role("button", name="Allow access")).to_have_text("Agree", timeout=10)
        names = [each.inner_text() for each in page.locator("main button").all()]
        assert names == ["Allow access", "Cancel"]
        assert page.context.pages == [page]
        consent.allow()
        assert consent.redirect_url.startswith("https://ormco.com/?code=")
"""


def test_beside_another_playwright(project: Project) -> None:
    """The page is an ordinary one to `expect` and the test, though an event loop runs in that thread."""
    assert project(BESIDE, own_browser=True).counts == "1 passed"


UNDER_A_LOOP = """
    import asyncio

    def test_loop_of_their_own(consent):
        consent.open()
        consent.sign_in()
        consent.allow()
        assert asyncio.run(asyncio.sleep(0, "another loop")) == "another loop"
        assert "code=" in consent.redirect_url

    def test_inside_a_loop(consent):
        async def go():
            consent.open()
            consent.sign_in()
            await asyncio.sleep(0)
            consent.cancel()
            return consent.redirect_url

        assert "error=access_denied" in asyncio.run(go())

    def test_page_and_then_a_loop(consent):
        consent.open()
        consent.page.wait_for_load_state()
        assert consent.page.title()

    def test_without():
        asyncio.run(asyncio.sleep(0))
"""


def test_under_an_event_loop(project: Project) -> None:
    """Event loops of a test's own run beside a consent, around its steps, and in tests without one."""
    assert project(UNDER_A_LOOP, "-p", "no:randomly").counts == "4 passed"


WITHOUT_A_BROWSER = """
    import pytest

    @pytest.fixture(scope="session")
    def communicate_redirect_uris():
        return ["http://localhost/connected"]

    def test_consent(communicate, practice_account):
        url = communicate.consent_url(request_at(communicate))
        assert url.startswith("http://localhost/connected?")
        assert "code=" in url
        assert communicate.redirect_uri == "http://localhost/connected"

    def test_no(communicate):
        assert "error=access_denied" in communicate.consent_url(request_at(communicate), allow=False)

    def test_not_at_all(communicate):
        from connector.errors import ProviderErrorPageError

        with communicate.scenarios("error-page"), pytest.raises(ProviderErrorPageError):
            communicate.consent_url(request_at(communicate))

    def test_case(communicate):
        assert communicate.new_case() != communicate.new_case(patient=["Ada", "Example"])

    def request_at(communicate):
        from connector.config import Config
        from connector.testing.consent import new_request

        return new_request(Config.from_env(communicate.settings)).url
"""


def test_without_a_browser(project: Project) -> None:
    """An application's own redirect URI, a consent without a browser, and a case of the test's own."""
    assert project(WITHOUT_A_BROWSER, own_browser=True, ORMCO_BROWSER="/no/browser").counts == "4 passed"


def test_page_with_handlers_and_windows(project: Project) -> None:
    """The page is Playwright's own: handlers are called, and `with page.expect_popup()` waits."""
    source = """
        def test_popup(communicate, consent, practice_account):
            with communicate.scenarios("popup"):
                consent.open()
                asked = []
                consent.page.context.on("request", lambda request: asked.append(request.method))
                consent.page.get_by_label("Email").fill(practice_account.username)
                consent.page.get_by_label("Password").fill(practice_account.password)
                with consent.page.expect_popup() as popup:
                    consent.page.get_by_role("button", name="Log in").click()
                popup.value.get_by_role("button", name="Cancel").wait_for()
                assert consent.page == popup.value
                assert "POST" in asked
                consent.allow()
                assert "code=" in consent.redirect_url
    """
    assert project(source).counts == "1 passed"


def test_a_changed_page_is_reported_as_a_difference(project: Project, pytester: pytest.Pytester) -> None:
    """A failed test reports what is missing and what is there, with a private screenshot and no secret."""
    result = project(PAGE_CHANGED, "--junit-xml=junit.xml", "--showlocals", "--tb=long")
    assert result.counts == "1 failed"
    assert ">           consent.sign_in()" in result.stdout
    assert "E           connector.errors.PageChangedError: the Authorize page has no button" in result.stdout
    assert not [secret for secret in ("sandbox-practice-1", "maple-ortho") if secret in result.stdout]
    for line in ('- button "Cancel"', '- application\'s name "Ormco"', '+ button "Agree and continue"'):
        assert f"\n  {line}\n" in result.stdout
    path = re.search(r"screenshot, masked: (.*\.png)", result.stdout)
    assert path is not None
    assert path[1] in (pytester.path / "junit.xml").read_text()
    if sys.platform != "win32":
        assert Path(path[1]).stat().st_mode & 0o777 == 0o600


def test_a_page_without_cancel(project: Project) -> None:
    """A page that lacks one button is reported for that button; a test can go on without the comparison."""
    source = """
        def test_strict(communicate, consent):
            with communicate.scenarios("no-cancel"):
                consent.open()
                consent.sign_in()
                consent.allow()

        def test_lenient(communicate, consent):
            with communicate.scenarios("no-cancel"):
                consent.open()
                consent.sign_in()
                assert consent.difference().missing == ('button "Cancel"',)
                consent.allow(check=False)
                assert "code=" in consent.redirect_url
    """
    result = project(source)
    assert result.counts == "1 failed, 1 passed"
    assert 'PageChangedError: the Authorize page has no button "Cancel"\n' in result.stdout


def test_a_step_out_of_order(project: Project) -> None:
    """A step without a request, or on a page that was closed, is reported in words at once."""
    source = """
        import pytest
        from connector.errors import ConnectorError, ProviderErrorPageError

        def test_steps(communicate, consent):
            with pytest.raises(ConnectorError, match="no authorization request is open"):
                consent.allow()
            with communicate.scenarios("error-page"):
                with pytest.raises(ProviderErrorPageError):
                    consent.open()
                with pytest.raises(ProviderErrorPageError):
                    consent.page
    """
    assert project(source).counts == "1 passed"


def test_staging_without_credentials(project: Project) -> None:
    """The same test is skipped at staging with everything that is not set."""
    result = project(CONSENT, **STAGING)
    assert result.counts == "1 skipped"
    missing = "ORMCO_CLIENT_ID, ORMCO_3SHAPE_USERNAME, ORMCO_3SHAPE_PASSWORD"
    assert f"no consent at communicate-staging: not set: {missing}" in result.stdout


def test_staging_by_environment(project: Project) -> None:
    """Addresses and account of staging come from the environment; scenarios are the sandbox's."""
    source = """
        def test_addresses(communicate, practice_account):
            assert communicate.generation == "classic"
            assert communicate.applications_page.startswith("https://staging-users.")
            assert communicate.config(store="sqlite:///x.db").client_id == "made-up"
            assert (practice_account.username, practice_account.password) == ("me@practice.example", "p1")

        def test_scenario(communicate):
            with communicate.scenarios("outage"):
                assert False
    """
    account = {"ORMCO_3SHAPE_USERNAME": "me@practice.example", "ORMCO_3SHAPE_PASSWORD": "p1"}
    client = {"ORMCO_CLIENT_ID": "made-up", "ORMCO_CLIENT_SECRET": "made-up"}
    result = project(source, **STAGING, **account, **client)
    assert result.counts == "1 passed, 1 skipped"
    assert "the scenario outage needs the sandbox" in result.stdout


def test_production_is_refused(project: Project) -> None:
    """No test gives consent in production by mistake."""
    result = project(CONSENT, ORMCO_PROVIDER="communicate")
    assert result.counts == "1 error"
    assert "ORMCO_PROVIDER=communicate is production" in result.stdout


def test_trace_at_staging_is_refused(project: Project) -> None:
    """A trace holds passwords: there is none of anything but the sandbox."""
    result = project(CONSENT, "--consent-trace", **STAGING)
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "--consent-trace is for the sandbox only" in result.stderr


def test_marker(project: Project) -> None:
    """Every test with the fixture can be selected, and left out, by the marker."""
    source = """
        def test_with(consent): pass
        def test_without(): pass
    """
    assert project(source, "-m", "not consent").counts == "1 passed, 1 deselected"


def test_the_plugin_imports_nothing_at_the_start() -> None:
    """At the start of pytest the plugin imports nothing but itself."""
    source = """
        import sys, pytest
        before = set(sys.modules)
        import connector.testing.plugin
        print(sorted(set(sys.modules) - before))
    """
    command = [sys.executable, "-c", dedent(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "['connector', 'connector.testing', 'connector.testing.plugin']\n"


def personal_page(name: str, email: str, public: str = "Authorize") -> str:
    return f"""
        <style>* {{ font-family: monospace }}</style><body><header>{name}</header>
        <main><h1>{public}</h1><p>Signed in as {email}</p>
        <input value="{name}"><select><option>{name}</select><textarea>{name}</textarea>
        <table><tr><td>{name}</td></tr></table><ul><li>{name}</li></ul><p>{name}</p></main></body>
    """


def test_screenshots_show_nothing_personal(shared_browser: SharedBrowser) -> None:
    """Pages that differ in personal data alone give the same picture; other words give another one."""

    def pictures(session: BrowserSession) -> list[bytes]:
        page, found = session.page, []
        for content in (
            personal_page("Ada Lund", "ada@lund.example"),
            personal_page("Bob Moos", "bob@moos.example"),
            personal_page("Bob Moos", "bob@moos.example", public="Permission"),
        ):
            page.set_content(content)
            found.append(masked_screenshot(page, personal=["ada lund", "bob moos"]))
        return found

    ada, bob, other = shared_browser.run(pictures)
    assert ada == bob
    assert bob != other
