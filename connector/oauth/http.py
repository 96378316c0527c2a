"""HTTP as this package speaks it: bounded in time and size, no redirects, plain http on this machine only."""

from __future__ import annotations

import json
import math
import ssl
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import (
    ConnectTimeout,
    InvalidSchema,
    ProxyError,
    ReadTimeout,
    RequestException,
    SSLError,
    Timeout,
)
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.util.retry import Retry

from connector.errors import ProviderUnavailableError
from connector.oauth.provider import is_loopback
from connector.oauth.response_deadline import give_deadline

__all__ = [
    "BearerAuth",
    "StatelessSession",
    "Transport",
    "failure",
    "json_object",
    "open_session",
    "retry_after",
]

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 20.0
LARGEST_BODY = 1024 * 1024
_CHUNK = 64 * 1024
_LONGEST_WAIT = 86400.0
_ENVIRONMENT_SECONDS = 60.0
# int() refuses longer ones, and with them the whole answer.
_LONGEST_NUMBER = 400

# Only a connection that never opened is tried again: urllib3 counts those as "connect".
_RETRY = Retry(
    total=1,
    connect=1,
    read=False,  # raise the error as it is
    redirect=0,
    status=0,
    other=0,
    respect_retry_after_header=False,  # the caller reads the header, and nothing sleeps here
)


class BearerAuth(AuthBase):
    """Put a bearer token on a request (RFC 6750 §2.1)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class StatelessSession(requests.Session):
    """A session on `Transport` that sends what it is told where it is told.

    It follows nothing: a 307 would carry a code, a secret or a token to an address nobody checked. It keeps
    no cookies, which would tie one practice's calls to another's, and reads no .netrc.
    """

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Return a request ready to be sent."""
        prepared = requests.PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, request.params or "")
        prepared.prepare_headers({**self.headers, **(request.headers or {})})
        prepared.prepare_body(request.data, request.files, request.json)
        prepared.prepare_auth(request.auth, request.url)
        prepared.prepare_hooks(request.hooks)
        return prepared

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Return how to reach a server, as the transport knows it; nobody here asks for another way."""
        return {**cast(Transport, self.get_adapter(url)).environment(url), "stream": stream}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request."""
        kwargs.pop("allow_redirects", None)
        return self.get_adapter(request.url or "").send(request, **kwargs)


class Transport(HTTPAdapter):
    """A transport adapter that keeps this module's promises for every request sent through it.

    Args:
        bounded: read the whole answer at once, up to a size and a time; False for a caller who streams.
    """

    def __init__(self, *, bounded: bool = True) -> None:
        self._bounded = bounded
        self._environments: dict[str, tuple[float, Mapping[str, Any]]] = {}
        super().__init__(max_retries=_RETRY, pool_maxsize=32)

    def environment(self, url: str) -> Mapping[str, Any]:
        """Return what the environment says of the way to a server: proxies and CA bundle.

        It is asked once a minute: to go through all variables takes a quarter of the time of a request.
        """
        origin, now = "/".join(url.split("/", 3)[:3]), time.monotonic()
        known = self._environments.get(origin)
        if known is None or now - known[0] > _ENVIRONMENT_SECONDS:
            asked = requests.Session().merge_environment_settings(origin, {}, None, None, None)
            known = self._environments[origin] = (now, asked)
        return known[1]

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections for a request."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if self._bounded:
            give_deadline(pool)
        return pool

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request and read its whole answer, unless the caller streams it."""
        url = request.url or ""
        if is_loopback(url):
            proxies = None
        elif urlsplit(url).scheme != "https":
            raise InvalidSchema("plain http is for this machine alone")
        timeout = timeout or (CONNECT_TIMEOUT, READ_TIMEOUT)
        try:
            response = super().send(request, stream or self._bounded, timeout, verify, cert, proxies)
        except OSError as exc:
            if isinstance(exc, RequestException):
                raise
            raise SSLError(ssl.SSLCertVerificationError("the CA bundle is not there")) from None
        if self._bounded:
            _read_whole(response)
        return response


def open_session() -> requests.Session:
    """Return a session with this module's transport; close it when done."""
    session = StatelessSession()
    session.mount("https://", Transport())
    session.mount("http://", Transport())
    session.headers["Accept"] = "application/json"
    return session


def json_object(response: requests.Response) -> dict[str, Any] | None:
    """Return the body as a JSON object, or None if it is anything else; a stray byte spoils nothing."""
    try:
        body = json.loads(response.content.decode("utf-8-sig", "replace"), parse_int=_number)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def retry_after(response: requests.Response, now: float) -> float | None:
    """Return the seconds a `Retry-After` header asks for (RFC 9110 §10.2.3), at most a day, or None.

    Args:
        response: the answer.
        now: seconds since 1970.
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), _LONGEST_WAIT)
    from email.utils import parsedate_to_datetime  # seldom needed

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return min(max(moment.timestamp() - now, 0.0), _LONGEST_WAIT)


def failure(exc: RequestException, url: str) -> ProviderUnavailableError:
    """Return what went wrong with a request, in words.

    Args:
        exc: what requests raised.
        url: the address; only its host is named.
    """
    sent = not _never_sent(exc)
    if isinstance(exc, SSLError):
        what = "no trusted TLS connection"
        hint = "Check this machine's clock, REQUESTS_CA_BUNDLE if it is set, and any proxy in between."
    elif isinstance(exc, Timeout):
        what, hint = "no answer in time", "Try again in a few minutes."
    elif not sent:
        what, hint = "cannot be reached", "Check the network, the address and any proxy, then try again."
    elif isinstance(exc, _TooLargeError):
        what, hint = (
            "the answer is far too large to be one",
            "Check the address; a proxy may stand in between.",
        )
    else:
        what, hint = "the connection was cut before a whole answer came", "Try again."
    return ProviderUnavailableError(f"{urlsplit(url).netloc}: {what}", hint=hint, sent=sent)


class _TooLargeError(RequestException):
    """The answer is longer than any answer of a provider."""


def _number(digits: str) -> float:
    return int(digits) if len(digits) < _LONGEST_NUMBER else math.inf


def _never_sent(exc: BaseException) -> bool:
    """Tell whether the request certainly did not reach the server, by what lies at the bottom of the error.

    A broken TLS connection is no such proof; an untrusted certificate is.
    """
    for _ in range(8):
        if isinstance(
            exc,
            ConnectTimeout | InvalidSchema | ProxyError | NewConnectionError | ssl.SSLCertVerificationError,
        ):
            return True
        below = getattr(exc, "reason", None) or (exc.args[0] if exc.args else None)
        if not isinstance(below, BaseException):
            return False
        exc = below
    return False


def _read_whole(response: requests.Response) -> None:
    """Read the body into the response, or give up when it is too long or too slow."""
    body = bytearray()
    try:
        for chunk in response.raw.stream(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > LARGEST_BODY:
                raise _TooLargeError
    except ReadTimeoutError:
        response.close()
        raise ReadTimeout("the answer takes too long") from None
    except (HTTPError, OSError) as exc:
        response.close()
        raise exc if isinstance(exc, RequestException) else RequestException(exc) from None
    response._content = bytes(body)
    response._content_consumed = True  # type: ignore[attr-defined]
    response.encoding = response.encoding or "utf-8"  # nobody has to guess it, which is slow
    response.raw.release_conn()
