"""A tiny OrmcoDigital whose My Profile goes wrong in every way there is, and 3Shape's link to go with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.support.web_server import PageHandler, serving

REDIRECT_URI = "https://landing.test/"
CODE = "0123456789ABCDEF" * 4


@dataclass
class ProfilePages:
    """The page's behaviour, and the requests it got.

    Attributes:
        ok: JavaScript of *Ok*; `d` is the dialog, `c` the field for the code.
        update: what *Update* leads to: a page's HTML, a status, "" for My Profile again, or None for nothing.
        forgets: whether My Profile comes back as it was before.
        target: `target` of the link to 3Shape.
        button: the words of the button that opens the dialog.
        redirect_uri: where 3Shape is asked to send the code.
        extra: a further field of the profile.
        hint: HTML in the dialog, away from the field for the code.
        beside: HTML between that field and *Ok*.
        disabled: "disabled" for an *Ok* that cannot be pressed.
        method: the Submission Method that is saved.
        entered: the codes that *Update* came with.
    """

    url: str = ""
    ok: str = "d.style.display = 'none'"
    update: str | int | None = ""
    forgets: bool = False
    target: str = "_blank"
    button: str = "Connect 3 Shape to Insignia"
    redirect_uri: str = REDIRECT_URI
    extra: str = ""
    hint: str = ""
    beside: str = ""
    disabled: str = ""
    method: str = ""
    entered: list[str] = field(default_factory=list)

    def html(self) -> str:
        """My Profile."""
        link = f"/authorize?client_id=x&redirect_uri={quote(self.redirect_uri, safe='')}"
        chosen, checked = ("selected", "checked") if self.method else ("", "")
        submit = "" if self.update is not None else "onsubmit='return false'"
        return f"""<h1>My Profile</h1><form method=post action=/update {submit}>{self.extra}
            <label><input type=radio name=source value=scanner {checked}> Intraoral Scanner</label>
            <label><input type=radio name=source value=pvs> PVS</label>
            <select name=scanner><option><option {chosen}>3Shape Trios</select>
            <button type=button onclick="d.style.display = 'block'">{self.button}</button>
            <input type=hidden name=code id=entered><button>Update</button></form>
            <div class=modal id=d style="display: none"><h2>Enter Authorization Code</h2>
            <p>First click <a href="{link}" target="{self.target}">here</a> to generate the code.</p>
            {self.hint}<div><label>Enter Code : <input id=c></label>{self.beside}
            <button {self.disabled} onclick="entered.value = c.value; {self.ok}">Ok</button></div>
            <p role=alert id=problem></p></div>"""


@contextmanager
def serve_profile(**what: Any) -> Iterator[ProfilePages]:
    """Run the server on a free loopback port."""
    pages = ProfilePages(**what)
    with serving(type("Handler", (_Handler,), {"pages": pages})) as url:
        pages.url = f"{url}/"
        yield pages


class _Handler(PageHandler):
    pages: ProfilePages

    def do_GET(self) -> None:  # noqa: N802 - of http.server
        if urlsplit(self.path).path == "/authorize":
            self.respond(302, Location=f"{self.pages.redirect_uri}?code={CODE}&iss=x")
        elif urlsplit(self.path).path == "/":
            self.page(self.pages.html())
        else:
            self.page("no such page", 404)

    def do_POST(self) -> None:  # noqa: N802 - of http.server
        form = parse_qs(self.form().decode())
        if self.path != "/update":
            self.page("", 500)
            return
        pages = self.pages
        pages.entered += form.get("code", [])
        if not pages.forgets:
            pages.method = form.get("scanner", [""])[0]
        if isinstance(pages.update, int):
            self.page("<h1>Sorry</h1>", pages.update)
        elif pages.update:
            self.page(pages.update)
        else:
            self.respond(303, Location="/")

    def page(self, body: str, status: int = 200) -> None:
        self.respond(status, f"<!doctype html><title>OrmcoDigital</title>{body}")
