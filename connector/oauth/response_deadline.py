"""Connections whose answers end at a moment, however slowly they drip, and are whole.

The usual timeout of a socket starts anew with every byte: a server that sends a byte of its headers every few
seconds would hold whoever waits, and the locks that are held meanwhile, for hours. And http.client takes a
connection that is cut within the headers for the end of the headers: half an answer would be a good one.
"""

from __future__ import annotations

import io
import math
import time
from http.client import HTTPResponse, RemoteDisconnected
from typing import Any

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["ANSWER_TIMEOUT", "give_deadline"]

# Seconds from the request's last byte to the answer's last byte.
ANSWER_TIMEOUT = 45.0


def give_deadline(pool: HTTPConnectionPool) -> None:
    """Let the answers on a pool's connections end in time."""
    pool.ConnectionCls = _SecureConnection if pool.scheme == "https" else _Connection


class _Reader(io.RawIOBase):
    """A socket's reader that gives up at a moment, not only after a silence."""

    def __init__(self, sock: Any, reader: Any) -> None:
        self._sock = sock
        self._reader = reader
        self._ends_at = time.monotonic() + ANSWER_TIMEOUT
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        if left < (self._sock.gettimeout() or math.inf):
            self._sock.settimeout(left)  # urllib3 sets it anew for the next request
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


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer
