"""Turn errors of a request into our own, with the fact whether it may have reached the server."""

from __future__ import annotations

from urllib.parse import urlsplit

from requests.exceptions import (
    InvalidProxyURL,
    InvalidURL,
    ProxyError,
    ReadTimeout,
    RequestException,
    SSLError,
    Timeout,
)
from urllib3.exceptions import LocationParseError, NameResolutionError, ReadTimeoutError

from connector.errors import Action, ProviderUnavailableError
from connector.oauth.http_connection import Exchange
from connector.oauth.http_environment import authority_settings, proxy_setting

__all__ = ["UnusableError", "failure", "request_error"]


def failure(exc: RequestException, url: str) -> ProviderUnavailableError:
    """Return our error for a failed request.

    Args:
        exc: the error that `Transport` or a session raised.
        url: the address; only its host is named.
    """
    # A ValueError comes from preparing the request.
    sent = bool(vars(exc).get("sent", not isinstance(exc, ValueError)))
    what, hint, action = _words(exc, sent=sent)
    return ProviderUnavailableError(f"{urlsplit(url).netloc}: {what}", hint=hint, sent=sent, action=action)


class UnusableError(RequestException):
    """The response cannot be read within the limits."""


def _words(exc: RequestException, *, sent: bool) -> tuple[str, str, Action | None]:
    if isinstance(exc, SSLError):
        hint = (
            "Check this machine's clock. If a proxy or a private certificate authority vouches for the host, "
            f"{authority_settings()} has to name a file (PEM) with its certificate."
        )
        return "no trusted TLS connection", hint, Action.FIX_SETTINGS
    if isinstance(exc, ProxyError | InvalidProxyURL):
        hint = f"Check {proxy_setting()}, and that the proxy is up."
        return "the proxy cannot be used", hint, Action.FIX_SETTINGS
    if isinstance(exc, Timeout):
        return "no answer in time", "Try again in a few minutes.", None
    if isinstance(exc, UnusableError):
        return str(exc), "Check the address; a proxy may stand in between.", None
    if not sent:
        what = "its name is not known" if _is_unresolved(exc) else "cannot be reached"
        return what, "Check the network, the address in the provider's settings, and any proxy.", None
    return "the connection was cut before a whole answer came", "Try again.", None


def _is_unresolved(exc: RequestException) -> bool:
    reason = getattr(exc.args[0], "reason", exc.args[0]) if exc.args else None
    return isinstance(reason, NameResolutionError | LocationParseError)


def request_error(exc: Exception, exchange: Exchange | None = None) -> RequestException:
    """Return the error of requests, with the fact whether the request may have reached the server."""
    error: RequestException
    if isinstance(exc, ReadTimeoutError) or (exchange is not None and exchange.passed):
        error = ReadTimeout(exc)
    elif isinstance(exc, RequestException):
        error = exc
    elif isinstance(exc, OSError) and exchange is not None:
        error = SSLError("the CA bundle is not there")
    elif isinstance(exc, LocationParseError | UnicodeError):
        error = InvalidURL(exc)
    else:
        error = RequestException(exc)
    vars(error)["sent"] = exchange is None or exchange.sent
    return error
