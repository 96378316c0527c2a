"""A tiny authorization server that sends the browser back in every way there is, and a trap to land in."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.support.web_server import PageHandler, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAYS = ("302", "post-303-302", "307", "script", "meta", "form_post", "popup", "new-tab")
CODE = "code=aB-9%2521IAAAAC%252Fx&state=s%7E1"
LANDING = "https://landing.test/"
PASSWORD = "made-up password 1"
BUTTON = "<button>Allow access</button>"
EMAIL_FIELD = "<label>Email <input name=email type=email></label>"
PASSWORD_FIELD = "<input name=password type=password>"
_ALLOW = f'<form action="/302">{BUTTON}</form>'
_AUTHORIZE = f'<h1>Authorize</h1>{_ALLOW}<form action="/denied"><button>Cancel</button></form>'


@dataclass
class AuthorizationPages:
    """The server's state: its address, the address it redirects to, and the requests it got.

    Attributes:
        more: pages of a test's own: path → HTML.
        scripts: scripts of a test's own: path → JavaScript.
        responses: responses of a test's own: path → status, headers.
    """

    url: str
    target: str = ""
    asked: list[str] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    responses: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)

    def authorize_with(self, html: str) -> str:
        """Return the address of an Authorize page with more in it."""
        self.more["more"] = _AUTHORIZE + html
        return self.authorize("more")

    def authorize(self, page: str) -> str:
        return f"{self.url}/{page}"


@contextmanager
def serve_pages(tls: ssl.SSLContext | None = None) -> Iterator[AuthorizationPages]:
    """Run the server on a free loopback port, over TLS if there is a context for it."""
    pages = AuthorizationPages(url="")
    with serving(type("Handler", (_Handler,), {"pages": pages}), tls) as pages.url:
        yield pages


@contextmanager
def landing_trap() -> Iterator[Trap]:
    """Listen in place of the landing site, on IPv4 and, if there is one, IPv6, and count connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        trap = Trap(port=listener.getsockname()[1])
        thread = threading.Thread(target=trap.count, args=(listener,))
        thread.start()
        try:
            yield trap
        finally:
            trap.stop()
            thread.join()


@dataclass
class Trap:
    """Counts the connections to the landing site; there should be none."""

    port: int
    connections: int = 0
    _stopping: bool = False

    def count(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            connection.close()
            if self._stopping:
                return
            self.connections += 1

    def stop(self) -> None:
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()


class _Handler(PageHandler):
    """Each path is a page; `target` is the address that pages redirect to."""

    pages: AuthorizationPages

    def do_GET(self) -> None:  # noqa: N802 - of http.server
        self.pages.asked.append(self.path)
        path = urlsplit(self.path).path.removeprefix("/")
        if path in self.pages.responses:
            status, headers = self.pages.responses[path]
            self.page("<h1>Whatever</h1>", status, **headers)
        elif path in self.pages.scripts:
            self.respond(200, self.pages.scripts[path], Content_Type="text/javascript")
        elif path in (pages := self.html_pages()):
            self.page(pages[path])
        else:
            self.respond_to_path(path)

    def html_pages(self) -> dict[str, str]:
        target = self.pages.target
        return {
            "post-303-302": f'<form method=post action="/decide/303">{BUTTON}</form>',
            "307": f'<form method=post action="/decide/307"><input name=password value=hush>{BUTTON}</form>',
            "script": f"<button onclick=\"location.href='{target}'\">Allow access</button>",
            "meta": f'<form action="/refresh">{BUTTON}</form>',
            "refresh": f'<meta http-equiv=refresh content="0;url={target}">',
            "form_post": _form_post(target),
            "popup": "<button onclick=\"window.open('/302')\">Allow access</button>",
            "new-tab": '<a href="/302" target=_blank rel=noopener role=button>Allow access</a>',
            "authorize": _AUTHORIZE,
            "sign-in": _sign_in(EMAIL_FIELD + PASSWORD_FIELD),
            "sign-in-first": _sign_in(EMAIL_FIELD, action="/sign-in-second", button="Continue", method="get"),
            "sign-in-second": _sign_in(PASSWORD_FIELD, button="Sign in"),
            "changed": _sign_in(EMAIL_FIELD + PASSWORD_FIELD, action="/decide/changed"),
            **self.pages.more,
        }

    def respond_to_path(self, path: str) -> None:
        target = self.pages.target
        if path in ("302", "chain/0"):
            self.respond(302, Location=target)
        elif path == "denied":
            self.respond(302, Location=target.partition("?")[0] + "?error=access_denied&state=s%7E1")
        elif path.startswith("chain/"):
            self.respond(302, Location=f"/chain/{int(path.removeprefix('chain/')) - 1}")
        elif path.startswith("status/"):
            status = int(path.removeprefix("status/"))
            self.page("<h1>Bad  request</h1> redirect_uri", status, Retry_After="7")
        elif path == "home/error":
            self.page("<h1>Sorry, there was an error: unauthorized_client</h1>")
        elif path == "refused":
            self.page('<form><input name=u><input type=password name=p></form><a href="/302">Go</a>', 401)
        else:
            self.page("no such page", 404)

    def do_POST(self) -> None:  # noqa: N802 - of http.server
        self.pages.asked.append(self.path)
        form = parse_qs(self.form().decode())
        if self.path == "/decide/307":
            self.respond(307, Location=self.pages.target)
        elif self.path == "/decide/changed":
            self.page("<h1>Share your data</h1><button>Agree</button><button>Not now</button>")
        elif self.path == "/decide/sign-in" and form.get("password") == [PASSWORD]:
            self.respond(303, Location="/authorize")
        elif self.path == "/decide/sign-in":
            self.page(_sign_in(EMAIL_FIELD + PASSWORD_FIELD))
        else:
            self.respond(303, Location="/302")

    def page(self, body: str, status: int = 200, **headers: str) -> None:
        self.respond(status, f"<!doctype html><title>Provider</title>{body}", **headers)


def _sign_in(
    fields: str, *, action: str = "/decide/sign-in", button: str = "Log in", method: str = "post"
) -> str:
    return f'<form method={method} action="{action}">{fields}<button>{button}</button></form>'


def _form_post(target: str) -> str:
    address, _, query = target.partition("?")
    fields = "".join(
        f'<input type=hidden name="{name}" value="{values[0]}">' for name, values in parse_qs(query).items()
    )
    return f'<form method=post action="{address}">{fields}{BUTTON}</form>'


def allow(page: Page) -> None:
    """Allow access, as a person does."""
    page.get_by_role("button", name="Allow access").click()


def foreign(trap: Trap) -> str:
    """Return a redirect URI on another host than the provider's; without the capture it leads to the trap."""
    return f"http://landing.localhost:{trap.port}/"


def browser_processes(page: Page) -> list[int]:
    """Return the numbers of all processes of the browser."""
    browser = page.context.browser
    assert browser is not None
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return [int(process["id"]) for process in processes]
