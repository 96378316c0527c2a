"""The consent flow as a monitor's check: from the authorization request to a code, which is not used."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from connector.browser.browser_thread import BrowserThread
from connector.browser.redirect_target import RedirectTarget
from connector.clock import Clock
from connector.config import Config
from connector.errors import ConnectorError, PageChangedError, SettingError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.provider import Provider
from connector.redirect.parse import parse_redirect
from connector.resources import Resources
from connector.testing.communicate import PracticeAccount, client_id_of
from connector.testing.consent import Consent, new_request
from connector.testing.evidence import Difference, page_changed, save_private

if TYPE_CHECKING:
    from connector.browser.session import BrowserSession

__all__ = ["Check", "CheckStep", "check_consent"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """One step of the check.

    Attributes:
        name: "provider", "page", "sign_in", "words", "allow", "redirect" or "code".
        result: "ok", "changed" (it works, but the page is not as the guide shows it) or "failed".
        seconds: its duration in seconds.
    """

    name: str
    result: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of a check.

    Attributes:
        result: "ok"; "changed": a page is not as the guide shows it; "failed".
        provider: the provider's name.
        duration_seconds: the duration of the whole check, in seconds.
        steps: the steps up to the end or the failure.
        missing: expected words and buttons that the page lacks.
        instead: unexpected words and buttons of the page.
        screenshots: the paths of the saved files.
        error: the error that ended the check, or None.
    """

    result: str
    provider: str
    duration_seconds: float
    steps: tuple[CheckStep, ...]
    missing: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    screenshots: tuple[Path, ...] = ()
    error: ConnectorError | None = None


def check_consent(
    config: Config, *, screenshots: Path | None = None, headless: bool = True, timeout: float = 600
) -> Check:
    """Go through the consent in a browser: sign in, compare the Authorize page, allow access, read the code.

    Needs no client secret and no store: the code is not exchanged, and expires within minutes.

    Args:
        config: the settings, with the practice's user name and password.
        screenshots: folder for masked screenshots; those of the last check are replaced.
        headless: whether the browser runs without a window.
        timeout: seconds to wait for the redirect.

    Raises:
        connector.errors.SettingError: settings are missing; the error names all of them.
    """
    run = _Run(config, _account(config), screenshots)
    try:
        request, provider = run.request()
        target = RedirectTarget.from_urls(request.redirect_uri, request.url)
        BrowserThread(
            lambda session: run.go(session, request, provider),
            browser=config.browser,
            headless=headless,
            target=target,
            timeout=timeout,
        ).run()
    except ConnectorError as exc:
        run.fail(exc)
    return run.check()


def _account(config: Config) -> PracticeAccount:
    password = config.password.reveal()
    needed = {
        "ORMCO_CLIENT_ID": client_id_of(config, config.load_provider()),
        "ORMCO_3SHAPE_USERNAME": config.username,
        "ORMCO_3SHAPE_PASSWORD (or ORMCO_3SHAPE_PASSWORD_FILE)": password,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise SettingError(
            f"not set: {', '.join(missing)}",
            hint="Set them in the environment. Use an account of your own that exists for this check.",
        )
    return PracticeAccount(username=config.username or "", password=password or "")


class _Run:
    """A check in progress."""

    def __init__(self, config: Config, account: PracticeAccount, folder: Path | None) -> None:
        self._config = config
        self._account = account
        self._folder = folder
        self._clock = Clock()
        self._begun = self._clock.monotonic()
        self._steps: list[CheckStep] = []
        self._difference: Difference | None = None
        self._screenshots: list[Path] = []
        self._error: ConnectorError | None = None

    def request(self) -> tuple[AuthorizationRequest, Provider]:
        """Take the first step: the provider is known."""
        provider: Provider = self._step("provider", lambda: Resources(self._config).provider)
        return new_request(self._config, provider), provider

    def go(self, session: BrowserSession, request: AuthorizationRequest, provider: Provider) -> None:
        """Take the steps in the browser, in the browser's thread."""
        consent = Consent(self._account, open_session=lambda target: nullcontext(session))
        try:
            self._step("page", lambda: consent.open(request))
            self._save("sign-in", consent.screenshot)
            self._step("sign_in", consent.sign_in)
            if not consent.redirected:
                self._save("authorize", consent.screenshot)
                self._step("words", lambda: self._compare(consent))
            self._step("allow", lambda: consent.allow(check=False))
            response = self._step("redirect", lambda: consent.redirect_url)
            self._step("code", lambda: _read_code(response, request, provider))
        except ConnectorError as exc:
            self._look_at_the_end(consent, exc)
            raise

    def fail(self, error: ConnectorError) -> None:
        """Record the error that ended the check."""
        self._error = error

    def _look_at_the_end(self, consent: Consent, error: ConnectorError) -> None:
        evidence = consent.evidence()
        if evidence is None:
            return
        if isinstance(error, PageChangedError) and evidence.difference:
            self._difference = evidence.difference
            if self._steps[-1].name == "sign_in":  # it led to a page other than the Authorize page
                self._steps[-1] = replace(self._steps[-1], result="ok")
                self._steps.append(CheckStep(name="words", result="failed", seconds=0.0))
        if (content := evidence.screenshot) is not None:
            self._save("end", lambda: content)

    def check(self) -> Check:
        changed = self._difference or Difference(missing=())
        error = self._error or (page_changed(changed) if changed else None)
        result = "ok" if error is None else "changed" if isinstance(error, PageChangedError) else "failed"
        return Check(
            result=result,
            provider=self._config.load_provider().name,
            duration_seconds=round(self._clock.monotonic() - self._begun, 3),
            steps=tuple(self._steps),
            missing=changed.missing,
            instead=changed.instead,
            screenshots=tuple(self._screenshots),
            error=error,
        )

    def _compare(self, consent: Consent) -> None:
        self._difference = consent.difference()

    def _step(self, name: str, act: Callable[[], _T]) -> _T:
        begun, result = self._clock.monotonic(), "failed"
        try:
            outcome = act()
            result = "changed" if name == "words" and self._difference else "ok"
            return outcome
        finally:
            seconds = round(self._clock.monotonic() - begun, 3)
            self._steps.append(CheckStep(name=name, result=result, seconds=seconds))

    def _save(self, name: str, take: Callable[[], bytes]) -> None:
        if self._folder is None:
            return
        path = self._folder.absolute() / f"{name}.png"
        try:
            save_private(take(), path)
        except OSError as exc:
            raise SettingError(
                f"the screenshot {str(path)!r} cannot be saved: {exc.strerror}",
                hint="Name a folder that you may write to: --screenshots DIR",
            ) from None
        self._screenshots.append(path)


def _read_code(redirect_url: str, request: AuthorizationRequest, provider: Provider) -> None:
    """Check the response as `complete` would before it sends the code.

    Raises:
        connector.errors.ConnectorError: as `parse_redirect` does.
    """
    read = partial(
        parse_redirect,
        redirect_url,
        redirect_uri=request.redirect_uri,
        code_format=provider.code_format,
        issuer=provider.issuer,
    )
    if read().state is not None or provider.returns_state:
        read(expected_state=request.state)
