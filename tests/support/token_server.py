"""A fast token endpoint with rotating refresh tokens, which ends a grant when it sees an old one again.

Runs in a process of its own, so that it neither shares the tests' interpreter lock nor dies with what they
kill. Every grant `rt-<name>-0` exists from the start; the n-th refresh answers `at-<name>-<n>` and
`rt-<name>-<n>`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from typing import Any, Self
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}


class TokenServer:
    """The server's process, and its controls."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def reset(self) -> None:
        """Forget all grants and settings: nothing has happened yet."""
        self.set(reset=True)

    def set(self, **settings: object) -> None:
        """Change its responses: see `_State`."""
        body = json.dumps(settings).encode()
        urlopen(Request(f"{self.url}/control", data=body, method="POST"), timeout=10).close()

    def counts(self) -> dict[str, Any]:
        """Return `calls`, `granted`, `reuses`, and the state of each grant that was refreshed."""
        with urlopen(f"{self.url}/control", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
        return found


class _State:
    """The settings of the server's next responses.

    `latency`: seconds before a response. `expires_in`: of access tokens. `rotate`: whether refresh tokens
    change. `on_reuse`: "revoke" the grant or only "refuse". `faults`: taken one for each call: "lost"
    (rotates, then cuts the connection), "cut" (does nothing, cuts), "hang", "html", or a status with an
    optional error, such as "502", "401", "429:7", "400:invalid_grant", "403:invalid_grant"; "" for none.
    `padding`: how long access tokens are at least.
    """

    def __init__(self) -> None:
        self.latency = 0.0
        self.expires_in: object = 3600
        self.rotate = True
        self.padding = 0
        self.on_reuse = "revoke"
        self.faults: list[str] = []
        self.calls = 0
        self.granted = 0
        self.reuses = 0
        self.under_way = 0
        self.most_under_way = 0
        self.newest: dict[str, int] = {}
        self.dead: set[str] = set()

    def refresh(self, refresh_token: str) -> tuple[int, dict[str, object]]:
        _, _, rest = refresh_token.partition("rt-")
        name, _, number = rest.rpartition("-")
        newest = self.newest.setdefault(name, 0)
        if name in self.dead or not number.isdecimal():
            return 400, {"error": "invalid_grant"}
        if self.rotate and int(number) != newest:
            self.reuses += 1
            if self.on_reuse == "revoke":
                self.dead.add(name)
            return 400, {"error": "invalid_grant"}
        self.newest[name] = newest + 1
        self.granted += 1
        access_token = f"at-{name}-{newest + 1}".ljust(self.padding, "x")
        response: dict[str, object] = {"access_token": access_token, "token_type": "Bearer"}
        if self.expires_in is not None:
            response["expires_in"] = self.expires_in
        if self.rotate:
            response["refresh_token"] = f"rt-{name}-{newest + 1}"
        return 200, response


async def _serve(present: list[_State], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            method, path, _ = line.decode("latin-1").split(" ", 2)
            length = 0
            while (header := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = await reader.readexactly(length)
            if path == "/control":
                _write(writer, 200, _control(present, method, body))
            elif not await _token(present[0], writer, body):
                break
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def _control(present: list[_State], method: str, body: bytes) -> dict[str, object]:
    settings = json.loads(body) if method == "POST" else {}
    if settings.pop("reset", False):
        present[0] = _State()  # calls that are still in progress belong to the old state
    state = present[0]
    for name, value in settings.items():
        setattr(state, name, set(value) if name == "dead" else value)
    return {**vars(state), "dead": sorted(state.dead)}


async def _token(state: _State, writer: asyncio.StreamWriter, body: bytes) -> bool:
    """Answer one refresh; return False if the connection is cut instead."""
    state.calls += 1
    state.under_way += 1
    state.most_under_way = max(state.most_under_way, state.under_way)
    fault = state.faults.pop(0) if state.faults else ""
    try:
        await asyncio.sleep(state.latency if fault != "hang" else 3600)
    finally:
        state.under_way -= 1
    if fault == "cut":
        return False
    if fault == "html":
        _write(writer, 200, "<html>Please sign in to the hotel's network</html>")
    elif fault and fault != "lost":
        status, _, more = fault.partition(":")
        headers = f"Retry-After: {more}\r\n" if status == "429" else ""
        _write(writer, int(status), {"error": more} if more and not headers else None, headers)
    else:
        _write(writer, *state.refresh(parse_qs(body.decode())["refresh_token"][0]), lost=fault == "lost")
        return fault != "lost"
    return True


def _write(
    writer: asyncio.StreamWriter, status: int, response: object, headers: str = "", *, lost: bool = False
) -> None:
    if lost:
        return
    kind, text = "application/json", "" if response is None else json.dumps(response)
    if isinstance(response, str):
        kind, text = "text/html", response
    body = text.encode()
    writer.write(
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: {kind}\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def _main() -> None:
    present = [_State()]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server = await asyncio.start_server(
        lambda reader, writer: _serve(present, reader, writer), "127.0.0.1", 0, backlog=1024
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.read()  # returns when the parent process has ended, for whatever reason
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main())
