"""A browser in a thread of its own that does what a test asks, one thing after the other.

Playwright's synchronous objects belong to one thread, and that thread must not have an event loop of somebody
else's: so it makes no difference what a test, pytest-playwright or an asynchronous framework runs in theirs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from connector.browser import endings
from connector.browser.installed import Browser
from connector.browser.launch import open_browser
from connector.browser.redirect_place import RedirectPlace
from connector.errors import BrowserUnavailableError, ConnectorError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from connector.browser.trap import RedirectTrap
    from connector.browser.visit import Visit

__all__ = ["BrowserThread", "Errand", "bare"]

# pytest then shows the test's own line, and no arguments of ours, such as a password.
__tracebackhide__ = True

_T = TypeVar("_T")
_IDLE = 0.05  # s between two looks at what the browser reports
_CLOSING = 60.0  # s; Playwright's own calls end sooner


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What the browser is opened for.

    Attributes:
        url: the authorization URL.
        redirect_uri: where the provider sends the browser back to; nothing gets there.
        browser: from `find_browser`.
        headless: without a window.
        timeout: seconds until the redirect has to be there.
        trace: where to save Playwright's trace, which holds all that was typed and shown; None for none.
    """

    url: str
    redirect_uri: str
    browser: Browser
    headless: bool = True
    timeout: float = 600
    trace: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    act: Callable[[Page], Any]
    result: Future[Any]
    is_step: bool


class BrowserThread:
    """Opens the authorization URL in a fresh browser and waits for jobs.

    Args:
        errand: what to open.
        on_failure: called in the browser's thread with the page on which it all ended.
    """

    def __init__(self, errand: Errand, *, on_failure: Callable[[Page], object] = lambda page: None) -> None:
        self._errand = errand
        self._place = RedirectPlace.from_urls(errand.redirect_uri, errand.url)
        self._on_failure = on_failure
        self._opened: Future[None] = Future()
        self._answer: Future[str] = Future()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._job: _Job | None = None
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ormco-consent", daemon=True)

    def open(self) -> None:
        """Start the browser and wait for the provider's first page.

        Raises:
            connector.errors.ConnectorError: there is no browser, or no page.
        """
        self._thread.start()
        self._await(self._opened)

    def run(self, act: Callable[[Page], _T]) -> _T:
        """Do something in the browser's thread with the newest page; its error is the caller's."""
        return self._do(act, is_step=False)

    def step(self, act: Callable[[Page], _T]) -> _T | None:
        """Do a step of the consent; one that fails ends the visit, with the cause as far as it can be seen.

        Returns:
            What the step returned; None if the redirect came while it was under way.
        """
        return self._do(act, is_step=True)

    @property
    def redirected(self) -> bool:
        """Whether the provider has sent the browser back."""
        return self._answer.done() or self.run(lambda page: self._trap.answer is not None)

    def redirect_url(self) -> str:
        """Wait until the provider sends the browser back; return the address, raw.

        Raises:
            connector.errors.ConnectorError: it did not.
        """
        if not self._answer.done():
            self._jobs.put(None)
        return self._await(self._answer)

    def close(self) -> None:
        """Close the browser, whatever it does."""
        self._over.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(_CLOSING)

    def _do(self, act: Callable[[Page], _T], *, is_step: bool) -> _T:
        if threading.current_thread() is self._thread:  # a handler of the test's own
            return act(self._context.pages[-1])
        job = _Job(act=act, result=Future(), is_step=is_step)
        self._jobs.put(job)
        result: _T = self._await(job.result)
        return result

    def _await(self, future: Future[_T]) -> _T:
        # In small steps: on Windows, Ctrl-C does not end a wait without an end.
        while not wait([future], timeout=0.2).done and self._thread.is_alive():
            pass
        error = future.exception() if future.done() else self._error or _closed()
        if error is None:
            return future.result()
        raise bare(error)

    def _run(self) -> None:
        try:
            with self._browser() as context:
                self._carry(context)
        except BaseException as exc:
            self._error = exc
            waiting: list[Future[Any]] = [self._opened, self._answer]
            if self._job is not None:
                waiting.append(self._job.result)
            for future in waiting:
                if not future.done():
                    future.set_exception(exc)

    @contextmanager
    def _browser(self) -> Iterator[BrowserContext]:
        errand = self._errand
        with open_browser(
            errand.browser,
            headless=errand.headless,
            english=True,
            unreachable=self._place.resolver_rules,
        ) as context:
            if errand.trace is None:
                yield context
                return
            context.tracing.start(screenshots=True, snapshots=True)
            try:
                yield context
            finally:
                with suppress(Exception):  # the browser may be gone
                    context.tracing.stop(path=errand.trace)

    def _carry(self, context: BrowserContext) -> None:
        from playwright.sync_api import Error as PlaywrightError

        from connector.browser.trap import RedirectTrap
        from connector.browser.visit import Visit

        self._context: BrowserContext = context
        self._trap: RedirectTrap = RedirectTrap(context, self._place)
        self._visit: Visit = Visit(context, self._trap, timeout=self._errand.timeout, cancelled=self._over)
        # The test is the person who acts; it goes on after the redirect, until it closes the browser.
        try:
            answer = self._visit.redirect_url(self._errand.url, lambda page: self._serve(ending=True))
        except (ConnectorError, PlaywrightError):
            if context.pages:
                self._on_failure(context.pages[-1])
            raise
        self._visit.stay(2.0, until=lambda: self._trap.shown)
        self._answer.set_result(answer)
        if not self._opened.done():
            self._opened.set_result(None)
        if self._job is not None and not self._job.result.done():
            self._job.result.set_result(None)
        while not self._over.is_set():
            self._serve(ending=False)

    def _serve(self, *, ending: bool) -> None:
        """Do jobs until there is one that says to go on.

        Args:
            ending: let a step that fails end the visit, so that the visit can tell the cause.
        """
        if not self._opened.done():
            self._opened.set_result(None)
        while (job := self._next()) is not None:
            self._job = job
            try:
                if not self._context.pages:
                    raise endings.window_closed()
                job.result.set_result(job.act(self._context.pages[-1]))
            except Exception as exc:
                if job.is_step and ending:
                    raise
                job.result.set_exception(exc)

    def _next(self) -> _Job | None:
        while True:
            try:
                return self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                # Playwright's handlers, the one that catches the redirect too, run inside its calls only.
                self._visit.stay(0.001)


def bare(error: BaseException) -> BaseException:
    """Return an error with its hint but not the way it came, where a report shows arguments: the password."""
    error.__cause__ = error.__context__ = None
    if isinstance(error, ConnectorError) and error.hint and not hasattr(error, "__notes__"):
        error.add_note(f"Hint: {error.hint}")
    return error.with_traceback(None)


def _closed() -> BrowserUnavailableError:
    return BrowserUnavailableError(
        "the browser of this consent is closed", hint="Open a request first: consent.open(request)"
    )
