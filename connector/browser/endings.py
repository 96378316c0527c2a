"""The ways a visit to the provider ends without the redirect, in words."""

from __future__ import annotations

from urllib.parse import urlsplit

from connector.errors import (
    BrowserUnavailableError,
    NobodyActedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    WindowClosedError,
)

__all__ = ["crashed", "error_page", "nobody_acted", "unavailable", "unreachable", "window_closed"]


def window_closed() -> WindowClosedError:
    """A person closed the window."""
    return WindowClosedError(
        "the browser window was closed before access was allowed",
        hint="Start again, and leave the window open until it says that access is allowed.",
    )


def nobody_acted(seconds: float) -> NobodyActedError:
    """The time ran out."""
    duration = f"{seconds:g} seconds" if seconds < 120 else f"{seconds / 60:g} minutes"
    return NobodyActedError(
        f"nobody allowed or refused access within {duration}",
        hint="Start again when somebody with the account's password is there; --timeout gives more time.",
    )


def crashed() -> BrowserUnavailableError:
    """The browser, or its page, went away by itself."""
    return BrowserUnavailableError(
        "the browser ended unexpectedly",
        hint="Start again; if it happens again, set ORMCO_BROWSER to another Chrome, or use --paste.",
    )


def unreachable(url: str, reason: str) -> ProviderUnavailableError:
    """No page came at all."""
    return ProviderUnavailableError(
        f"the browser could not load the page of {_host(url)}: {reason}",
        hint="Check the network connection and ORMCO_PROVIDER, then start again.",
    )


def unavailable(url: str, status: int, retry_after: float | None) -> ProviderUnavailableError:
    """The provider, or something before it, is out of order."""
    return ProviderUnavailableError(
        f"{_host(url)} answered with status {status} instead of a page",
        hint="Wait a little, then start again.",
        retry_after=retry_after,
    )


def error_page(url: str, heading: str) -> ProviderErrorPageError:
    """The provider will not go on, and says so on a page of its own."""
    return ProviderErrorPageError(
        f"{_host(url)} showed an error page" + (f": {heading}" if heading else ""),
        hint="Mostly the client id or the redirect URI is not registered there: check ORMCO_CLIENT_ID,"
        " ORMCO_REDIRECT_URI and ORMCO_PROVIDER.",
    )


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the provider"
