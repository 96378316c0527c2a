"""Who is signed in, forms that only our own pages can send, and what kind of endpoint a view is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Response, abort, current_app, redirect, request, session, url_for

from connector.sandbox.accounts import Account
from connector.sandbox.world import World

__all__ = [
    "check_form",
    "endpoint_kind",
    "here",
    "local_address",
    "machine",
    "sign_in_first",
    "signed_in",
    "template_values",
    "the_world",
]

View = TypeVar("View", bound=Callable[..., Any])


def the_world() -> World:
    """Return the state of the sandbox that answers this request."""
    return cast(World, current_app.extensions["world"])


def machine(kind: str) -> Callable[[View], View]:
    """Mark a view that programs call: no form token is asked, and faults apply by its kind.

    Args:
        kind: "token", "api", or "open" for one that only an outage takes down.
    """

    def mark(view: View) -> View:
        view.sandbox_kind = kind  # type: ignore[attr-defined]
        return view

    return mark


def endpoint_kind() -> str:
    """Return the kind of the view that will answer, "page" for people's."""
    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, "sandbox_kind", "page")


def signed_in(site: str = "communicate") -> Account | None:
    """Return who is signed in at a site."""
    return the_world().accounts.get(session.get(site, ""))


def here() -> str:
    """Return this request's path and query."""
    return request.full_path.rstrip("?")


def sign_in_first(*, popup: bool = False) -> Response:
    """Return the redirect to the provider's login page, which leads back here."""
    back = here() + ("&window=consent" if popup else "")
    return cast(Response, redirect(url_for("login.sign_in", ReturnUrl=back, popup="1" if popup else None)))


def local_address(address: str | None, otherwise: str) -> str:
    """Return an address if it is a path of this origin: nobody is sent elsewhere after signing in."""
    if not address or "\\" in address or not address.startswith("/") or address.startswith("//"):
        return otherwise
    parts = urlsplit(address)
    return otherwise if parts.scheme or parts.netloc else address


def check_form() -> None:
    """Refuse a form that none of our pages has made (CSRF)."""
    if request.method != "POST" or endpoint_kind() != "page":
        return
    sent, held = request.form.get("form_token", ""), session.get("form_token", "")
    if not held or not secrets.compare_digest(sent.encode(), held.encode()):
        abort(400, "This page is out of date. Go back, reload it and try again.")


def _form_token() -> str:
    if "form_token" not in session:
        session["form_token"] = secrets.token_urlsafe(32)
    return cast(str, session["form_token"])


def template_values() -> dict[str, Any]:
    """Return what every template may use."""
    return {"form_token": _form_token, "account": signed_in()}
