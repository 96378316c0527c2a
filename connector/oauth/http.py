"""HTTP for the whole package: bounded in time and size, no redirects, plain http on this machine only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import InvalidProxyURL, InvalidSchema, RequestException
from requests.utils import select_proxy
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from connector.errors import ProviderUnavailableError
from connector.oauth.http_body import (
    CALL_SECONDS,
    LARGE_LISTS,
    Limits,
    json_object,
    json_value,
    read_whole,
    require_known_coding,
    retry_after,
)
from connector.oauth.http_connection import CURRENT, Exchange, timed
from connector.oauth.http_errors import CA_SETTINGS, failure, is_http_proxy, request_error, set_values
from connector.oauth.provider import is_loopback
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

CONNECT_TIMEOUT = 10.0
SILENCE_TIMEOUT = 20.0
_CHUNK = 64 * 1024
_POOLS, _CONNECTIONS = 10, 32
_ENVIRONMENT_SECONDS = 60.0

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

    def __init__(self, token: str | Secret) -> None:
        self._token = token if isinstance(token, Secret) else Secret(token)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
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

    Thread-safe, and safe after a fork. An answer that is not streamed is read at once.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - it is frozen
        self.limits = limits
        self._process = os.getpid()
        self._environments: dict[str, tuple[float, Mapping[str, Any]]] = {}
        super().__init__(_POOLS, _CONNECTIONS, max_retries=_RETRY)

    def environment(self, url: str) -> Mapping[str, Any]:
        """Return what the environment says of the way to a server: proxies and CA bundle.

        It is asked once a minute: to go through all variables takes a quarter of the time of a request.
        """
        origin, now = "/".join(url.split("/", 3)[:3]), time.monotonic()
        known = self._environments.get(origin)
        if known is None or now - known[0] > _ENVIRONMENT_SECONDS:
            asked = requests.Session().merge_environment_settings(origin, {}, None, None, None)
            bundles = set_values(CA_SETTINGS)  # requests knows but two of them
            known = self._environments[origin] = (now, {**asked, "verify": next(iter(bundles), True)})
        return known[1]

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Trust what the settings name; where there are several, all of them."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        bundles = set_values(CA_SETTINGS)
        if url.lower().startswith("https") and verify is not False and verify in bundles:
            conn.ca_cert_dir = next(filter(os.path.isdir, bundles), None)
            conn.conn_kw["ca_cert_data"] = "".join(map(_text, filter(os.path.isfile, bundles))) or None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections for a request."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        return timed(pool)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, and read its whole answer unless the caller streams it.

        Args:
            request: prepared.
            stream: leave the body unread.
            timeout: seconds to connect and seconds of silence; the limits hold besides.
            verify: False, or a CA bundle, in place of the environment's.
            cert: a client certificate.
            proxies: used for other machines.
        """
        self._renew_after_fork()
        if request.headers.get("Accept-Encoding") != "identity":
            request.headers["Accept-Encoding"] = "gzip"
        connect, silence = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        waits = (connect or CONNECT_TIMEOUT, silence or SILENCE_TIMEOUT)
        exchange = Exchange(self.limits.seconds, silence=waits[1], idle=self.limits.idle)
        token = CURRENT.set(exchange)
        try:
            way = self._way(request.url or "", verify, proxies)
            response = self._carry_out(request, exchange, timeout=waits, cert=cert, **way)
            require_known_coding(response)
            if stream:
                exchange.extend(self.limits.stream_seconds)
            else:
                read_whole(response, self.limits.body)
            return response
        except (HTTPError, OSError, ValueError) as exc:
            raise request_error(exc, exchange) from exc
        finally:
            CURRENT.reset(token)

    def _renew_after_fork(self) -> None:
        """Open new connections in a child: two processes on one connection would get each other's answers."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.proxy_manager = {}
            self.init_poolmanager(_POOLS, _CONNECTIONS)

    def _way(self, url: str, verify: bool | str, proxies: Mapping[str, str] | None) -> dict[str, Any]:
        """Return the CA bundle and the proxy for an address."""
        if is_loopback(url):
            proxies = None
        elif urlsplit(url).scheme != "https":
            raise InvalidSchema("plain http is for this machine alone")
        proxy = select_proxy(url, dict(proxies or {}))
        if proxy is not None and not is_http_proxy(proxy):
            raise InvalidProxyURL("the proxy's address cannot be used")
        return {
            "verify": self.environment(url)["verify"] if verify is True else verify,
            "proxies": proxies,
        }

    def _carry_out(
        self, request: requests.PreparedRequest, exchange: Exchange, **way: Any
    ) -> requests.Response:
        """Send a request; again if it read and nothing came: the server had closed the kept connection."""
        while True:
            exchange.sent, exchange.reused = False, True
            try:
                return super().send(request, stream=True, **way)
            except requests.ConnectionError:
                if request.method not in ("GET", "HEAD") or not exchange.reused or exchange.passed:
                    raise


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError:
        return ""


def open_session(transport: Transport | None = None) -> StatelessSession:
    """Return a session; close it when done, unless its transport belongs to somebody else."""
    session = StatelessSession()
    transport = transport or Transport()
    session.mount("https://", transport)
    session.mount("http://", transport)
    session.headers["Accept"] = "application/json"
    return session


def call(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    """Send a request that follows no redirect, and return the answer.

    Args:
        session: on `Transport`.
        method: the HTTP method.
        url: the address.
        options: as `requests.Session.request` takes them.

    Raises:
        connector.errors.ProviderUnavailableError: no answer; `sent` tells whether it may have arrived.
    """
    try:
        return session.request(method, url, allow_redirects=False, **options)
    except RequestException as exc:
        error = failure(exc, url)
    # Raised here, so that no frame below, which may hold a secret, hangs on the error.
    raise error


def stream(response: requests.Response) -> Iterator[bytes]:
    """Yield a streamed answer's bytes as they arrive, so that a cut loses nothing that came before it.

    Raises:
        connector.errors.ProviderUnavailableError: it was cut, or takes too long.
    """
    error: ProviderUnavailableError | None = None
    while error is None:
        try:
            chunk = response.raw.read1(_CHUNK, decode_content=True)
        except (HTTPError, OSError) as exc:
            error = failure(request_error(exc), response.url)
            break
        if not chunk:
            return
        yield chunk
    raise error
