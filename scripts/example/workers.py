"""Worker processes on one port and one store, as a real server has them (there: gunicorn, uWSGI, IIS)."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

__all__ = ["run_workers"]


def run_workers(bound: socket.socket, *, url: str, count: int) -> None:
    """Serve with some processes until one ends or this one is interrupted.

    Args:
        bound: the listening socket, which they share.
        url: the address that people use.
        count: the number of processes.
    """
    context = multiprocessing.get_context("spawn")
    secret = secrets.token_bytes(32)
    with tempfile.TemporaryDirectory(prefix="ormco-example-", ignore_cleanup_errors=True) as folder:
        shared = bound, url, secret, Path(folder)
        workers = [
            context.Process(target=_work, args=shared, daemon=True, name=f"worker-{number + 1}")
            for number in range(count)
        ]
        for worker in workers:
            worker.start()
        try:
            wait([worker.sentinel for worker in workers])
        finally:
            for worker in workers:
                worker.terminate()
                worker.join()


def _work(bound: socket.socket, url: str, secret: bytes, folder: Path) -> None:
    from web import create_app

    from connector import Config

    # Ctrl-C in a terminal reaches every process; the first one stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    app = create_app(Config.from_env(os.environ), url=url, secret=secret, folder=folder)
    host, port = bound.getsockname()
    server = ThreadedWSGIServer(host, port, app, handler=_Handler, fd=bound.fileno())
    # Another worker may take the connection that woke this one.
    server.socket.setblocking(False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()


class _Handler(WSGIRequestHandler):
    """An access log without queries, because one of them contains the code."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        path = self.path.partition("?")[0]
        sys.stderr.write(f"worker {os.getpid()}: {self.command} {path} {int(code)}\n")

    def log_error(self, format: str, *args: Any) -> None:
        """Log nothing: a malformed request line may contain a code too."""
