"""The transport adapter for every HTTP request of this package."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import InvalidProxyURL, InvalidSchema
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, select_proxy
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from connector.calls import record_call
from connector.frames import forget_locals
from connector.oauth.http_body import Limits, read_whole, require_known_coding
from connector.oauth.http_connection import CONNECTIONS, CURRENT, Exchange
from connector.oauth.http_environment import Way, find_way, is_http_proxy
from connector.oauth.http_errors import request_error
from connector.oauth.provider import is_loopback

__all__ = ["Transport"]

_CONNECT_TIMEOUT = 10.0
_SILENCE_TIMEOUT = 20.0
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


@dataclass(slots=True)
class _Route:
    """The cached way to a server, until the environment is read again.

    Attributes:
        read_at: when the environment was read.
        way: the proxies and certificate authorities from it.
        usual: the checked proxies and CA bundle of a call that sets no others.
        pool: the network connections of such calls.
    """

    read_at: float
    way: Way
    usual: dict[str, Any] = field(default_factory=dict)
    pool: Any = None


class Transport(HTTPAdapter):
    """A transport adapter that applies the limits and deadlines to every request sent through it.

    Thread-safe, and safe after a fork. A response that is not streamed is read at once. Proxy, CA bundle and
    pool of connections, which requests determines for each request, are cached for each server: they take
    most of the processor time of a small request.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - it is frozen
        self.limits = limits
        self._process = os.getpid()
        self._routes: dict[str, _Route] = {}
        super().__init__(_POOLS, _CONNECTIONS, max_retries=_RETRY)

    def way(self, url: str) -> Way:
        """Return how to reach a server, as the environment says."""
        return self._route(url).way

    def _route(self, url: str) -> _Route:
        origin, now = "/".join(url.split("/", 3)[:3]), time.monotonic()
        route = self._routes.get(origin)
        if route is None or now - route.read_at > _ENVIRONMENT_SECONDS:
            route = self._routes[origin] = _Route(now, find_way(origin))
        return route

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: a pool gets its certificate authorities when it is made."""

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool of connections for a request."""
        url = request.url or ""
        route = self._route(url)
        is_usual = cert is None and route.usual == {"verify": verify, "proxies": proxies}
        if is_usual and route.pool is not None and route.pool.pool is not None:  # None: it was closed
            return route.pool
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        pool.ConnectionCls = CONNECTIONS[pool.scheme]
        super().cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]
        # Trust the further CA bundles too.
        way = route.way
        if way.folder and pool.ca_certs and verify == way.verify:
            pool.ca_cert_dir = way.folder
        if way.further and pool.ca_certs and verify == way.verify:
            pool.conn_kw["ca_cert_data"] = way.further
        if is_usual:
            route.pool = pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return the path of a request: a proxy is used only as a tunnel for TLS."""
        path = request.path_url
        return f"/{path.lstrip('/')}" if path.startswith("//") else path

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return a response of requests; cookies are read only if there are any."""
        response = requests.Response()
        response.status_code, response.reason = resp.status, resp.reason
        response.headers = CaseInsensitiveDict(resp.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw, response.url, response.request = resp, req.url or "", req
        response.connection = self
        if "Set-Cookie" in response.headers:
            extract_cookies_to_jar(response.cookies, req, resp)  # type: ignore[no-untyped-call]
        return response

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, and read the whole response unless the caller streams it.

        Args:
            request: the prepared request.
            stream: leave the body unread.
            timeout: seconds to connect and seconds between two bytes; the limits apply too.
            verify: False, or a CA bundle, in place of the environment's.
            cert: a client certificate.
            proxies: the proxies for other machines.
        """
        self._renew_after_fork()
        if request.headers.get("Accept-Encoding") != "identity":
            request.headers["Accept-Encoding"] = "gzip"
        connect, silence = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        waits = (connect or _CONNECT_TIMEOUT, silence or _SILENCE_TIMEOUT)
        exchange = Exchange(self.limits.seconds, silence=waits[1], idle=self.limits.idle)
        token = CURRENT.set(exchange)
        began, status, date, outcome = time.monotonic(), None, None, ""
        try:
            way = self._way(request.url or "", verify, proxies)
            response = self._carry_out(request, exchange, timeout=waits, cert=cert, **way)
            status, date = response.status_code, response.headers.get("Date")
            require_known_coding(response)
            if stream:
                exchange.extend(self.limits.stream_seconds)
            else:
                read_whole(response, self.limits.body)
            outcome = "answered"
            return response
        except (HTTPError, OSError, ValueError) as exc:
            outcome = type(exc).__name__
            forget_locals(exc)  # the frames of urllib3 hold the headers, which contain the token
            raise request_error(exc, exchange) from exc
        except BaseException as exc:  # Ctrl-C, or an error that the caller raises in a signal handler
            outcome = type(exc).__name__
            raise
        finally:
            CURRENT.reset(token)
            host, seconds = urlsplit(request.url or "").hostname or "", time.monotonic() - began
            record_call(host=host, status=status, outcome=outcome, seconds=seconds, date=date)

    def _renew_after_fork(self) -> None:
        """Open new connections in a child: two processes on one would get each other's responses."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._routes.clear()
            self.proxy_manager.clear()
            self.init_poolmanager(_POOLS, _CONNECTIONS)

    def _way(self, url: str, verify: bool | str, proxies: Mapping[str, str] | None) -> dict[str, Any]:
        """Return the CA bundle and the proxy for an address."""
        route = self._route(url)
        is_usual = verify is True and proxies is route.way.proxies
        if is_usual and route.usual:
            return route.usual
        if is_loopback(url):
            proxies = None
        elif urlsplit(url).scheme != "https":
            raise InvalidSchema("plain http is for this machine alone")
        proxy = select_proxy(url, dict(proxies or {}))
        if proxy is not None and not is_http_proxy(proxy):
            raise InvalidProxyURL("the proxy's address cannot be used")
        found = {"verify": route.way.verify if verify is True else verify, "proxies": proxies}
        if is_usual:
            route.usual = found
        return found

    def _carry_out(
        self, request: requests.PreparedRequest, exchange: Exchange, **way: Any
    ) -> requests.Response:
        """Send a request; repeat a GET or HEAD if the server had closed the kept connection."""
        # Each kept connection may have been closed meanwhile; a new one is not tried again.
        retries = _CONNECTIONS if request.method in ("GET", "HEAD") else 0
        while True:
            exchange.sent, exchange.reused = False, True
            try:
                return super().send(request, stream=True, **way)
            except requests.ConnectionError:
                if not retries or not exchange.reused or exchange.passed:
                    raise
                retries -= 1
