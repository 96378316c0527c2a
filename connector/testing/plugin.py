"""The pytest plugin: fixtures for a test of the consent flow, against the sandbox or staging.

```python
def test_consent(communicate, consent, tmp_path):
    config = communicate.config(store=f"sqlite:///{tmp_path}/connections.db")
    with Connector.from_config(config) as connector:
        consent.open(connector.begin("practice-42"))
        consent.sign_in()
        consent.allow()
        assert connector.complete(consent.redirect_url, practice_id="practice-42").state == "connected"
```

Every pytest run imports this module at its start, so it imports only pytest; its fixtures import the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from connector.testing.browser import ConsentBrowser
    from connector.testing.communicate import Communicate, PracticeAccount
    from connector.testing.consent import Consent

__all__ = ["communicate", "communicate_redirect_uris", "consent", "practice_account"]

_REPORTER: pytest.StashKey[_Reporter] = pytest.StashKey()
_PRODUCTION = ("communicate", "identity")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of consent tests."""
    group = parser.getgroup("consent", "consent tests (Ormco in 3Shape Communicate)")
    group.addoption(
        "--consent-generation",
        choices=("classic", "identity"),
        default="classic",
        help="which of 3Shape's authorization servers the sandbox imitates (classic)",
    )
    group.addoption("--consent-headed", action="store_true", help="show the browser window")
    group.addoption(
        "--consent-output",
        metavar="DIR",
        help="folder for screenshots and traces (pytest's cache folder)",
    )
    group.addoption(
        "--consent-trace",
        action="store_true",
        help="save a full Playwright trace of each consent test, which shows everything; sandbox only",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "consent: a test of the consent flow; every test with the fixture `consent` has it"
    )
    if not config.getoption("--consent-trace"):
        return
    from connector.testing.communicate import is_sandbox

    if not is_sandbox(os.environ):
        raise pytest.UsageError(
            "--consent-trace is for the sandbox only: a trace contains the password and all that pages show."
            " Unset ORMCO_PROVIDER, or leave the option out."
        )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of the consent flow, so that `-m consent` and `-m "not consent"` find them."""
    if "consent" in getattr(item, "fixturenames", ()):
        item.add_marker("consent")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the evidence of the consent page to the report of a failed test."""
    report = yield
    reporter = item.stash.get(_REPORTER, None)
    if reporter is not None and report.failed and report.when == "call":
        reporter.attach(item, report)
    return report


@pytest.fixture(scope="session")
def communicate_redirect_uris() -> list[str]:
    """Your application's own redirect URIs; override this fixture to name them. If empty, Ormco's is used."""
    return []


@pytest.fixture(scope="session")
def communicate(pytestconfig: pytest.Config, communicate_redirect_uris: list[str]) -> Iterator[Communicate]:
    """3Shape Communicate: a sandbox for this test session, or the provider that ORMCO_PROVIDER names."""
    from connector.testing.communicate import open_communicate

    provider = os.environ.get("ORMCO_PROVIDER", "").strip()
    if provider in _PRODUCTION:
        pytest.fail(
            f"ORMCO_PROVIDER={provider} is production, where a test must not give consent:"
            f" set it to {provider}-staging, or unset it for the sandbox",
            pytrace=False,
        )
    generation = pytestconfig.getoption("--consent-generation")
    with open_communicate(
        os.environ, generation=generation, redirect_uris=communicate_redirect_uris
    ) as found:
        yield found


@pytest.fixture(scope="session")
def practice_account(communicate: Communicate) -> PracticeAccount:
    """The practice's Communicate account: its `username` and `password`."""
    if communicate.practice is None or communicate.missing:
        pytest.skip(f"no consent at {communicate.provider}: not set: {', '.join(communicate.missing)}")
    return communicate.practice


@pytest.fixture(scope="session")
def _consent_browser(request: pytest.FixtureRequest) -> Iterator[ConsentBrowser]:
    """The browser of this test session, with pytest-playwright's Playwright if that is installed."""
    from connector.testing.browser import ConsentBrowser

    try:
        playwright = request.getfixturevalue("playwright")
    except pytest.FixtureLookupError:
        playwright = None
    browser = ConsentBrowser(
        path=os.environ.get("ORMCO_BROWSER") or None,
        headless=not request.config.getoption("--consent-headed"),
        playwright=playwright,
    )
    yield browser
    browser.stop()


@pytest.fixture
def consent(
    request: pytest.FixtureRequest,
    communicate: Communicate,
    practice_account: PracticeAccount,
    _consent_browser: ConsentBrowser,
) -> Iterator[Consent]:
    """A browser for a consent: `open`, `sign_in`, `allow`, `cancel`, `redirect_url`, `page`."""
    from connector.config import Config
    from connector.testing.consent import Consent, new_request

    reporter = _Reporter(request.node.name, request.config)
    trace = reporter.path("trace.zip") if request.config.getoption("--consent-trace") else None
    found = reporter.consent = Consent(
        practice_account,
        open_session=lambda target: _consent_browser.session(target, trace=trace),
        new_request=lambda: new_request(Config.from_env(communicate.settings)),
        browser=_consent_browser,
    )
    request.node.stash[_REPORTER] = reporter
    yield found
    found.close()


class _Reporter:
    """Reports on the consent of one test."""

    def __init__(self, name: str, config: pytest.Config) -> None:
        self.consent: Consent | None = None
        self._name = re.sub(r"[^\w.-]+", "-", name).strip("-")[:100]
        self._config = config

    def path(self, ending: str) -> Path:
        """Return the path of a file for this test; its folder exists."""
        from connector.own_folders import make_private_folder

        chosen = self._config.getoption("--consent-output")
        cache = getattr(self._config, "cache", None)
        if chosen or cache is None:
            folder = Path(chosen or "consent-results").absolute()
            make_private_folder(folder)
        else:
            folder = cache.mkdir("consent")
        return folder / f"{self._name}-{ending}"

    def attach(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Add a section to the report, and the screenshot's path to the JUnit properties."""
        if self.consent is None:
            return
        lines = [f"steps: {'; '.join(self.consent.steps) or 'none'}"]
        evidence = self.consent.evidence()
        if evidence is not None:
            lines.append(f"page: {evidence.place}")
            if evidence.difference is not None:
                lines.append(str(evidence.difference))
            if evidence.screenshot is not None:
                lines.append(self._save(evidence.screenshot, item))
        report.user_properties = list(item.user_properties)
        report.sections.append(("consent", "\n".join(lines)))

    def _save(self, screenshot: bytes, item: pytest.Item) -> str:
        from connector.testing.evidence import save_private

        try:
            path = self.path("page.png")
            save_private(screenshot, path)
        except OSError as exc:
            return f"the screenshot could not be saved: {exc.strerror}"
        item.user_properties.append(("consent_screenshot", str(path)))
        return f"screenshot, masked: {path}"
