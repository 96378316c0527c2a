"""Pages that end the flow: the provider's error pages, an outage, or no page at all."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError

from connector.clock import Deadline
from connector.errors import ProviderErrorPageError, ProviderUnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

__all__ = ["Failure", "not_loaded", "raise_for"]

_FORM = "input:not([type=hidden]), select, textarea, button"
_IDENTIFIER = re.compile(r"\S{24,}")
_AGAIN = "Check the network connection and ORMCO_PROVIDER, then start again."
_TRY_IN_A_BROWSER = "Open the address in a browser of your own to see it; check ORMCO_PROVIDER."
# By the beginning of Chromium's error name: the description, and the hint.
_FAILURES = {
    "ERR_CERT_DATE_INVALID": (
        "its certificate is not valid today",
        "Check the date and time of this computer; if they are right, the site has to be repaired.",
    ),
    "ERR_CERT": (
        "its certificate is not trusted",
        "If a proxy or a virus scanner inspects encrypted connections here, install its certificate in the"
        " system; otherwise another party may be listening: do not continue.",
    ),
    "ERR_SSL": ("no secure connection could be made", _AGAIN),
    "ERR_INVALID_AUTH_CREDENTIALS": (
        "it asks for a user name and password in a dialog of the browser (HTTP authentication)",
        "3Shape's pages never do: a proxy or gateway does, or ORMCO_PROVIDER is another site.",
    ),
    "ERR_PROXY_AUTH": ("the proxy asks for a user name and password", "Ask the network's administrator."),
    "ERR_NAME_NOT_RESOLVED": ("the host name has no address", _AGAIN),
    "ERR_TOO_MANY_REDIRECTS": ("it redirects in a circle", _TRY_IN_A_BROWSER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A page that did not load, or that is a dead end.

    Attributes:
        network: Chromium's name of the failure if there was no response.
        content: a description of a response that is not a page.
        is_error_page: whether its address is that of an error page.
        retry_after: seconds from the Retry-After header.
        ripe: the deadline after which the failure counts.
    """

    request: Request
    status: int = 0
    network: str = ""
    content: str = ""
    is_error_page: bool = False
    retry_after: float | None = None
    ripe: Deadline


def not_loaded(url: str, report: str) -> ProviderUnavailableError:
    """Return the error for a page that did not load, from Playwright's message or Chromium's error name."""
    name = (report.partition("net::")[2].split() or [report if report.startswith("ERR_") else ""])[0]
    host = urlsplit(url).hostname or "the provider"
    if "Download is starting" in report:
        return _not_a_page(host, "a file to download")
    known = next((known for beginning, known in _FAILURES.items() if name.startswith(beginning)), None)
    words, hint = (f"{known[0]} ({name})", known[1]) if known else (name or "no response in time", _AGAIN)
    return ProviderUnavailableError(f"the browser could not load the page of {host}: {words}", hint=hint)


def raise_for(failure: Failure, page: Page) -> None:
    """Raise the error for a page that is a dead end, unless a person can continue from it."""
    host = urlsplit(failure.request.url).hostname or "the provider"
    if failure.network:
        raise not_loaded(failure.request.url, failure.network)
    if (failure.status >= 500 or failure.status == 429) and not failure.is_error_page:
        raise ProviderUnavailableError(
            f"{host} answered with status {failure.status} instead of a page",
            hint="Wait a little, then start again.",
            retry_after=failure.retry_after,
        )
    if failure.content:
        raise _not_a_page(host, failure.content)
    # A sign-in page that comes with status 401 after a wrong password is not a dead end.
    if failure.is_error_page or not _has_form(page):
        raise ProviderErrorPageError(
            f"{host} showed an error page: {_heading(page) or f'status {failure.status}'}",
            hint="Usually the client id or the redirect URI is not registered there: check ORMCO_CLIENT_ID,"
            " ORMCO_REDIRECT_URI and ORMCO_PROVIDER.",
        )


def _not_a_page(host: str, what: str) -> ProviderUnavailableError:
    return ProviderUnavailableError(f"{host} answered with {what} instead of a page", hint=_TRY_IN_A_BROWSER)


def _has_form(page: Page) -> bool:
    with suppress(PlaywrightError):
        return page.locator(_FORM).filter(visible=True).count() > 0
    return True


def _heading(page: Page) -> str:
    """Return the page's heading: one short line, without anything that looks like an identifier."""
    with suppress(PlaywrightError):
        for locator in (page.get_by_role("heading"), page.locator("title")):
            text = (locator.first.text_content(timeout=1_000) or "") if locator.count() else ""
            if text.strip():
                return _IDENTIFIER.sub("…", " ".join(text.split()))[:120]
    return ""
