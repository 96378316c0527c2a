"""The command `ormco`: parse, call the library, print.

Only click is imported here; every command imports what it works with when it runs.
"""

from __future__ import annotations

import importlib
import io
import signal
import sys
from typing import Any

import click

from connector.cli.output import Style, emit_error, report

__all__ = ["main", "ormco"]

# Command → the module of this package that has it, and what it does: `--help` imports none of them.
_COMMANDS = {
    "connect": ("connect", "Connect a practice: consent, tokens, account."),
    "begin": ("connect", "Print a link that asks the practice for access."),
    "complete": ("connect", "Take the address the browser ended on."),
    "code": ("code", "Get the code out of whatever was copied."),
    "status": ("status", "Show the connections and what they need."),
    "token": ("token", "Print a valid access token."),
    "repair": ("repair", "Find out what is wrong with a connection, mend it."),
    "reconnect": ("repair", "Revoke a connection, then connect it from the start."),
    "revoke": ("revoke", "Take Ormco's access back, and prove it."),
    "forget": ("revoke", "Delete all that is stored of a practice."),
    "doctor": ("doctor", "Check everything, and say what cures it."),
    "refresh": ("refresh", "Refresh what is due, for a timer."),
    "keys": ("keys", "Make and change the keys that tokens are sealed with."),
    "audit": ("audit", "Show what was done, when, by whom."),
    "lab": ("lab", "Have Ormco as a lab in the practice's account."),
    "profile": ("profile", "Connect 3Shape on OrmcoDigital's My Profile page."),
    "cases": ("cases", "Follow cases between clinic and lab."),
    "check-consent": ("check_consent", "Check the consent flow, for a monitor."),
    "sandbox": ("sandbox", "Run an imitation of 3Shape to try things out."),
}


class Commands(click.Group):
    """The group of all commands; a command's module is imported when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are met."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"connector.cli.{_COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note what an error has to look like, before anything can fail."""
        ctx.obj = Style(as_json="--json" in args, verbose="--verbose" in args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn every error into words and an exit status."""
        style: Style = ctx.obj
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if style.as_json:
                emit_error("usage", error.format_message(), as_json=True)
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if style.verbose:
                import traceback

                traceback.print_exc()
            return ctx.exit(report(error, as_json=style.as_json))


_HELP = """Authorize Ormco in a 3Shape Communicate account, and keep the connection alive.

\b
  ormco connect practice-42    give consent in a browser, once
  ormco status                 see every connection
  ormco code                   only get the code out of a copied address
"""


@click.group(
    cls=Commands,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ormco-connector", prog_name="ormco")
def ormco() -> None:
    """Group all commands; `_HELP` is what people read."""


def main() -> None:
    """Run the command line."""
    # A code page without ✓ must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Like Ctrl-C, so that a browser and a half-open request are cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ormco.main(prog_name="ormco")
