"""`ormco sandbox`: 3Shape Communicate and OrmcoDigital, imitated, for trying things out."""

from __future__ import annotations

import time
from typing import Any

import click

from connector.cli.options import settings_options
from connector.cli.output import emit, say
from connector.errors import ExtraMissingError, SettingError

__all__ = ["sandbox"]


@click.command(
    epilog="Example: ormco sandbox   (then, elsewhere: ormco connect practice-42 --provider sandbox)",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8042, metavar="N", help="Port (8042); 0: a free one."
)
@click.option(
    "--generation",
    type=click.Choice(["classic", "identity"]),
    default="classic",
    help="Which of 3Shape's authorization servers (classic).",
)
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Make it misbehave; repeatable.")
@click.option("--list-scenarios", is_flag=True, help="List the scenarios and end.")
@settings_options
def sandbox(
    port: int,
    generation: str,
    scenarios: tuple[str, ...],
    list_scenarios: bool,
    as_json: bool,
    **_settings: Any,
) -> None:
    """Run 3Shape Communicate, its portal and OrmcoDigital on this machine, in the foreground.

    Prints one line of JSON with its addresses and made-up accounts, then serves until Ctrl-C. Keeps
    everything in memory.
    """
    from connector.sandbox import SCENARIOS, Sandbox

    if list_scenarios:
        width = max(map(len, SCENARIOS))
        lines = [f"{name:<{width}}  {text}" for name, text in SCENARIOS.items()]
        emit({"scenarios": SCENARIOS}, "\n".join(lines), as_json=as_json)
        return
    try:
        server = Sandbox(generation, port=port, scenarios=scenarios).start()
    except ValueError as exc:
        raise SettingError(str(exc), hint="See them all: ormco sandbox --list-scenarios") from None
    except OSError as exc:
        raise SettingError(
            f"port {port} cannot be used: {exc.strerror}",
            hint="Stop what uses it, or choose another: --port 0",
        ) from None
    except ModuleNotFoundError as exc:
        raise ExtraMissingError(
            f"the sandbox needs {exc.name}", hint="Install it: pip install 'ormco-connector[sandbox]'"
        ) from None
    with server:
        emit(server.description, "", as_json=True)
        say("Serving until Ctrl-C …")
        while True:
            time.sleep(3600)
