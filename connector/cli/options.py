"""Options that several commands take."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connector.errors import SettingError

if TYPE_CHECKING:
    from connector.config import Config
    from connector.connector import Connector

__all__ = [
    "config_from",
    "mode_options",
    "open_connector",
    "practice_argument",
    "settings_options",
]

Command = TypeVar("Command", bound=Callable[..., Any])

# Option → the setting it stands in for.
_SETTINGS = {
    "provider": ("ORMCO_PROVIDER", "Preset, or path of a TOML provider file.", "NAME"),
    "store": ("ORMCO_STORE", "sqlite:///path or postgresql://host/database.", "URL"),
    "client_id": ("ORMCO_CLIENT_ID", "Ormco's client id at the provider.", "ID"),
    "redirect_uri": ("ORMCO_REDIRECT_URI", "The registered redirect URI.", "URI"),
    "scope": ("ORMCO_SCOPE", "Scopes to ask for.", "SCOPES"),
}

practice_argument = click.argument("practice")


def settings_options(command: Command) -> Command:
    """Add what every command takes: --provider, --store, --client-id, --redirect-uri, --scope; --json."""
    for name, (variable, text, metavar) in reversed(_SETTINGS.items()):
        option = click.option(
            f"--{name.replace('_', '-')}",
            name,
            metavar=metavar,
            help=f"{text}  [{variable}]",
            callback=_without_password if name == "store" else None,
        )
        command = option(command)
    command = click.option(
        "--verbose", is_flag=True, expose_value=False, help="Show a traceback when something goes wrong."
    )(command)
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(command)


def mode_options(command: Command) -> Command:
    """Add the ways to get consent: --browser, --headless, --paste, and --timeout."""
    modes = {
        "browser": "Open a visible browser (the default).",
        "headless": "Sign in without a window, with ORMCO_3SHAPE_USERNAME and _PASSWORD.",
        "paste": "Print the link, and read the address that the browser ended on.",
    }
    command = click.option(
        "--timeout",
        type=click.FloatRange(1, 86400),
        default=600,
        metavar="SECONDS",
        help="How long to wait (600).",
    )(command)
    for mode, text in reversed(modes.items()):
        # Only one may have a default: click takes False for a value.
        default: dict[str, Any] = {"default": True} if mode == "browser" else {}
        command = click.option(f"--{mode}", "mode", flag_value=mode, help=text, **default)(command)
    return command


def config_from(overrides: dict[str, Any]) -> Config:
    """Return the settings of the environment, with the options that were given in their place."""
    from connector.config import Config

    env = dict(os.environ)
    for name, (variable, _, _) in _SETTINGS.items():
        value = overrides.get(name)
        if value is not None:
            env[variable] = value
    return Config.from_env(env)


def open_connector(config: Config) -> Connector:
    """Return a connector; nothing is opened before its first call."""
    from connector.connector import Connector

    return Connector.from_config(config)


def _without_password(_ctx: click.Context, _param: click.Parameter, url: str | None) -> str | None:
    if url is None:
        return None
    from urllib.parse import parse_qs, urlsplit  # slow to load

    try:
        parts = urlsplit(url)
    except ValueError:
        raise SettingError(
            "--store is not an address",
            hint="Use sqlite:///path or postgresql://host/database.",
        ) from None
    if parts.password or "password" in parse_qs(parts.query):
        raise SettingError(
            "--store has a password in it, which other users of this machine can read in the process list",
            hint="Set ORMCO_STORE in the environment instead, or keep the password in ~/.pgpass.",
        )
    return url
