"""A running sandbox for tests: over real loopback sockets, on a port of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin

import requests

from connector.sandbox import Sandbox

TIMEOUT = 20


@dataclass(frozen=True)
class SignIn:
    """The e-mail address and password of a made-up account."""

    username: str
    password: str


class RunningSandbox:
    """A running sandbox; the values of its description are attributes."""

    generation: str
    provider_file: str
    client_id: str
    client_secret: str
    redirect_uri: str
    practice: SignIn
    other_practice: SignIn
    lab: SignIn
    portal_url: str
    applications_page: str
    ormcodigital_url: str
    control_url: str

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url
        self.description: dict[str, Any] = sandbox.description
        for name, value in self.description.items():
            setattr(self, name, SignIn(**value) if isinstance(value, dict) else value)

    def authorize(self, url: str, *, who: SignIn | None = None, decision: str = "allow") -> str:
        """Sign in, press "allow" or "cancel" without a browser or HTTP, and return the raw redirect URL."""
        return self.sandbox.consent_url(url, username=(who or self.practice).username, decision=decision)

    def control(self, **changes: Any) -> dict[str, Any]:
        """Show the settings and counters of the sandbox, after changing some."""
        if changes:
            requests.post(self.control_url, json=changes, timeout=TIMEOUT).raise_for_status()
        response: dict[str, Any] = requests.get(self.control_url, timeout=TIMEOUT).json()
        return response

    def set_scenarios(self, *names: str) -> None:
        """Replace the scenarios; none: everything works."""
        self.sandbox.set_scenarios(*names)

    def counters(self) -> dict[str, int]:
        """Counts of the sandbox's requests so far, such as `token:refresh_token`."""
        counters: dict[str, int] = self.control()["counters"]
        return counters

    @property
    def refreshes(self) -> int:
        """How many refresh tokens were sent to it."""
        return self.counters().get("token:refresh_token", 0)

    def authorization_url(self, **params: str) -> str:
        """The address of an authorization request with the registered client and redirect URI."""
        own = {"client_id": self.client_id, "redirect_uri": self.redirect_uri, "response_type": "code"}
        path = "/oauth/authorise" if self.generation == "classic" else "/connect/authorize"
        return f"{self.url}{path}?{urlencode(own | params)}"


@contextmanager
def running_sandbox(generation: str = "classic", **options: Any) -> Iterator[RunningSandbox]:
    """Run a sandbox in this process until the block ends."""
    with Sandbox(generation, **options) as sandbox:
        yield RunningSandbox(sandbox)


class _Form(HTMLParser):
    """The hidden fields and the `action` of the form that has a given control in it."""

    def __init__(self, control: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.action: str | None = None
        self._control = control
        self._open: tuple[str | None, dict[str, str]] = (None, {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self._open = (values.get("action"), {})
        elif values.get("type") == "hidden" and values.get("name"):
            self._open[1][str(values["name"])] = values.get("value") or ""
        if values.get("name") == self._control:
            self.action, self.fields = self._open


def hidden_value(page: Any, name: str = "form_token") -> str:
    """The value of a hidden field of a page, whichever client has fetched it."""
    found = re.search(rf'name="{name}" value="([^"]+)"', page.text)
    assert found, f"no form of the page has {name}"
    return found[1]


class Visitor:
    """A person with a browser, but without the browser: follows links and submits forms by HTTP."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.session = requests.Session()
        self.session.trust_env = False  # no proxies, which are looked up for each request
        self.sandbox = sandbox

    def open(self, url: str) -> requests.Response:
        """Visit a page, following redirects."""
        return self.session.get(url, timeout=TIMEOUT)

    def submit(self, page: requests.Response, *, follow: bool = True, **fields: str) -> requests.Response:
        """Send the form of a page that has the first of these fields, with its hidden fields."""
        form = _Form(next(iter(fields)))
        form.feed(page.text)
        assert "form_token" in form.fields, f"there is no such form on {page.url}"
        url = urljoin(page.url, form.action or page.url)
        data = form.fields | fields
        return self.session.post(url, data=data, timeout=TIMEOUT, allow_redirects=follow)

    def press(self, page: requests.Response, action: str, **fields: str) -> requests.Response:
        """Send the form of a page that goes to an address, or a form that its script sends."""
        url, data = self.sandbox.url + action, {"form_token": hidden_value(page), **fields}
        return self.session.post(url, data=data, timeout=TIMEOUT)

    def sign_in(self, url: str, who: SignIn | None = None) -> requests.Response:
        """Open a page of 3Shape's that asks to log in, log in, and return the next page."""
        who = who or self.sandbox.practice
        return self.submit(self.open(url), Email=who.username, Password=who.password)

    def authorize(self, url: str, *, decision: str = "allow") -> str:
        """Log in, press "allow" or "cancel", and return the raw redirect URL."""
        response = self.submit(self.sign_in(url), follow=False, decision=decision)
        while response.headers["Location"].startswith("/"):
            response = self.session.get(
                self.sandbox.url + response.headers["Location"], timeout=TIMEOUT, allow_redirects=False
            )
        return response.headers["Location"]
