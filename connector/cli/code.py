"""`ormco code`: get the code out of a copied text, or say why that is not possible."""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import settings_options
from connector.cli.output import emit, mark, say, shown_time
from connector.redirect import REDIRECT_URI

if TYPE_CHECKING:
    from connector.redirect.parse import AuthorizationResponse

__all__ = ["code"]

_KEYS = ("code", "dialog_code", "format", "layers", "complete", "length", "state")
# DotNetOpenAuth's default lifetime in seconds; counted from the paste, it is an upper limit.
_LIFETIME = timedelta(minutes=3)
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
    """Get the authorization code out of a copied text.

    The whole address is best, but a part of it, the bare code, a mail or a half-edited address will do. A
    code that is cut short or damaged is refused before anyone spends it. Nothing is sent anywhere. A pipe
    gets the code alone; a terminal the form for OrmcoDigital's dialog, which is copied too.
    """
    if unwanted:
        _refuse(unwanted)
    from connector.cli.terminal import read_file, read_paste
    from connector.redirect.parse import parse_redirect

    text = read_file(path) if path else read_paste("Paste the whole address, then press Enter: ")
    redirect_uri = settings["redirect_uri"] or os.environ.get("ORMCO_REDIRECT_URI")
    response = parse_redirect(text, redirect_uri=redirect_uri or REDIRECT_URI)
    if response.warning:
        say(f"Warning: {response.warning}.")
    if not as_json and not for_dialog and sys.stdout.isatty():
        _show(response)
        return
    if response.complete is None:
        say("Note: a code of this kind does not tell whether it is whole; it is passed on unchecked.")
    payload = {name: getattr(response, name) for name in _KEYS} if as_json else {}
    emit(payload, response.dialog_code if for_dialog else response.code, as_json=as_json)


def _show(response: AuthorizationResponse) -> None:
    """Show the form of the code that OrmcoDigital's dialog takes, and copy it to the clipboard."""
    from connector.cli.clipboard import copy
    from connector.clock import Clock

    emit({}, f"{response.dialog_code}\n", as_json=False)
    length = response.length
    if response.complete is None:
        say(f"{mark('warning')} {length} characters, unchecked: codes of this kind do not show damage.")
    else:
        say(f"{mark('ok')} The code is whole: {length} of {length} characters.")
    copied = copy(response.dialog_code)
    say(f"{mark('ok')} This is the form for OrmcoDigital's dialog{f', {copied}' if copied else ''}.")
    ends = shown_time(Clock().utc_now() + _LIFETIME, err=True)
    say(f"{mark('waiting')} A code lives about three minutes: this one until {ends} at the latest.")
    if response.code != response.dialog_code:
        say(f"\nThe decoded code, for programs:\n{response.code}")


def _refuse(arguments: tuple[str, ...]) -> None:
    for argument in arguments:
        # A mistyped option; anything longer may hold a code, and is not repeated.
        if re.fullmatch(r"--?[a-z][a-z\-]{0,20}", argument):
            raise click.NoSuchOption(argument)
        raise click.UsageError(_NOT_AN_ARGUMENT)
