"""`ormco sandbox`: an imitation of 3Shape Communicate and OrmcoDigital, to try things out."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from connector.cli.options import settings_options
from connector.cli.output import emit, say
from connector.errors import ExtraMissingError, SettingError
from connector.hints import install

__all__ = ["sandbox"]


@click.command(
    epilog="Example: ormco sandbox   (then, elsewhere: ormco connect practice-42 --provider sandbox)"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8042, metavar="N", help="Port (8042); 0: a free one."
)
@click.option(
    "--generation",
    type=click.Choice(["classic", "identity"]),
    default="classic",
    help="Generation of 3Shape's authorization server (classic).",
)
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Make it misbehave; repeatable.")
@click.option("--list-scenarios", is_flag=True, help="List the scenarios and end.")
@settings_options
def sandbox(list_scenarios: bool, as_json: bool, **options: Any) -> None:
    """Run 3Shape Communicate, its portal and OrmcoDigital on this machine, in the foreground.

    Prints one line of JSON with its addresses and made-up accounts, then serves until Ctrl-C. Keeps
    everything in memory. At a terminal it also prints the settings for another terminal.
    """
    from connector.sandbox import SCENARIOS

    if list_scenarios:
        width = max(map(len, SCENARIOS))
        lines = [f"{name:<{width}}  {text}" for name, text in SCENARIOS.items()]
        emit({"scenarios": SCENARIOS}, "\n".join(lines), as_json=as_json)
        return
    if options["provider"] not in (None, "sandbox") or options["store"] is not None:
        raise click.UsageError(
            "the sandbox is a provider itself and has no store: leave --provider and --store out"
        )
    with _started(options) as server:
        emit(server.description, "", as_json=True)
        if sys.stderr.isatty():
            say("In another terminal:\n" + "\n".join(_exports(server.description)))
        say("Serving until Ctrl-C …")
        while True:
            time.sleep(3600)


# The option of the other commands, but repeatable: a sandbox can have several redirect URIs.
_REDIRECT_URIS = click.Option(
    ["--redirect-uri", "redirect_uris"],
    multiple=True,
    envvar="ORMCO_REDIRECT_URI",
    metavar="URI",
    help="Register it in addition to https://ormco.com/; repeatable.  [ORMCO_REDIRECT_URI]",
)
sandbox.params = [_REDIRECT_URIS if param.name == "redirect_uri" else param for param in sandbox.params]


def _started(options: Mapping[str, Any]) -> Any:
    from connector.sandbox import Sandbox

    names = ("port", "scenarios", "redirect_uris", "scope", "client_id")
    given = {name: options[name] for name in names if options[name] is not None}
    try:
        return Sandbox(options["generation"], **given).start()
    except ValueError as exc:
        raise SettingError(str(exc), hint="See ormco sandbox --help and --list-scenarios.") from None
    except OSError as exc:
        in_use = exc.errno == errno.EADDRINUSE
        fact = "is in use by another program" if in_use else f"cannot be used: {os.strerror(exc.errno or 0)}"
        raise SettingError(
            f"port {options['port']} {fact}",
            hint="Stop that program, or use a free port: ormco sandbox --port 0",
        ) from None
    except ModuleNotFoundError as exc:
        raise ExtraMissingError(f"the sandbox needs {exc.name}", hint=install("sandbox")) from None


def _exports(description: Mapping[str, Any]) -> list[str]:
    """Return the lines that set the environment of a shell for this sandbox."""
    settings = {
        "ORMCO_PROVIDER": description["provider_file"],
        "ORMCO_CLIENT_ID": description["client_id"],
        "ORMCO_CLIENT_SECRET": description["client_secret"],
        "ORMCO_REDIRECT_URI": description["redirect_uri"],
        "ORMCO_3SHAPE_USERNAME": description["practice"]["username"],
        "ORMCO_3SHAPE_PASSWORD": description["practice"]["password"],
        "ORMCO_DIGITAL_URL": description["ormcodigital_url"],
        "ORMCO_DIGITAL_USERNAME": description["practice"]["username"],
        "ORMCO_DIGITAL_PASSWORD": description["practice"]["password"],
    }
    if os.name == "nt":
        quoted = {name: value.replace("'", "''") for name, value in settings.items()}
        return [f"  $env:{name} = '{value}'" for name, value in quoted.items()]
    import shlex

    return [f"  export {name}={shlex.quote(value)}" for name, value in settings.items()]
