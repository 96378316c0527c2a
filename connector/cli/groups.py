"""Groups of commands: commands are imported when they are named, and errors become exit statuses."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from connector.cli.output import OutputOptions, color, emit_error, report
from connector.cli.streams import output_broken, report_broken_output

__all__ = ["LazyGroup", "SuggestingGroup"]


class SuggestingGroup(click.Group):
    """A group that suggests a command for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; name those that are spelt alike if there is none."""
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
        modules: command → the module of this package that has it, and what it does; `--help` imports none.
    """

    def __init__(self, *args: Any, modules: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are needed."""
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

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the options before the command; `--help` and `--version` print and end here."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except OSError as error:
            raise click.exceptions.Exit(report_broken_output(error)) from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note how to print, before anything can fail."""
        ctx.obj = OutputOptions(as_json="--json" in args, verbose="--verbose" in args, utc="--utc" in args)
        ctx.color = color()
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn every error into words and an exit status."""
        options: OutputOptions = ctx.obj
        if options.verbose:
            import logging

            logging.basicConfig(format="%(levelname)s: %(message)s")
            logging.getLogger("connector").setLevel(logging.INFO)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            emit_error("usage", error.format_message(), as_json=options.as_json)
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
        # click's prompts raise Abort for Ctrl-C.
        return report(KeyboardInterrupt() if isinstance(error, click.Abort) else error, as_json=as_json)
    except OSError as broken:
        return report_broken_output(broken)
