"""The transport adapter for every HTTP request of this package."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import ReadTimeout, RequestException
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import PoolManager, ProxyManager
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util.retry import Retry

from connector.calls import record_call
from connector.oauth.http_body import Limits, read_body
from connector.oauth.http_connection import CONNECTIONS, CURRENT, Exchange
from connector.oauth.http_environment import find_proxy, tls_context
from connector.redact import forget_locals

__all__ = ["Transport", "request_error"]

_CONNECT_TIMEOUT = 10.0
_SILENCE_TIMEOUT = 20.0
_CONNECTIONS = 32
_ENVIRONMENT_SECONDS = 60.0

# Only a connection that never opened is tried again: urllib3 counts those as "connect".
_RETRY = Retry(
    connect=1,
    read=False,  # raise the error as it is
    other=0,
    respect_retry_after_header=False,  # the caller reads the header, and nothing sleeps here
)


class Transport(HTTPAdapter):
    """A transport adapter that applies the limits and deadlines to every request sent through it.

    Thread-safe, and safe after a fork. A response that is not streamed is read completely. The pool of
    connections, which depends on the environment's proxies and CA bundles, is cached for each server: finding
    it takes most of the processor time of a small request.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - it is frozen
        self.limits = limits
        self._process = os.getpid()
        self._read_at = time.monotonic()
        self._pools: dict[Any, Any] = {}
        super().__init__(max_retries=_RETRY)

    def close(self) -> None:
        """Close the network connections."""
        self._pools.clear()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections for the current request."""
        return CURRENT.get().pool

    def cert_verify(self, *args: Any) -> None:
        """Do nothing: a pool's TLS context has its certificate authorities."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return the path of a request: a proxy is used only as a tunnel for TLS."""
        return request.path_url

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
            stream: whether to leave the body unread.
            timeout: seconds to connect and seconds between two bytes; the limits apply too.
            verify: False, or a CA bundle, in place of the environment's.
            cert: a client certificate.
            proxies: the proxies for other machines; None for the environment's.
        """
        if request.headers.get("Accept-Encoding") != "identity":
            request.headers["Accept-Encoding"] = "gzip"
        connect, silence = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        waits = (connect or _CONNECT_TIMEOUT, silence or _SILENCE_TIMEOUT)
        exchange = Exchange(self.limits.seconds, silence=waits[1], idle=self.limits.idle)
        token, began = CURRENT.set(exchange), time.monotonic()
        response, outcome = None, "answered"
        try:
            exchange.pool = self._pool(request.url or "", verify, cert, proxies)
            response = self._send(request, exchange, waits)
            if stream:
                exchange.extend(self.limits.stream_seconds)
            read_body(response, None if stream else self.limits.body)
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
            # The pool's connections refer to the exchange: in a cycle they would stay open after `close`.
            exchange.pool = None
            record_call(
                host=urlsplit(request.url or "").hostname or "",
                status=None if response is None else response.status_code,
                date=None if response is None else response.headers.get("Date"),
                outcome=outcome,
                seconds=time.monotonic() - began,
            )

    def _send(
        self, request: requests.PreparedRequest, exchange: Exchange, timeout: tuple[float, float]
    ) -> requests.Response:
        """Send a request; repeat a GET or HEAD if the server had closed the kept connection."""
        while True:
            exchange.reused = False
            try:
                return super().send(request, timeout=timeout)
            except requests.ConnectionError:
                # Each kept connection may have been closed meanwhile; a new one, or none, is not tried again.
                if request.method not in ("GET", "HEAD") or not exchange.reused or exchange.passed:
                    raise

    def _pool(self, url: str, verify: Any, cert: Any, proxies: Mapping[str, str] | None) -> Any:
        """Return the pool of connections for an address and a caller's settings."""
        now = time.monotonic()
        if self._process != os.getpid():
            # A child opens its own: two processes on one connection would get each other's responses.
            self._process, self._pools = os.getpid(), {}
        elif now - self._read_at > _ENVIRONMENT_SECONDS:
            self._read_at, self._pools = now, {}
        origin = "/".join(url.split("/", 3)[:3])
        key = origin, verify, cert, None if proxies is None else frozenset(proxies.items())
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._new_pool(origin, verify, cert, proxies)
        return pool

    def _new_pool(self, origin: str, verify: Any, cert: Any, proxies: Mapping[str, str] | None) -> Any:
        proxy = find_proxy(origin, proxies)
        context = tls_context(verify, cert) if origin.lower().startswith("https:") else None
        options: dict[str, Any] = {"maxsize": _CONNECTIONS, "ssl_context": context}
        if proxy is not None:
            options |= {"proxy_headers": self.proxy_headers(proxy), "proxy_ssl_context": context}
        manager = PoolManager(**options) if proxy is None else ProxyManager(proxy, **options)
        pool = manager.connection_from_url(origin)
        pool.ConnectionCls = CONNECTIONS[pool.scheme]
        return pool


def request_error(exc: Exception, exchange: Exchange | None = None) -> RequestException:
    """Return requests' error, with the attribute `sent`: whether the request may have reached the server."""
    error: RequestException
    if isinstance(exc, ReadTimeoutError) or (exchange is not None and exchange.passed):
        error = ReadTimeout(exc)
    elif isinstance(exc, RequestException):
        error = exc
    else:
        error = RequestException(exc)
    vars(error)["sent"] = exchange is None or exchange.sent
    return error
