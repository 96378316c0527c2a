"""The WSGI server: many requests at once, silent, and gone at once when it is told to stop."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from connector.sandbox.world import World

__all__ = ["Listener"]

_IDLE_SECONDS = 60


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: request lines hold codes and, at the token information call, tokens."""

    def log_error(self, format: str, *args: Any) -> None:
        """Log nothing: a malformed request line is still a request line."""


class Listener(ThreadedWSGIServer):
    """A server on a socket that is bound already, so that a taken port is an error and not an exit."""

    def __init__(self, world: World, app: Flask, bound: socket.socket) -> None:
        self.world = world
        self._open: set[socket.socket] = set()
        host, port = bound.getsockname()
        super().__init__(host, port, app, handler=_Handler, fd=bound.fileno())

    def serve_forever(self, poll_interval: float = 0.05) -> None:
        """Answer requests until `close`."""
        super().serve_forever(poll_interval)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer one connection in a thread of its own."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        """Stop, and cut the connections that are still open: clients keep theirs alive."""
        self.world.stopping.set()
        self.shutdown()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
