"""A web server of a test's own, on a free loopback port."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class PageHandler(BaseHTTPRequestHandler):
    """Answers with pages; a subclass says with which."""

    protocol_version = "HTTP/1.1"

    def form(self) -> bytes:
        """The body of a POST."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def respond(self, status: int, body: str = "", **headers: str) -> None:
        """Send a response; a header's name has `_` for `-`."""
        content = body.encode()
        self.send_response(status)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Type": "text/html; charset=utf-8", **sent}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[PageHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server, over TLS if there is a context for it; give its address, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
