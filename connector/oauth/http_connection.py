"""Network connections that end with their call's deadline, and record whether a request was sent.

A socket's timeout restarts with every byte: a server that sends a byte of its headers every few seconds would
block its caller, and the caller's locks, for hours. http.client treats a connection that is cut within the
headers as the end of the headers, and `103 Early Hints` as the response.
"""

from __future__ import annotations

import io
import re
import socket
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

__all__ = ["CONNECTIONS", "CURRENT", "Exchange"]


class Exchange:
    """One HTTP call: its deadline, and how far it got.

    Args:
        seconds: seconds from now until its deadline.
        silence: the longest pause between two bytes, in seconds.
        idle: seconds after which an open connection is not used again.
    """

    __slots__ = ("_silence", "_started", "ends_at", "idle", "reused", "sent")

    def __init__(self, seconds: float, *, silence: float, idle: float) -> None:
        self._started = time.monotonic()
        self._silence = silence
        self.idle: float = idle
        self.ends_at: float = self._started + seconds
        self.sent: bool = False
        self.reused: bool = True

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


class _Reader(io.RawIOBase):
    """A socket's reader that stops at a deadline, not only after a pause."""

    def __init__(self, sock: Any, reader: Any) -> None:
        self._sock = sock
        self._reader = reader
        self._exchange = CURRENT.get()
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.allow())
        count: int | None = self._reader.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._reader.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._source = _Reader(sock, self.fp.detach())
        self.fp = io.BufferedReader(self._source)

    def begin(self) -> None:
        super().begin()
        if self._source.ended:
            raise RemoteDisconnected("the connection was cut within the headers")

    def _read_status(self) -> tuple[str, int, str]:
        # RFC 9110 §15.2: any number of 1xx responses may precede the final one. http.client only knows 100.
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            while self.fp.readline(65537) not in (b"\r\n", b"\n", b""):
                pass


class _Connection(HTTPConnection):
    response_class = _Answer
    _used_at = 0.0
    _connecting = False

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._used_at < CURRENT.get().idle and super().is_connected

    def connect(self) -> None:
        CURRENT.get().reused = False
        self._connecting = True
        try:
            super().connect()
        finally:
            self._connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = CURRENT.get()
        self.sock.settimeout(exchange.allow())
        # Data that is sent while connecting goes to the proxy only.
        exchange.sent = exchange.sent or not self._connecting
        super().send(data)

    def getresponse(self) -> Any:
        self._used_at = time.monotonic()
        return super().getresponse()

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers: all of them within the deadline."""
        problem = OSError("the host has no address")
        for *_, address in self._addresses():
            try:
                return urllib3.util.connection.create_connection(
                    address[:2], CURRENT.get().allow(self.timeout), socket_options=self.socket_options
                )
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
