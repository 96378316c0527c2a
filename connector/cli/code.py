"""`ormco code`: whatever was copied, the right code or the right refusal."""

from __future__ import annotations

import os
import re
from typing import Any

import click

from connector.cli.options import settings_options
from connector.cli.output import emit, say
from connector.ormco import REDIRECT_URI

__all__ = ["code"]

_NOT_AN_ARGUMENT = (
    "a code or an address is not taken as an argument: others can read it in the process list, the shell "
    'keeps it in its history, and "!", "&" and "%" mean something to shells. Run `ormco code` and paste it '
    "there, or pipe it in: `ormco code < url.txt`"
)


_EXAMPLES = """\b
Examples:
  ormco code                          paste, then press Enter
  ormco code --for-dialog < url.txt
  xclip -o | ormco code --for-dialog | xclip
"""


@click.command("code", context_settings={"ignore_unknown_options": True}, epilog=_EXAMPLES)
@click.option(
    "--for-dialog", is_flag=True, help="Print the form that OrmcoDigital's dialog takes (KY-s%21…)."
)
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Read the text from a file.",
)
@click.argument("unwanted", nargs=-1, type=click.UNPROCESSED, metavar="")
@settings_options
def code(
    for_dialog: bool, path: str | None, unwanted: tuple[str, ...], as_json: bool, **settings: Any
) -> None:
    """Get the authorization code out of whatever was copied.

    The whole address is best, but a part of it, the bare code, a mail or a half-edited address will do: what
    was added is taken away, and a code that is cut short or damaged is refused before anyone spends it.
    Nothing is sent anywhere, and nothing has to be set up.
    """
    _refuse(unwanted)
    from connector.cli.terminal import read_file, read_paste
    from connector.redirect.parse import parse_redirect

    text = read_file(path) if path else read_paste("Paste the whole address, then press Enter: ")
    redirect_uri = settings["redirect_uri"] or os.environ.get("ORMCO_REDIRECT_URI")
    response = parse_redirect(text, redirect_uri=redirect_uri or REDIRECT_URI)
    if response.warning:
        say(f"Warning: {response.warning}.")
    if response.complete is None:
        say("Note: a code of this kind does not tell whether it is whole; it is passed on unchecked.")
    names = ("code", "dialog_code", "format", "layers", "complete", "length", "state")
    emit(
        {name: getattr(response, name) for name in names},
        response.dialog_code if for_dialog else response.code,
        as_json=as_json,
    )


def _refuse(arguments: tuple[str, ...]) -> None:
    for argument in arguments:
        # A mistyped option; anything longer may hold a code, and is not repeated.
        if re.fullmatch(r"--?[a-z][a-z\-]{0,20}", argument):
            raise click.NoSuchOption(argument)
        raise click.UsageError(_NOT_AN_ARGUMENT)
