"""A proxy before a Unix socket that can cut the line at the worst moment."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Self


class SocketProxy:
    """Passes bytes on to a server's socket until one side says the fatal words."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._target = str(target)
        self._cut_after: bytes | None = None
        self.cuts = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / target.name))
        self._listener.listen()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def cut_after(self, words: bytes) -> None:
        """Deliver the next message with these words to the server, and cut the line before its response."""
        self._cut_after = words

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, watched: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                fatal = watched and self._cut_after is not None and self._cut_after in data
                if fatal:
                    self._cut_after = None
                    self.cuts += 1
                    source.shutdown(socket.SHUT_RDWR)
                sink.sendall(data)
                if fatal:
                    time.sleep(0.3)  # time for the server to execute the statement
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
