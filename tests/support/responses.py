"""A server on loopback that gives canned responses, also some that no well-behaved server gives."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import requests

RawResponse = bytes | Callable[[socket.socket], None]
TIMEOUT = 20


@dataclass(frozen=True)
class Received:
    """A request as it arrived, to the byte."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The decoded fields of a form."""
        return dict(parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True))


class ResponseServer(socketserver.ThreadingTCPServer):
    """Gives one response a connection, in order, the last one over and over; keeps the requests."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, responses: Iterable[RawResponse] = (), context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Received] = []
        self.connections = 0
        self._responses = list(responses)
        self._context = context
        self._lock = threading.Lock()
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection."""
        self.connections += 1
        sock, address = super().get_request()
        sock.settimeout(TIMEOUT)
        return sock, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Start TLS first, if the server has a context for it."""
        if self._context is not None:
            try:
                request = self._context.wrap_socket(request, server_side=True)
            except OSError:
                return
        with request:
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing when the other side closes the connection."""

    def note(self, request: Received) -> RawResponse:
        """Keep a request; return the response to it."""
        with self._lock:
            self.requests.append(request)
            return self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]


AnyServer = TypeVar("AnyServer", bound=ResponseServer)


class _Handler(socketserver.StreamRequestHandler):
    server: ResponseServer

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").strip()
        headers = {}
        while header := self.rfile.readline().decode("latin-1").strip():
            name, _, value = header.partition(":")
            headers[name.title()] = value.strip()
        body = self.rfile.read(int(headers.get("Content-Length", 0)))
        response = self.server.note(Received(line, headers, body))
        if isinstance(response, bytes):
            self.request.sendall(response)
        else:
            response(self.request)


@contextmanager
def serving(*responses: RawResponse, context: ssl.SSLContext | None = None) -> Iterator[ResponseServer]:
    """Run a server that gives these responses."""
    with running(ResponseServer(responses, context)) as server:
        yield server


@contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """Run a server, and close it."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def raw_response(body: bytes | str = b"", status: int = 200, **headers: str) -> bytes:
    """Return a whole response; a header's name has `_` for `-`."""
    data = body.encode() if isinstance(body, str) else body
    fields = {"Content-Length": str(len(data)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + data


def json_response(body: object, status: int = 200, **headers: str) -> bytes:
    """Return a whole response with a JSON body."""
    return raw_response(json.dumps(body), status, Content_Type="application/json", **headers)


def dripping(head: bytes) -> RawResponse:
    """Return a response with this beginning that continues, byte by byte, until the client ends it."""

    def drip(sock: socket.socket) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(b"x")  # raises an OSError when the client has closed the connection
            time.sleep(0.01)

    return drip


def numbered(sock: socket.socket) -> None:
    """Answer every request on one connection with the connection's own number."""
    number = str(sock.getpeername()[1])
    received = b"\r\n\r\n"  # the first request has already been read
    while received.endswith(b"\r\n\r\n"):
        sock.sendall(raw_response(number, Connection="keep-alive"))
        received = sock.recv(65536)


def as_response(given: bytes, url: str = "https://auth.example.test/oauth/token") -> requests.Response:
    """Return a whole response as the transport returns it, without a server in between."""
    head, _, body = given.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    response = requests.Response()
    response.url, response.status_code, response._content = url, int(status.split()[1]), body
    response.headers.update(dict(line.split(": ", 1) for line in lines))
    return response
