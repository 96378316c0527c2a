"""Steps 1 to 10 of the guide "Getting Connected on OrmcoDigital", in a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Error as PlaywrightError

from connector.browser import profile_page as errors
from connector.browser import session_options as options
from connector.browser.pages import ormcodigital
from connector.browser.pages.communicate import first_page, sign_in_and_allow
from connector.browser.pages.screen import (
    ACTION,
    Screen,
    changed,
    password_field,
    take_sign_in_step,
    username_field,
    visible,
)
from connector.browser.profile_page import PageTraffic, ProfilePage
from connector.browser.redirect_target import RedirectTarget
from connector.errors import CodeRefusedError, ConnectorError, PageChangedError, SettingError

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = ["ProfileSteps"]

_STEP = 10.0  # s for the link to open 3Shape's page, and for the page to load
_RESPONSE_TIME = 60.0  # s for OrmcoDigital to respond to a request

Credentials = tuple[str, str] | None


class ProfileSteps:
    """Takes the guide's steps on OrmcoDigital's pages."""

    def __init__(self, page: ProfilePage, target: RedirectTarget, credentials: Credentials) -> None:
        self.progress: Callable[[str], object] = page.progress
        self._profile = page
        self._session = page.session
        self._target = target
        self._credentials = credentials
        self._sent = ""
        self._profile_url = ""

    def open_dialog(self) -> None:
        """Sign in, go to My Profile, choose "3Shape Trios", and open the dialog (steps 1-3)."""
        self._sent = ""
        page = self._profile.reach(ormcodigital.code_dialog, self._towards_dialog, self._missing)
        self._profile_url = page.url

    def authorize(self, allow: Credentials) -> str:
        """Follow the link of the dialog, and wait for the redirect (steps 4-6).

        Args:
            allow: user name and password at 3Shape, or None if a person signs in and allows access.

        Returns:
            The redirect URL, raw.
        """
        session, page = self._session, self._session.page
        session.words = replace(session.words, nobody="nobody allowed or refused access")
        if session.response is None:
            link = self._only(ormcodigital.here_link(page), 'single link "here" in the dialog')
            self._check(link.evaluate("e => e.href || ''", timeout=ACTION))
            link.click(timeout=ACTION)
            self.progress("consent")
        if allow is not None:
            self._allow(page, allow)
        session.wait_until(lambda: session.response)
        return session.response or ""

    def enter(self, dialog_code: str) -> None:
        """Put the code into the dialog, and press *Ok* (steps 6-9)."""
        profile, page = self._profile, self._session.page
        dialog = ormcodigital.code_dialog(page)
        if not visible(dialog):  # consent was in the same tab
            self._open_profile()
            self.open_dialog()
        page.bring_to_front()
        ok = self._only(ormcodigital.ok_button(page), 'single button "Ok" in the dialog')
        with profile.listening() as traffic:
            ormcodigital.code_field(page).fill(dialog_code, timeout=ACTION)
            ok.click(timeout=ACTION)
            self._await_response(
                traffic, lambda: not visible(dialog) or bool(profile.alert or ormcodigital.problems(dialog))
            )
        if visible(dialog) and traffic.failure:
            raise errors.failed("the code", traffic.failure)
        if visible(dialog) or ormcodigital.is_problem(profile.alert):
            words = profile.alert or " ".join(ormcodigital.problems(dialog))
            said = f': "{words}"' if words else "; it stays open and shows no reason"
            raise CodeRefusedError(
                f"the dialog did not accept the code{said}",
                hint="Start again: a code is valid for about three minutes. If it fails again, tell Ormco's"
                " support.",
            )
        self.progress("ok")

    def update(self) -> str:
        """Press *Update* (step 10); return the message that the profile was saved, or ""."""
        profile, page = self._profile, self._session.page
        before = {*ormcodigital.problems(page), *ormcodigital.notices(page)}

        def news() -> list[str]:
            said = [*ormcodigital.notices(page), *ormcodigital.problems(page)]
            return [profile.alert] if profile.alert else [text for text in said if text not in before]

        update = self._only(ormcodigital.update_button(page), 'single button "Update"')
        with profile.listening() as traffic:
            update.click(timeout=ACTION)
            self._await_response(traffic, lambda: bool(news()))
        for text in news():
            if ormcodigital.is_good_news(text):
                self.progress("update")
                return text
        self._raise_unless_sent(page, news(), traffic)
        self.progress("update")
        return ""

    def check(self) -> bool:
        """Load My Profile again, and check that it was saved.

        Returns:
            Whether the page also says that 3Shape is connected; not every profile page does.
        """
        self._open_profile()
        page = self._profile.reach(ormcodigital.method_list, self._towards_profile, self._missing)
        method = ormcodigital.chosen_method(page)
        if not ormcodigital.is_method(method):
            saved = f'the Submission Method is {method or "empty"}, not "{ormcodigital.METHOD}"'
            raise PageChangedError(f"after Update, {saved}: it was not saved", hint=errors.BY_HAND)
        self.progress("checked")
        return visible(ormcodigital.connected_words(page))

    def _await_response(self, traffic: PageTraffic, shown: Callable[[], bool]) -> None:
        """Wait until something is shown, or until the page stays silent after the server's response."""
        wait, silence = self._session.wait_until, options.SILENCE
        wait(lambda: traffic.asked or shown(), silence)
        if traffic.asked:
            wait(lambda: traffic.statuses or shown(), _RESPONSE_TIME)
        wait(lambda: traffic.failure or shown(), silence)

    def _open_profile(self) -> None:
        """Load My Profile again, after any navigation by a script of the previous page."""
        self._session.wait_until(lambda: False, 0.3)
        self._session.open(self._profile_url)

    def _only(self, found: Locator, what: str) -> Locator:
        """Return the only visible match; with several, pressing one would be a guess."""
        seen = found.locator("visible=true")
        if seen.count() > 1:
            raise errors.not_as_known(what)
        return seen

    def _raise_unless_sent(self, page: Page, news: list[str], traffic: PageTraffic) -> None:
        """Raise an error if the page reports a problem, or if nothing was saved."""
        if bad := [text for text in news if ormcodigital.is_problem(text)]:
            raise errors.update_refused(" ".join(bad))
        if traffic.failure:
            raise errors.failed("Update", traffic.failure)
        if visible(password_field(page)) and not visible(ormcodigital.method_list(page)):
            raise errors.session_ended()
        if not traffic.statuses:
            invalid = ormcodigital.invalid_words(page)
            raise (errors.update_refused(invalid) if invalid else errors.not_as_known('answer to "Update"'))

    def _towards_dialog(self, page: Page) -> str:
        if visible(ormcodigital.method_list(page)):
            if ormcodigital.choose_method(page):
                self.progress("method")
                return "method"
            if not visible(ormcodigital.connect_button(page)):
                return ""
        if visible(ormcodigital.connect_button(page)):
            ormcodigital.connect_button(page).locator("visible=true").first.click(timeout=ACTION)
            return "connect"
        return self._towards_profile(page)

    def _towards_profile(self, page: Page) -> str:
        asks_for_name = visible(username_field(page)) and visible(ormcodigital.sign_in_button(page))
        if visible(password_field(page)) or asks_for_name:
            return self._sign_in(page)
        for find in (ormcodigital.my_profile, ormcodigital.my_account):
            way = find(page).locator("visible=true")
            if way.count():
                way.first.hover(timeout=ACTION)  # some menus open like this
                way.first.click(timeout=ACTION)
                return find.__name__
        return ""

    def _sign_in(self, page: Page) -> str:
        if self._credentials is None:
            return "person"
        before = self._sent
        self._sent = take_sign_in_step(
            Screen(page.context), self._credentials, before, site="OrmcoDigital", setting="ORMCO_DIGITAL"
        )
        return self._sent if self._sent != before else ""

    def _allow(self, page: Page, allow: tuple[str, str]) -> None:
        session, dialog = self._session, ormcodigital.code_dialog(page)
        session.wait_until(lambda: len(session.context.pages) > 1 or not visible(dialog), _STEP)
        # The link may open a new tab, or leave the profile page.
        beside = page if len(session.context.pages) > 1 else None
        screen = Screen(page.context, beside=beside)
        session.wait_until(lambda: session.response or screen.first(first_page) is not None, _STEP)
        try:
            sign_in_and_allow(*allow, beside=beside)(page)
        except (PlaywrightError, ConnectorError) as exc:
            if session.settle(exc):
                return
            if isinstance(exc, ConnectorError):
                raise
            raise changed(screen, '"Allow access" that can be pressed') from None

    def _check(self, address: str) -> None:
        """Check that the code will be sent to a target that is intercepted."""
        for redirect_uri in parse_qs(urlsplit(address).query).get("redirect_uri", []):
            if not self._target.covers(redirect_uri):
                raise SettingError(
                    f"OrmcoDigital makes 3Shape send the code to {redirect_uri}, where it is not intercepted",
                    hint=f"Set ORMCO_REDIRECT_URI to {redirect_uri}",
                )

    def _missing(self) -> str:
        page = self._session.page
        if not visible(ormcodigital.method_list(page)):
            what = f'My Profile with "{ormcodigital.METHOD}" under "Submission Method"'
        elif not visible(ormcodigital.connect_button(page)):
            what = f'"{ormcodigital.CONNECT}"'
        else:
            what = 'dialog "Enter Authorization Code"'
        words = ", ".join(Screen(page.context).words())
        return f"{what}; it has: {words or 'nothing to press'}"
