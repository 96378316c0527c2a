"""A visit to OrmcoDigital: looks at its pages, waits with an end, and tells how it went wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError

from connector.browser import endings, profile_endings
from connector.browser.dead_ends import DeadEnds
from connector.browser.own_thread import CalledOff
from connector.browser.visit import was_left
from connector.clock import Clock
from connector.errors import ProviderErrorPageError, ProviderUnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Dialog, Locator, Page, Request, Response

__all__ = ["Answers", "ProfileVisit", "texts", "visible"]

_FIRST_PAGE = 60_000  # ms
_TICK = 100  # ms
_PATIENCE = 20.0  # s for the next thing of the guide to show
_AGAIN = 1.5  # s before something is pressed a second time
_LONGEST_WORDS = 200


@dataclass(slots=True)
class Answers:
    """What the server was asked, and answered, while something was done on a page."""

    asked: bool = False
    statuses: list[int] = field(default_factory=list)

    @property
    def failure(self) -> int | None:
        """The first status that is an error."""
        return next((status for status in self.statuses if status >= 400), None)


class ProfileVisit:
    """Looks at OrmcoDigital's pages in a browser, in the thread that started the browser.

    Args:
        context: the browser.
        cancelled: set when the caller has gone away.
        person: whether somebody sits before the window.
        timeout: seconds until a person has had time enough.
        told: told what is done, and what a person is asked to do.
    """

    def __init__(
        self,
        context: BrowserContext,
        cancelled: threading.Event,
        *,
        person: bool,
        timeout: float,
        told: Callable[[str], object],
    ) -> None:
        self.told = told
        self.waiting_for = "nobody signed in to OrmcoDigital"
        self.alert = ""
        self._context = context
        self._cancelled = cancelled
        self._person = person
        self._timeout = timeout
        self._deadline = Clock().deadline(timeout)
        self._dead_ends = DeadEnds(context)
        context.on("dialog", self._accept)

    @property
    def page(self) -> Page:
        """The page that OrmcoDigital is in."""
        self.go_on()
        return self._context.pages[0]

    @property
    def tabs(self) -> int:
        """How many pages are open."""
        return len(self._context.pages)

    def open(self, url: str) -> None:
        """Load a page of OrmcoDigital's; once more where a script of the last page moves on just then."""
        for last_time in (False, False, True):
            try:
                self.page.goto(url, wait_until="commit", timeout=_FIRST_PAGE)
            except PlaywrightError as exc:
                self.go_on()
                if was_left(exc.message) and not last_time:
                    self.page.wait_for_timeout(5 * _TICK)  # let it come to rest
                    continue
                reason = exc.message.partition("net::")[2].split()[:1]
                unreachable = endings.unreachable(url, reason[0] if reason else "no answer in time")
                raise profile_endings.dead_end(unreachable) from None
            return

    def reach(
        self, shown: Callable[[Page], Locator], towards: Callable[[Page], str], missing: Callable[[], str]
    ) -> Page:
        """Return OrmcoDigital's page once it shows something; do what leads there until it does.

        Args:
            shown: finds it.
            towards: does what comes next on a page; returns a name for it, "" where there is nothing to do,
                or "person" where somebody has to act.
            missing: what is not there, in words.
        """
        clock, done = Clock(), set[str]()
        patience, again = clock.deadline(_PATIENCE), clock.deadline(0)
        while not visible(shown(self.page)):
            step = self._take(towards) if again.passed else ""
            if step and step not in done:
                patience = clock.deadline(_PATIENCE)
            if step and step != "person":
                done.add(step)
                again = clock.deadline(_AGAIN)
            if patience.passed:
                self._ask_for_help(missing())
                patience = clock.deadline(self._timeout)
            self.tick()
            self.go_on(waiting=True)
        return self.page

    def until(self, over: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is so; return whether it is."""
        deadline = Clock().deadline(seconds)
        while not over():
            if deadline.passed:
                return False
            self.go_on()
            self.tick()
        return True

    @contextmanager
    def listening(self) -> Iterator[Answers]:
        """Note what the server answers to OrmcoDigital's page, and the browser's own dialogs."""
        page, answers, self.alert = self.page, Answers(), ""

        def counts(request: Request) -> bool:
            # What a page asks for by itself in the background has nothing to do with it.
            asked = request.resource_type == "document" or request.method != "GET"
            return asked and urlsplit(request.url).netloc == urlsplit(page.url).netloc

        def note_request(request: Request) -> None:
            answers.asked = answers.asked or counts(request)

        def note_response(response: Response) -> None:
            if counts(response.request) and not 300 <= response.status < 400:
                answers.statuses.append(response.status)

        page.on("request", note_request)
        page.on("response", note_response)
        try:
            yield answers
        finally:
            page.remove_listener("request", note_request)
            page.remove_listener("response", note_response)

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Put words in place of the browser's own errors, which quote what was to be filled in."""
        try:
            yield
        except PlaywrightError:
            self.go_on(at_once=True)
            raise profile_endings.not_as_known("field or button that can be used at this step") from None

    def tick(self) -> None:
        """Let the pages go on for a moment."""
        with suppress(PlaywrightError):
            if self._context.pages:
                self._context.pages[-1].wait_for_timeout(_TICK)

    def go_on(self, *, waiting: bool = False, at_once: bool = False) -> None:
        """Raise if there is nothing to go on with.

        Args:
            waiting: for a person, whose time may be over.
            at_once: give a dead end no time to move on.
        """
        if self._cancelled.is_set():
            raise CalledOff
        if not self._context.pages:
            raise profile_endings.window_closed()
        try:
            self._dead_ends.raise_if_any(at_once=at_once)
        except (ProviderErrorPageError, ProviderUnavailableError) as exc:
            raise profile_endings.dead_end(exc) from None
        if waiting and self._deadline.passed:
            raise profile_endings.nobody_acted(self._timeout, self.waiting_for)

    def _take(self, towards: Callable[[Page], str]) -> str:
        # A page that is just being left has nothing to press.
        with suppress(PlaywrightError):
            return towards(self.page)
        return ""

    def _ask_for_help(self, missing: str) -> None:
        if not self._person:
            raise profile_endings.not_as_known(missing)
        self.told(f"by hand: {missing}")

    def _accept(self, dialog: Dialog) -> None:
        self.alert = " ".join(dialog.message.split())[:_LONGEST_WORDS]
        dialog.accept()


def visible(locator: Locator) -> bool:
    """Return whether something is on the page and to be seen."""
    with suppress(PlaywrightError):
        return locator.locator("visible=true").count() > 0
    return False


def texts(locator: Locator) -> list[str]:
    """Return what a person reads there, one line each."""
    with suppress(PlaywrightError):
        found = [" ".join(text.split()) for text in locator.locator("visible=true").all_inner_texts()]
        return [text for text in found if 0 < len(text) <= _LONGEST_WORDS]
    return []
