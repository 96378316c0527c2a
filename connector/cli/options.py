"""Options that every command takes, and the connector that they configure."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connector.errors import ConnectorError, SettingError, StoreUnavailableError

if TYPE_CHECKING:
    from connector.config import Config
    from connector.connector import Connector

__all__ = [
    "PAST",
    "FiniteRange",
    "StoreUrl",
    "When",
    "complete_practice",
    "config_from",
    "open_connector",
    "optional_practice",
    "practice_argument",
    "require_store",
    "settings_options",
    "timeout_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

_MOST_COMPLETIONS = 100

_SPAN = r"(\d{1,6})\s*(min|h|d|w)"
_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FIRST_YEAR = 1900

# Option → the setting that it overrides.
_SETTINGS = {
    "provider": ("ORMCO_PROVIDER", "Preset, or path of a TOML provider file.", "NAME"),
    "store": ("ORMCO_STORE", "sqlite:///path or postgresql://host/database.", "URL"),
    "client_id": ("ORMCO_CLIENT_ID", "Ormco's client id at the provider.", "ID"),
    "redirect_uri": ("ORMCO_REDIRECT_URI", "The registered redirect URI.", "URI"),
    "scope": ("ORMCO_SCOPE", "Scopes to ask for.", "SCOPES"),
}


def settings_options(command: Command) -> Command:
    """Add the options of every command: the settings, --json, --utc and --verbose."""
    for name, (variable, text, metavar) in reversed(_SETTINGS.items()):
        option = click.option(
            f"--{name.replace('_', '-')}",
            name,
            metavar=metavar,
            help=f"{text}  [{variable}]",
            type=StoreUrl() if name == "store" else None,
        )
        command = option(command)
    command = click.option(
        "--verbose",
        is_flag=True,
        expose_value=False,
        help="Log each action, and show a traceback after an error.",
    )(command)
    command = click.option(
        "--utc", is_flag=True, expose_value=False, help="Show times in UTC instead of local time."
    )(command)
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(command)


def config_from(overrides: dict[str, Any]) -> Config:
    """Return the settings from the environment, overridden by the options that were given."""
    from connector.config import Config

    env = dict(os.environ)
    for name, (variable, _, _) in _SETTINGS.items():
        value = overrides.get(name)
        if value is not None:
            env[variable] = value
    return Config.from_env(env)


@contextmanager
def open_connector(config: Config, *, must_exist: bool = False) -> Iterator[Connector]:
    """Yield a connector; add the next command to the hints of its errors.

    Args:
        config: the settings.
        must_exist: refuse a configured store that does not exist, instead of creating an empty one.

    Raises:
        connector.errors.StoreUnavailableError: the store does not exist.
    """
    from connector.connector import Connector

    if must_exist:
        require_store(config.store or "")
    with Connector.from_config(config, proactive=False) as connector:
        try:
            yield connector
        except ConnectorError as exc:
            from connector.cli.status import add_next_step

            add_next_step(connector, exc)
            raise


def complete_practice(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the practices that begin with the typed text; none if the store cannot be read."""
    try:
        with open_connector(config_from(context.params)) as connector:
            known = (connection.practice_id for connection in connector.connections())
            found = islice((one for one in known if one.startswith(incomplete)), _MOST_COMPLETIONS)
            import shlex

            # bash inserts it unquoted: `a; rm -rf x` must not be run. zsh and fish quote it themselves.
            is_bash = os.environ.get("_ORMCO_COMPLETE") == "bash_complete"
            return list(map(shlex.quote, found) if is_bash else found)
    except Exception:
        # A message would appear in the line that is being typed.
        return []


practice_argument = click.argument("practice", shell_complete=complete_practice)
optional_practice = click.argument("practice", required=False, shell_complete=complete_practice)


def require_store(url: str) -> None:
    """Refuse a SQLite store that does not exist.

    Raises:
        connector.errors.StoreUnavailableError: there is no store at this address.
    """
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and not os.path.exists(os.path.expanduser(path)):
        raise StoreUnavailableError(
            f"there is no store at {path}",
            hint="Check ORMCO_STORE or --store; a store is created when the first practice is connected.",
        )


class StoreUrl(click.ParamType[str]):
    """A store's address, which must not contain a password."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse an address that contains a password."""
        from urllib.parse import parse_qs, urlsplit  # slow to load

        url = str(value)
        which = param.metavar if isinstance(param, click.Argument) and param.metavar else "--store"
        try:
            parts = urlsplit(url)
        except ValueError:
            raise SettingError(
                f"{which} is not an address", hint="Use sqlite:///path or postgresql://host/database."
            ) from None
        if parts.password or "password" in parse_qs(parts.query):
            raise SettingError(
                f"{which} contains a password, which other users of this machine can read in the "
                "process list",
                hint="Set ORMCO_STORE in the environment instead, or keep the password in ~/.pgpass.",
            )
        return url


class FiniteRange(click.FloatRange):
    """A range of numbers that refuses "inf" and "nan"; click's comparisons let "nan" pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class When(click.ParamType[datetime]):
    """A date, a time, or an age such as 7d; without a zone it is UTC.

    Args:
        past: refuse a time in the future, because nothing has happened since then.
    """

    name = "when"

    def __init__(self, *, past: bool = False) -> None:
        self._past = past

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the text."""
        now = datetime.now(UTC)
        try:
            if span := re.fullmatch(_SPAN, str(value).strip()):
                time = now - timedelta(**{_UNITS[span[2]]: int(span[1])})
            else:
                time = datetime.fromisoformat(str(value).strip())
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a date such as 2026-01-31 nor a span such as 7d, 12h or 30min.")
        if time.year < _FIRST_YEAR:
            self.fail(f"{value!r} is before {_FIRST_YEAR}.")
        if self._past and time > now:
            self.fail(f"{value!r} is in the future.")
        return time


PAST = When(past=True)
timeout_option = click.option(
    "--timeout", type=FiniteRange(1, 86400), default=600, metavar="SECONDS", help="How long to wait (600)."
)
