"""Network connections that end with their call's deadline, and record whether a request was sent.

A socket's timeout restarts with every byte: a server that sends a byte of its headers every few seconds would
block its caller, and the caller's locks, for hours. http.client treats a connection that is cut within the
headers as the end of the headers, and `103 Early Hints` as the response.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from contextvars import ContextVar
from http import HTTPStatus
from http.client import HTTPResponse, RemoteDisconnected
from queue import Empty, SimpleQueue
from typing import Any

import urllib3.util.connection
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)

__all__ = ["CONNECTIONS", "CURRENT", "Exchange", "SecureSocket"]


class Exchange:
    """One HTTP call: its deadline, and how far it got.

    Args:
        seconds: seconds from now until its deadline.
        silence: the longest pause between two bytes, in seconds.
        idle: seconds after which an open connection is not used again.
    """

    __slots__ = ("_silence", "_started", "cut", "ends_at", "idle", "pool", "reused", "sent")

    pool: Any  # the pool of connections for this request
    reused: bool  # whether the request was sent on the connection of an earlier request
    cut: bool  # whether the last read found the connection closed

    def __init__(self, seconds: float, *, silence: float, idle: float) -> None:
        self._started = time.monotonic()
        self._silence = silence
        self.idle: float = idle
        self.ends_at: float = self._started + seconds
        self.sent: bool = False

    def extend(self, seconds: float) -> None:
        """Set the deadline to this many seconds after the start."""
        self.ends_at = self._started + seconds

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.ends_at

    def allow(self, longest: float | None = None) -> float:
        """Return the seconds that the next step may take.

        Raises:
            TimeoutError: if no time is left.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call takes too long")
        return min(left, self._silence if longest is None else longest)


_NUMERIC = re.compile(r"[\d.]+|.*:.*")
# The call of this thread: urllib3 has no way to pass it from the adapter to the connection.
CURRENT: ContextVar[Exchange] = ContextVar("CURRENT")


class _TimedSocket:
    """A socket whose reads end at the deadline of its exchange, not only after a pause.

    The exchange is set with each request. A streamed response is read after its call has returned.
    """

    exchange: Exchange

    def recv_into(self, *args: Any) -> int:
        self.settimeout(self.exchange.allow())  # type: ignore[attr-defined]
        count: int = super().recv_into(*args)  # type: ignore[misc]
        self.exchange.cut = count == 0
        return count

    def recv(self, *args: Any) -> bytes:
        # Called by the TLS connection to the server, if this one is to a proxy and TLS too.
        self.settimeout(self.exchange.allow())  # type: ignore[attr-defined]
        data: bytes = super().recv(*args)  # type: ignore[misc]
        self.exchange.cut = not data
        return data


class _PlainSocket(_TimedSocket, socket.socket):
    pass


class SecureSocket(_TimedSocket, ssl.SSLSocket):
    """The socket class for TLS contexts."""


class _Response(HTTPResponse):
    def begin(self) -> None:
        # RFC 9110 §15.2: any number of 1xx responses may precede the final one. http.client only knows 100.
        while True:
            super().begin()
            if CURRENT.get().cut:
                raise RemoteDisconnected("the connection was cut within the headers")
            if not 100 <= self.status < 200 or self.status == HTTPStatus.SWITCHING_PROTOCOLS:
                return
            self.headers = None  # type: ignore[assignment]  # http.client reads headers only if it has none


class _Connection(HTTPConnection):
    response_class = _Response
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._used_at < CURRENT.get().idle and super().is_connected

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            CURRENT.get().sent = False  # bytes sent while connecting reach the proxy only

    def send(self, data: Any) -> None:
        exchange = CURRENT.get()
        if self.sock is None:
            self.connect()
        sock: Any = getattr(self.sock, "socket", self.sock)  # the socket to the proxy, if TLS is inside TLS
        self.sock.settimeout(exchange.allow())
        if (previous := getattr(sock, "exchange", None)) is not exchange:
            exchange.reused = previous is not None
        sock.exchange, exchange.sent, self._used_at = exchange, True, time.monotonic()
        super().send(data)

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that accepts a connection; all attempts share the deadline."""
        exchange, problem = CURRENT.get(), OSError("the host has no address")
        for *_, address in self._addresses():
            try:
                seconds = exchange.allow(self.timeout)
                found = urllib3.util.connection.create_connection(
                    address[:2], seconds, socket_options=self.socket_options
                )
                sock = _PlainSocket(fileno=found.detach())
                # For the TLS handshake. If no time is left, `send` refuses.
                sock.settimeout(max(0.001, min(seconds, exchange.ends_at - time.monotonic())))
                return sock
            except OSError as exc:
                problem = exc
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, "the host does not answer") from problem
        raise NewConnectionError(self, str(problem)) from problem

    def _addresses(self) -> Any:
        try:
            return _look_up(self._dns_host, self.port, CURRENT.get().allow(self.timeout))
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, "no name server answers") from exc
        except UnicodeError:
            raise LocationParseError(self.host) from None


class _SecureConnection(_Connection, HTTPSConnection):
    pass


# The connection class of a pool, by scheme.
CONNECTIONS = {"http": _Connection, "https": _SecureConnection}


def _look_up(host: str, port: int, seconds: float) -> Any:
    """Return a host's addresses; look them up in a thread, because the resolver has no time limit.

    Raises:
        TimeoutError: it takes too long; the thread ends by itself later.
    """
    family = urllib3.util.connection.allowed_gai_family()
    if _NUMERIC.fullmatch(host):
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    results: SimpleQueue[Any] = SimpleQueue()

    def look_up() -> None:
        try:
            results.put(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except Exception as exc:
            results.put(exc)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        found = results.get(timeout=seconds)
    except Empty:
        raise TimeoutError("no name server answers") from None
    if isinstance(found, Exception):
        raise found
    return found
