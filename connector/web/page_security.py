"""Protect the pages of a blueprint: own forms only, own origin only, a binding per session, headers."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Any, NoReturn
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, current_app, g, render_template, request
from werkzeug.exceptions import HTTPException

from connector.errors import SettingError

__all__ = ["PageSecurity", "add_headers", "refused_page"]

# Not "no-referrer": browsers then send `Origin: null` with the forms of these pages too. The callback, whose
# address contains the code, sets it itself; `no-store` keeps the page out of the browser's cache. No
# form-action: Chromium applies it to the redirects that follow a form, and the hosts of 3Shape's sign-in
# are not known in advance.
_HEADERS = {
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'",
}
_OWN_SITES = {None, "same-origin", "none"}
_TWO_YEARS = 63072000
_LARGEST_FORM = 256 * 1024  # bytes
# The status of a refused request → its title, and the text of the link to the next page, if there is one.
_TITLES: dict[int | None, tuple[str, str]] = {
    401: ("Not signed in", "Try again"),
    403: ("Not allowed", ""),
    404: ("No such page", "Back"),
    500: ("Something went wrong", "Try again"),
}


class PageSecurity:
    """Protects every request of one blueprint.

    A random value in an HttpOnly cookie names the browser session. The form token and the binding of consent
    requests are derived from it, from the signed-in person and from a server secret. So neither can be
    derived from the cookie alone, and every app server computes the same values.

    Args:
        blueprint: the blueprint to protect.
        secret: server secret, the same on every app server; by default the application's `secret_key`.
        person: called within a request; returns a stable name of the signed-in person.
        hosts: the host names (with port, if not the default one) that the pages are served under; None leaves
            this check to the application's `TRUSTED_HOSTS`.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        secret: bytes | None,
        person: Callable[[], str],
        hosts: Collection[str] | None,
    ) -> None:
        self._name = blueprint.name
        self._given_secret = secret
        self._person = person
        self._hosts = hosts
        blueprint.before_request(self._check)
        blueprint.after_request(self._finish)
        blueprint.register_error_handler(HTTPException, refused_page)
        blueprint.add_url_rule("/<path:path>", "no_page", _no_page)
        blueprint.context_processor(lambda: {"form_token": self.form_token})

    def binding(self) -> str:
        """Return the secret that binds a consent request to this browser session and person."""
        return self._derived("binding")

    def form_token(self) -> str:
        """Return the token that every form of these pages sends."""
        return self._derived("form")

    def _derived(self, purpose: str) -> str:
        text = "\0".join((self._name, purpose, self._session(), self._person()))
        return hmac.new(self._secret(), text.encode("utf-8", "surrogatepass"), sha256).hexdigest()

    def _secret(self) -> bytes:
        secret = self._given_secret or current_app.secret_key
        if not secret:
            raise SettingError(
                "the pages need a server secret",
                hint="Set the application's secret_key, or pass secret=, the same on every app server.",
            )
        return secret.encode() if isinstance(secret, str) else secret

    def _session(self) -> str:
        if "ormco_session" not in g:
            found = request.cookies.get(self._cookie_name(), "")
            g.ormco_session = found if len(found) >= 40 else secrets.token_urlsafe(32)
        value: str = g.ormco_session
        return value

    def _cookie_name(self) -> str:
        if request.is_secure:
            return f"__Host-{self._name}"
        # Cookies ignore ports, so several applications on one machine need different names.
        return f"{self._name}-{urlsplit(request.host_url).port or 80}"

    def _check(self) -> None:
        request.max_content_length = (
            _LARGEST_FORM  # the application around it may have another limit, or none
        )
        if self._hosts is not None and request.host not in self._hosts:
            abort(400, "This is not the address of this application.")  # DNS rebinding
        if request.method in ("GET", "HEAD"):
            return
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            abort(400, "This form was sent by another site.")
        if request.headers.get("Sec-Fetch-Site") not in _OWN_SITES:
            abort(400, "This form was sent by another site.")
        sent = request.form.get("form_token", "") or request.headers.get("X-Form-Token", "")
        if not hmac.compare_digest(sent.encode(), self.form_token().encode()):
            abort(400, "This page is out of date. Go back, reload it, and try again.")

    def _finish(self, response: Response) -> Any:
        add_headers(response)
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={_TWO_YEARS}")
        if "ormco_session" in g and request.cookies.get(self._cookie_name()) != g.ormco_session:
            # Not "Strict": 3Shape's redirect comes from another site and has to find the session.
            response.set_cookie(
                self._cookie_name(), g.ormco_session, secure=request.is_secure, httponly=True, samesite="Lax"
            )
        return response


def add_headers(response: Response) -> Response:
    """Add headers so that no other site can frame or read a page, and only its own scripts run."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def refused_page(error: HTTPException) -> Any:
    """Return the page for a refused request, with its status."""
    if error.response is not None:
        return error
    title, way = _TITLES.get(error.code, ("This did not work", "Back"))
    page = render_template("ormco/error.html", title=title, text=error.description, hint=None, way=way)
    return page, error.code


def _no_page(path: str) -> NoReturn:
    abort(404, "There is no such page.")
