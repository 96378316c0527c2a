"""`ormco code` and `page`: extract the code from a copied text, here or on an HTML page."""

from __future__ import annotations

import io
import os
import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import settings_options
from connector.cli.output import emit, mark, say, shown_time, write
from connector.errors import SettingError
from connector.redirect import REDIRECT_URI

if TYPE_CHECKING:
    from connector.redirect.parse import AuthorizationResponse

__all__ = ["code", "page"]

_KEYS = ("code", "dialog_code", "format", "layers", "complete", "length", "state")
_CLIPBOARD_SECONDS = 3.0
# DotNetOpenAuth's default lifetime of a code; counted from the paste, it is an upper limit.
_LIFETIME = timedelta(minutes=3)
_NOT_AN_ARGUMENT = (
    "a code or an address is not taken as an argument: others can read it in the process list, the shell "
    'keeps it in its history, and "!", "&" and "%" are special to shells. Run `ormco code` and paste it '
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
    """Extract the authorization code from a copied text.

    The whole address is best, but a part of it, the bare code, a mail or a half-edited address is enough. A
    code that is cut short or damaged is refused before it is spent. Nothing is sent anywhere. A pipe gets
    the code alone; a terminal gets the form for OrmcoDigital's dialog, which is also copied to the clipboard.
    """
    if unwanted:
        _refuse(unwanted)
    from connector.cli.terminal import read_file, read_paste
    from connector.redirect.parse import parse_redirect

    text = read_file(path) if path else read_paste("Paste the whole address, then press Enter: ")
    redirect_uri = settings["redirect_uri"] or os.environ.get("ORMCO_REDIRECT_URI") or REDIRECT_URI
    response = parse_redirect(text, redirect_uri=redirect_uri)
    if response.warning:
        say(f"Warning: {response.warning}.")
    if not as_json and not for_dialog and sys.stdout.isatty():
        _show(response)
        return
    if response.complete is None:
        say("Note: a code of this format cannot be checked; it is passed on unchecked.")
    payload = {name: getattr(response, name) for name in _KEYS} if as_json else {}
    emit(payload, response.dialog_code if for_dialog else response.code, as_json=as_json)


def _show(response: AuthorizationResponse) -> None:
    """Show the form of the code that OrmcoDigital's dialog takes, and copy it to the clipboard."""
    from connector.clock import Clock

    emit({}, f"{response.dialog_code}\n", as_json=False)
    length = response.length
    if response.complete is None:
        say(f"{mark('warning')} {length} characters, unchecked: damage does not show in codes of this kind.")
    else:
        say(f"{mark('ok')} The code is complete: {length} of {length} characters.")
    copied = _copied(response.dialog_code)
    say(f"{mark('ok')} This is the form for OrmcoDigital's dialog{f', {copied}' if copied else ''}.")
    ends = shown_time(Clock().utc_now() + _LIFETIME, err=True)
    say(f"{mark('waiting')} A code is valid for about three minutes: this one until {ends} at the latest.")
    if response.code != response.dialog_code:
        say(f"\nThe decoded code, for programs:\n{response.code}")


def _refuse(arguments: tuple[str, ...]) -> None:
    for argument in arguments:
        # Repeat only a mistyped option: a longer argument may contain a code.
        if re.fullmatch(r"--?[a-z][a-z\-]{0,20}", argument):
            raise click.NoSuchOption(argument)
        raise click.UsageError(_NOT_AN_ARGUMENT)


def _copied(text: str) -> str:
    """Copy a text to the clipboard; return a message, or "" if that is not possible.

    The platform's own tool comes first, because it reports success. Otherwise the terminal gets OSC 52,
    which also works over SSH, but does not report success.
    """
    import base64

    if any(_ran(command, text) for command in _tools()):
        return "copied to the clipboard"
    if os.environ.get("TERM", "dumb") == "dumb" or not sys.stderr.isatty():
        return ""
    sys.stderr.write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07")
    sys.stderr.flush()
    return "sent to the terminal's clipboard, if it has one: try pasting"


def _tools() -> list[list[str]]:
    if sys.platform == "darwin":
        return [["pbcopy"]]
    if sys.platform == "win32":
        return [["clip.exe"]]
    if os.environ.get("SSH_TTY"):
        return []  # the clipboard here is another machine's
    tools = []
    if os.environ.get("WAYLAND_DISPLAY"):
        tools.append(["wl-copy"])
    if os.environ.get("DISPLAY"):
        tools += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    return [*tools, ["clip.exe"]] if os.environ.get("WSL_DISTRO_NAME") else tools


def _ran(command: list[str], text: str) -> bool:
    import shutil
    import subprocess

    from connector.process import child_environment

    program = shutil.which(command[0])
    if program is None:
        return False
    try:
        # xclip stays in the background to serve the clipboard, and must not keep this program's streams open.
        ended = subprocess.run(
            [program, *command[1:]],
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=child_environment(os.environ),
            timeout=_CLIPBOARD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


_PAGE_EXAMPLES = """\b
Examples:
  ormco page --output code.html             to send, or to put on a share
  ormco page --landing --output landing.html    for the owner of the redirect URI
"""


@click.command("page", epilog=_PAGE_EXAMPLES)
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to a file, not stdout."
)
@click.option("--landing", is_flag=True, help="Write the page for the redirect URI itself.")
@settings_options
def page(output: str | None, landing: bool, as_json: bool, **settings: Any) -> None:
    """Write the code page: a person pastes a copied text, and gets the code for OrmcoDigital.

    It is one file that needs no network and no installation: it opens from a mail, a share or a web server.
    With --landing it is the page for the redirect URI, which shows the code that is in its own address.
    """
    from connector.redirect.address import redirect_target
    from connector.web.code_page import code_page, landing_page

    redirect_uri = settings["redirect_uri"] or os.environ.get("ORMCO_REDIRECT_URI") or REDIRECT_URI
    redirect_target(redirect_uri)  # raises an error if it has no host
    html = landing_page(redirect_uri) if landing else code_page(redirect_uri)
    if output is None:
        emit({"page": html}, "", as_json=as_json)
        if not as_json:
            if isinstance(sys.stdout, io.TextIOWrapper):
                # The same bytes as in the file, with any encoding and line endings of the terminal.
                sys.stdout.reconfigure(encoding="utf-8", newline="\n")
            write(html, newline=False)
        return
    try:
        with open(output, "w", encoding="utf-8", newline="\n") as file:
            file.write(html)
    except OSError as exc:
        raise SettingError(
            f"{output} cannot be written: {exc.strerror}", hint="Choose another file: --output FILE"
        ) from None
    emit({"output": output}, output, as_json=as_json)
