"""The one transport: what every request of this package is carried by."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL, InvalidSchema
from requests.utils import select_proxy
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


class Transport(HTTPAdapter):
    """A transport adapter that keeps this module's promises for every request sent through it.

    Thread-safe, and safe after a fork. An answer that is not streamed is read at once.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - it is frozen
        self.limits = limits
        self._process = os.getpid()
        self._ways: dict[str, tuple[float, Way]] = {}
        super().__init__(_POOLS, _CONNECTIONS, max_retries=_RETRY)

    def way(self, url: str) -> Way:
        """Return how to reach a server.

        The environment is read once a minute: to go through it takes a quarter of the time of a request.
        """
        origin, now = "/".join(url.split("/", 3)[:3]), time.monotonic()
        known = self._ways.get(origin)
        if known is None or now - known[0] > _ENVIRONMENT_SECONDS:
            known = self._ways[origin] = (now, find_way(origin))
        return known[1]

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Trust what is named beside the first CA bundle, too."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        way = self.way(url)
        if way.folder and conn.ca_certs and verify == way.verify:
            conn.ca_cert_dir = way.folder
        if way.further and conn.ca_certs and verify == way.verify:
            conn.conn_kw["ca_cert_data"] = way.further

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections for a request."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = CONNECTIONS[pool.scheme]
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
            forget_locals(exc)  # the frames of urllib3 hold the headers, and those the token
            raise request_error(exc, exchange) from exc
        except BaseException as exc:  # Ctrl-C, or what the caller raises in a signal's handler
            outcome = type(exc).__name__
            raise
        finally:
            CURRENT.reset(token)
            host, seconds = urlsplit(request.url or "").hostname or "", time.monotonic() - began
            record_call(host=host, status=status, outcome=outcome, seconds=seconds, date=date)

    def _renew_after_fork(self) -> None:
        """Open new connections in a child: two processes on one connection would get each other's answers."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.proxy_manager.clear()
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
            "verify": self.way(url).verify if verify is True else verify,
            "proxies": proxies,
        }

    def _carry_out(
        self, request: requests.PreparedRequest, exchange: Exchange, **way: Any
    ) -> requests.Response:
        """Send a request; again if it read and nothing came: the server had closed the kept connection."""
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
