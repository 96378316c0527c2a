"""HTTP for the whole package: bounded in time and size, no redirects, plain http on this machine only."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.exceptions import (
    InvalidProxyURL,
    ProxyError,
    RequestException,
    SSLError,
    Timeout,
)
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError

from connector.errors import Action, ProviderUnavailableError
from connector.oauth.http_body import (
    CALL_SECONDS,
    LARGE_LISTS,
    Limits,
    UnusableError,
    json_object,
    json_value,
    retry_after,
)
from connector.oauth.http_environment import CA_SETTINGS, PROXY_SETTINGS
from connector.oauth.http_transport import Transport, request_error
from connector.redact import Secret

__all__ = [
    "CALL_SECONDS",
    "LARGE_LISTS",
    "BearerAuth",
    "Limits",
    "StatelessSession",
    "Transport",
    "call",
    "failure",
    "json_object",
    "json_value",
    "open_session",
    "retry_after",
    "stream",
]

_CHUNK = 64 * 1024


class BearerAuth(AuthBase):
    """Put a bearer token on a request (RFC 6750 §2.1)."""

    def __init__(self, token: str | Secret) -> None:
        self._token = token if isinstance(token, Secret) else Secret(token)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


class StatelessSession(requests.Session):
    """A session on `Transport` that adds and changes nothing by itself.

    It follows no redirect: a 307 would carry a code, a secret or a token to an address that was not checked.
    It keeps no cookies, which would connect one practice's calls to another's, and reads no .netrc.
    """

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Return a request ready to be sent."""
        prepared = requests.PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, request.params or "")
        prepared.prepare_headers({**self.headers, **(request.headers or {})})
        prepared.prepare_body(request.data, request.files, request.json)
        prepared.prepare_auth(request.auth, request.url)
        return prepared

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Return the settings for the transport, which reads the environment itself."""
        return {"stream": stream}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request."""
        kwargs.pop("allow_redirects", None)
        return self.get_adapter(request.url or "").send(request, **kwargs)


def open_session(transport: Transport | None = None) -> StatelessSession:
    """Return a session; close it after use, unless its transport is shared."""
    session = StatelessSession()
    transport = transport or Transport()
    session.mount("https://", transport)
    session.mount("http://", transport)
    session.headers["Accept"] = "application/json"
    return session


def call(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    """Send a request without following redirects, and return the response.

    Args:
        session: a session on `Transport`.
        method: the HTTP method.
        url: the address.
        options: as for `requests.Session.request`.

    Raises:
        connector.errors.ProviderUnavailableError: no response; `sent`: whether the request may have arrived.
    """
    try:
        return session.request(method, url, allow_redirects=False, **options)
    except RequestException as exc:
        error = failure(exc, url)
    # Raised here, so that the error references no frame below, which may hold a secret.
    raise error


def stream(response: requests.Response) -> Iterator[bytes]:
    """Yield a streamed response's bytes as they arrive, so that an interruption loses none of them.

    Raises:
        connector.errors.ProviderUnavailableError: it was interrupted, or takes too long.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    unpacker = None if coding in ("", "identity") else zlib.decompressobj(31)
    error: ProviderUnavailableError | None = None
    while error is None:
        try:
            left = unpacker.unconsumed_tail if unpacker is not None else b""
            data = left or response.raw.read1(_CHUNK, decode_content=False)
            # A proxy may have compressed only a part: then the length is right, but the content is cut.
            if unpacker is not None and (not (data or unpacker.eof) or unpacker.unused_data):
                raise zlib.error("not one whole stream")
            chunk = data if unpacker is None else unpacker.decompress(data, _CHUNK)
        except (HTTPError, zlib.error) as exc:
            error = failure(request_error(exc), response.url)
            break
        if not data:
            return
        yield chunk
    raise error


def failure(exc: RequestException, url: str) -> ProviderUnavailableError:
    """Return the `ProviderUnavailableError` for a failed request.

    Args:
        exc: the error that `Transport` or a session raised.
        url: the address; only its host is named.
    """
    # A ValueError comes from preparing the request.
    sent = bool(vars(exc).get("sent", not isinstance(exc, ValueError)))
    what, hint, action = _words(exc, sent=sent)
    return ProviderUnavailableError(f"{urlsplit(url).netloc}: {what}", hint=hint, sent=sent, action=action)


def _words(exc: RequestException, *, sent: bool) -> tuple[str, str, Action | None]:
    # If a connection through a proxy is cut after the request was sent, urllib3 still blames the proxy.
    if isinstance(exc, SSLError) and not sent:
        named = " or ".join(filter(os.environ.get, CA_SETTINGS)) or "SSL_CERT_FILE"
        hint = (
            "Check this machine's clock. If a proxy or a private certificate authority certifies the host, "
            f"set {named} to a file (PEM) with its certificate."
        )
        return "no trusted TLS connection", hint, Action.FIX_SETTINGS
    if isinstance(exc, ProxyError | InvalidProxyURL) and not sent:
        named = next(filter(os.environ.get, PROXY_SETTINGS), "the system's proxy setting")
        hint = f"Check {named}, and that the proxy is running."
        return "the proxy cannot be used", hint, Action.FIX_SETTINGS
    if isinstance(exc, Timeout):
        return "no response in time", "Try again in a few minutes.", None
    if isinstance(exc, UnusableError):
        return str(exc), "Check the address: the response may be a proxy's.", None
    if not sent:
        reason = getattr(exc.args[0], "reason", exc.args[0]) if exc.args else None
        unknown = isinstance(reason, NameResolutionError | LocationParseError)
        what = "its host name is not known" if unknown else "cannot be reached"
        return what, "Check the network, the address in the provider's settings, and any proxy.", None
    return "the connection was cut before the whole response arrived", "Try again.", None
