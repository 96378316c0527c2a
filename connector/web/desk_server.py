"""`ormco desk`: the desk on loopback, for one person, opened by a link that works once."""

from __future__ import annotations

import getpass
import hmac
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from flask import Flask, abort, make_response, redirect, render_template, request
from waitress.channel import HTTPChannel
from waitress.server import create_server
from werkzeug.exceptions import HTTPException

from connector.temporary_folder import temporary_folder
from connector.web.desk import desk_pages
from connector.web.page_security import add_headers, refused_page
from connector.web.support_person import SupportPerson

if TYPE_CHECKING:
    from types import TracebackType

    from connector.connector import Connector

__all__ = ["DeskServer"]

_THREADS = 8
# Ten of these have 49 bits, too many to guess while a desk is open. So guesses are not limited, and no one
# can use up a limit to lock out the user. No two of these characters look alike.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_REQUEST_SECONDS = 5  # for a whole request, and for a connection without one
_MOST_CONNECTIONS = 64  # fewer than the limit at which waitress stops accepting


class DeskServer:
    """Serves the desk until it is closed; a context manager.

    Other users of this machine can connect to the port, and can read the arguments of the browser's process.
    So the browser gets the path of a file that only this user can read, and the file contains the link. If a
    browser cannot read the file (a snap or a flatpak sees other folders), the person opens `open_url`
    and types the word that the terminal shows. Either works once, and invalidates the other.

    Args:
        connector: the library.
        port: the port on 127.0.0.1; 0 for a free one.
    """

    def __init__(self, connector: Connector, *, port: int = 0) -> None:
        self.word: str = "-".join("".join(map(secrets.choice, [_LETTERS] * 5)) for _ in range(2))
        self._token = secrets.token_urlsafe(32)
        self._is_used = False
        self._session = secrets.token_urlsafe(32)
        self._guard = threading.Lock()
        bound = socket.create_server(("127.0.0.1", port))
        self.url: str = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self.open_url: str = f"{self.url}/open"
        self._cookie = f"ormco-desk-{bound.getsockname()[1]}"
        app = self._application(connector)
        self._server: Any = create_server(
            app,
            sockets=[bound],
            threads=_THREADS,
            ident=None,
            channel_timeout=_REQUEST_SECONDS,
            cleanup_interval=1,
        )
        self._server.channel_class = _DeskChannel
        self._stack = ExitStack()
        folder = self._stack.enter_context(temporary_folder("ormco-desk-"))
        self.link_file: Path = self._write_link_file(folder)

    def run(self) -> None:
        """Serve until interrupted."""
        self._server.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self._stack.close()

    def _application(self, connector: Connector) -> Flask:
        app = Flask("ormco_desk", static_folder=None)
        app.config.update(SECRET_KEY=secrets.token_bytes(32), MAX_CONTENT_LENGTH=256 * 1024)
        app.config.update(SESSION_COOKIE_NAME=f"{self._cookie}-messages", SESSION_COOKIE_SAMESITE="Strict")
        host = self.url.removeprefix("http://")
        person = SupportPerson(name=_user())

        def authorize(_: object) -> SupportPerson | None:
            held = request.cookies.get(self._cookie, "")
            return person if hmac.compare_digest(held.encode(), self._session.encode()) else None

        app.add_url_rule("/open", "open", self._open(host), methods=["GET", "POST"])
        pages = desk_pages(connector, authorize=authorize, hosts={host})
        app.register_blueprint(pages)
        app.register_error_handler(HTTPException, refused_page)
        app.after_request(add_headers)
        app.context_processor(lambda: {"blueprint": pages.name})
        return app

    def _open(self, host: str) -> Callable[[], Any]:
        def view() -> Any:
            """Exchange a one-time token, sent by the file or typed in, for a session cookie."""
            if request.host != host:
                abort(403, "This is not the address of the desk.")
            sent = request.form.get("token", "")
            with self._guard:
                is_right = any([_is_same(sent, self._token), _is_same(_typed(sent), _typed(self.word))])
                is_right = is_right and not self._is_used
                self._is_used |= is_right
            if self._is_used and not is_right:
                abort(403, "This link was used before. Start “ormco desk” again for a new one.")
            if not is_right:
                return render_template("ormco/desk_open.html", is_wrong=bool(sent)), 403 if sent else 200
            response = make_response(redirect("/", 303))
            # Lax: the page that sends the token is a local file, which is another site.
            response.set_cookie(self._cookie, self._session, httponly=True, samesite="Lax")
            return response

        return view

    def _write_link_file(self, folder: Path) -> Path:
        """Write a page that only this user can read, and that sends the token when it is opened."""
        path = folder / "open-desk.html"
        page = (
            "<!doctype html><meta charset=utf-8><title>Opening the desk</title>"
            f'<form method=post action="{escape(self.open_url)}">'
            f'<input type=hidden name=token value="{self._token}"><button>Open the desk</button></form>'
            "<script>document.forms[0].submit()</script>"
        )
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
        return path


class _DeskChannel(HTTPChannel):  # type: ignore[misc]
    """A connection with a time limit; if there are too many, the one that is idle for longest is closed.

    Waitress counts every byte as activity, so it would wait for a request that never ends.
    """

    last_activity: float

    def __init__(self, server: Any, *args: Any, **options: Any) -> None:
        super().__init__(server, *args, **options)
        others = [each for each in server.active_channels.values() if each is not self]
        idle = [each for each in others if not (each.requests or each.will_close)]
        if len(idle) >= _MOST_CONNECTIONS:
            min(idle, key=lambda channel: channel.last_activity).will_close = True

    def handle_read(self) -> None:
        """Read the available bytes; further bytes of the same request do not extend its time."""
        is_going_on, since = self.request is not None, self.last_activity
        super().handle_read()
        if is_going_on and self.request is not None:
            self.last_activity = since


def _typed(word: str) -> str:
    """Return a typed word for a comparison that ignores case and hyphens."""
    return "".join(filter(str.isalnum, word.lower()))


def _is_same(sent: str, right: str) -> bool:
    return hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), right.encode())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
