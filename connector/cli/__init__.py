"""The command `ormco`: parse, call the library, print.

Only click is imported here; every command imports what it works with when it runs.
"""

from __future__ import annotations

import signal
import sys

import click

from connector.cli.groups import LazyGroup
from connector.cli.streams import prepare_streams
from connector.process import forbid_core_dumps

__all__ = ["main", "ormco"]

# Command → its module, and what it does.
_COMMANDS = {
    "connect": ("connect", "Connect a practice: consent, tokens, account."),
    "begin": ("connect", "Print a link that asks the practice for access."),
    "complete": ("connect", "Take the address the browser ended on."),
    "code": ("code", "Get the code out of whatever was copied."),
    "page": ("page", "Write the code page, or the landing page, as an HTML file."),
    "status": ("status", "Show the connections and what they need."),
    "token": ("token", "Print a valid access token."),
    "repair": ("repair", "Find out what is wrong with a connection, and repair it."),
    "reconnect": ("repair", "Revoke a connection, then connect it from the start."),
    "revoke": ("revoke", "Take Ormco's access back, and prove it."),
    "forget": ("revoke", "Delete all that is stored of a practice."),
    "desk": ("desk", "Show who needs help, and the next step, in a browser."),
    "doctor": ("doctor", "Check everything, and say what cures it."),
    "refresh": ("token", "Refresh what is due, for a timer."),
    "keys": ("store", "Make and change the keys that tokens are sealed with."),
    "audit": ("audit", "Show what was done, when, by whom."),
    "store": ("store", "Move the store to another database, or upgrade it."),
    "lab": ("lab", "Have Ormco as a lab in the practice's account."),
    "profile": ("profile", "Connect 3Shape on OrmcoDigital's My Profile page."),
    "cases": ("cases", "Follow cases between clinic and lab."),
    "check-consent": ("check_consent", "Check the consent flow, for a monitor."),
    "sandbox": ("sandbox", "Run an imitation of 3Shape to try things out."),
}

_HELP = """Authorize Ormco in a 3Shape Communicate account, and keep the connection alive.

\b
  ormco connect practice-42    give consent in a browser, once
  ormco status                 see every connection
  ormco code                   only get the code out of a copied address
"""


@click.group(
    cls=LazyGroup,
    modules=_COMMANDS,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ormco-connector", prog_name="ormco")
def ormco() -> None:
    """Group all commands; `_HELP` is what people read."""


def main() -> None:
    """Run the command line."""
    forbid_core_dumps()
    prepare_streams()
    # Like Ctrl-C, so that a browser and a half-open request are cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ormco.main(prog_name="ormco")
    except KeyboardInterrupt:  # outside any command, such as while one is imported
        sys.exit(130)
    finally:
        # From here on only exit handlers run, of libraries too, and Ctrl-C in one would print a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
