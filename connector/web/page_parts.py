"""Parts that the practice's page and the support desk share."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from flask import Blueprint, flash, render_template

from connector.connection import Connection
from connector.errors import ConnectionNotFoundError, ConnectorError
from connector.words import page_hint, sentence

if TYPE_CHECKING:
    from connector.connector import Connector

__all__ = ["error_page", "flash_error", "new_blueprint", "status_of"]


def new_blueprint(name: str) -> Blueprint:
    """Return a blueprint with this package's templates and files."""
    return Blueprint(
        name, __name__, template_folder="templates", static_folder="static", static_url_path="/page-files"
    )


def status_of(connector: Connector, practice_id: str) -> Connection | None:
    """Return a practice's connection, or None if there is none."""
    with suppress(ConnectionNotFoundError):
        return connector.status(practice_id)
    return None


def flash_error(error: ConnectorError) -> None:
    """Show an error's message and hint on the next page."""
    flash(sentence(error.message), "bad")
    if hint := page_hint(error):
        flash(hint, "hint")


def error_page(error: ConnectorError) -> tuple[str, int]:
    """Return the page for an error of the library, with its status."""
    page = render_template(
        "ormco/error.html",
        title="Not possible right now",
        text=sentence(error.message),
        hint=page_hint(error),
        way="Try again",
    )
    return page, 503
