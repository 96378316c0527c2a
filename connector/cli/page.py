"""`ormco page`: the code page or the landing page, as one HTML file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from connector.cli.options import settings_options
from connector.cli.output import emit, write
from connector.errors import SettingError
from connector.redirect import REDIRECT_URI

__all__ = ["page"]

_EXAMPLES = """\b
Examples:
  ormco page --output code.html             to send, or to put on a share
  ormco page --landing --output landing.html    for whoever runs the redirect URI
"""


@click.command("page", epilog=_EXAMPLES)
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to a file, not stdout."
)
@click.option("--landing", is_flag=True, help="The page for the redirect URI itself.")
@settings_options
def page(output: str | None, landing: bool, as_json: bool, **settings: Any) -> None:
    """Write the code page: a person pastes a copied text, and gets the code for OrmcoDigital.

    It is one file that needs no network and no installation: it opens from a mail, a share or a web server.
    With --landing it is the page for the redirect URI, which shows the code that is in its own address.
    """
    from connector.redirect.address import redirect_target
    from connector.web.code_page import code_page, landing_page

    redirect_uri = settings["redirect_uri"] or os.environ.get("ORMCO_REDIRECT_URI") or REDIRECT_URI
    redirect_target(redirect_uri)  # refused if it has no host
    html = landing_page(redirect_uri) if landing else code_page(redirect_uri)
    if output is None:
        emit({"page": html}, "", as_json=as_json)
        if not as_json:
            _print_as_file(html)
        return
    try:
        Path(output).write_text(html, "utf-8", newline="\n")
    except OSError as exc:
        raise SettingError(
            f"{output} cannot be written: {exc.strerror}", hint="Choose another file: --output FILE"
        ) from None
    emit({"output": output}, output, as_json=as_json)


def _print_as_file(html: str) -> None:
    """Print the same bytes as in the file, whatever the terminal's encoding and line endings."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    write(html, newline=False)
