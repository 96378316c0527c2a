"""The command `ormco`: parses arguments, calls the library, and maps errors to messages and exit statuses.

Only click is imported here; each command imports its other modules when it runs.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import click

from connector.cli.output import OutputOptions, color, emit, report
from connector.cli.streams import output_broken, prepare_streams, report_broken_output
from connector.process import forbid_core_dumps

__all__ = ["LazyGroup", "SuggestingGroup", "main", "ormco"]

# Command → its module, and its one-line help.
_COMMANDS = {
    "connect": ("connect", "Connect a practice: consent, tokens, account."),
    "begin": ("connect", "Print a link that asks the practice for access."),
    "complete": ("connect", "Connect a practice with the address that the browser ended on."),
    "code": ("code", "Extract the code from a copied text."),
    "page": ("code", "Write the code page, or the landing page, as an HTML file."),
    "status": ("status", "Show the connections and their next commands."),
    "token": ("token", "Print a valid access token."),
    "repair": ("connect", "Diagnose a connection, and repair it."),
    "reconnect": ("connect", "Revoke a connection, then connect it from the start."),
    "revoke": ("revoke", "Revoke Ormco's access, and prove it."),
    "forget": ("revoke", "Delete everything stored for a practice."),
    "desk": ("desk", "Show which practices need help, and the next step, in a browser."),
    "doctor": ("doctor", "Check everything, with a cure for each problem."),
    "refresh": ("token", "Refresh the tokens that expire soon, for a timer."),
    "keys": ("store", "Create and rotate the keys that seal the tokens."),
    "audit": ("audit", "Show the audit record: each action, its time and its actor."),
    "store": ("store", "Move the store to another database, or upgrade it."),
    "lab": ("lab", "Connect Ormco's lab in the practice's account."),
    "profile": ("profile", "Connect 3Shape on OrmcoDigital's My Profile page."),
    "cases": ("cases", "Follow cases between clinic and lab."),
    "check-consent": ("doctor", "Check the consent flow, for a monitor."),
    "sandbox": ("sandbox", "Run an imitation of 3Shape, for trials and tests."),
}

_HELP = """Authorize Ormco in a 3Shape Communicate account, and keep the connection alive.

\b
  ormco connect practice-42    give consent in a browser, once
  ormco status                 see every connection
  ormco code                   only extract the code from a copied address
"""


class SuggestingGroup(click.Group):
    """A group that suggests a command for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; if there is none, suggest commands with a similar name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx))
            if args[0].startswith("-") or not close:
                raise
            suggestion = " or ".join(f"'{ctx.command_path} {name}'" for name in close)
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {suggestion}?", ctx) from None


class LazyGroup(SuggestingGroup):
    """The group of all commands.

    Args:
        modules: command → its module in this package, and its one-line help; `--help` imports none of them.
    """

    def __init__(self, *args: Any, modules: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of use."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self._modules:
            return None
        module = importlib.import_module(f"connector.cli.{self._modules[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._modules.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the output options first, so that every later error is printed accordingly."""
        ctx.obj = OutputOptions(as_json="--json" in args, verbose="--verbose" in args, utc="--utc" in args)
        ctx.color = color()
        try:
            return super().parse_args(ctx, args)
        except OSError as error:  # --help and --version print here
            raise click.exceptions.Exit(report_broken_output(error)) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn every error into a message and an exit status."""
        options: OutputOptions = ctx.obj
        if options.verbose:
            import logging

            logging.basicConfig(format="%(levelname)s: %(message)s")
            logging.getLogger("connector").setLevel(logging.INFO)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            _reported(error, as_json=options.as_json)
            raise
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, OSError) and output_broken():
                return ctx.exit(report_broken_output(error))
            if options.verbose:
                import traceback

                traceback.print_exc()
            return ctx.exit(_reported(error, as_json=options.as_json))


def _reported(error: BaseException, *, as_json: bool) -> int:
    try:
        if isinstance(error, click.UsageError):  # click prints its text
            words = {"kind": "usage", "message": error.format_message(), "hint": ""}
            emit({"error": words}, "", as_json=as_json)
            return error.exit_code
        # click's prompts raise Abort for Ctrl-C.
        return report(KeyboardInterrupt() if isinstance(error, click.Abort) else error, as_json=as_json)
    except OSError as broken:
        return report_broken_output(broken)


ormco = click.version_option(package_name="ormco-connector", prog_name="ormco")(
    LazyGroup(
        "ormco",
        modules=_COMMANDS,
        help=_HELP,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
)


def main() -> None:
    """Run the command line."""
    forbid_core_dumps()
    prepare_streams()
    # Like Ctrl-C, so that a browser and a half-open request are cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ormco.main(prog_name="ormco")
    except KeyboardInterrupt:  # outside any command, such as during an import
        sys.exit(130)
    finally:
        # Only exit handlers run from here on; Ctrl-C in one of them would print a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os._exit(130))
