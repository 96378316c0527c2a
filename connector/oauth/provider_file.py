"""Read the provider setting: a preset's name or a TOML file. Errors name the key and the mistake."""

from __future__ import annotations

import difflib
import os.path
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connector.errors import SettingError
from connector.oauth.presets import PRESETS
from connector.oauth.provider import Provider, require_secure

__all__ = ["load_provider", "read_provider_file"]

_URLS = (
    "issuer",
    "token_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
    "users_url",
    "applications_page",
    "portal_url",
)
# A provider file must not set these: the connector sets them itself, or they would replace those that it
# sets (RFC 9101), or reveal a secret.
_OWN_PARAMETERS = frozenset(
    {
        "client_id",
        "client_secret",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "request",
        "request_uri",
    }
)
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_LONGEST_REUSE = 3600
_RESPONSE_MODES = ("query", "fragment")


def load_provider(setting: str) -> Provider:
    """Return a preset by name, or read a TOML file.

    Args:
        setting: the name of one of `PRESETS`, or the path of a TOML file.

    Raises:
        connector.errors.SettingError: if there is no such preset or file, or the file is wrong.
    """
    if setting in PRESETS:
        return PRESETS[setting]
    path = os.path.expanduser(setting)
    if setting.endswith(".toml") or os.path.isfile(path):
        return read_provider_file(path)
    raise SettingError(
        f"there is no provider {setting!r}",
        hint=f"Use one of {', '.join(PRESETS)}, or the path of a TOML file with a [provider] table.",
    )


def read_provider_file(name: str) -> Provider:
    """Read a provider from a TOML file with a `[provider]` table.

    Args:
        name: the file's path.

    Raises:
        connector.errors.SettingError: if the file cannot be read or has an invalid value.
    """
    try:
        table = tomllib.loads(Path(name).read_text("utf-8-sig")).get("provider")
    except OSError as exc:
        raise SettingError(
            f"the provider file {name!r} cannot be read: {exc.strerror or 'not readable'}",
            hint="Check the path, and the file's permissions.",
        ) from None
    except ValueError as exc:
        raise SettingError(
            f"the provider file {name!r} is not TOML in UTF-8: {exc}",
            hint="Write [provider] before its keys, and strings in quotes.",
        ) from None
    if not isinstance(table, dict):
        raise SettingError(
            f"the provider file {name!r} has no [provider] table",
            hint="Put issuer, or authorization_endpoint and token_endpoint, into a [provider] table.",
        )
    try:
        return _from_table(table)
    except SettingError as exc:
        raise SettingError(f"provider file {name!r}: {exc.message}", hint=exc.hint) from None


def _from_table(table: Mapping[str, Any]) -> Provider:
    known = {item.name for item in fields(Provider)} - {"name", "client", "returns_iss"}
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise SettingError(
                f"{key!r} is not a key of [provider]",
                hint=f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(known))}.",
            )
    values = {key: _READERS.get(key, _text)(key, value) for key, value in table.items()}
    if "issuer" not in values and not {"authorization_endpoint", "token_endpoint"} <= values.keys():
        raise SettingError(
            "neither an issuer nor both endpoints are given",
            hint="Set issuer, or authorization_endpoint and token_endpoint.",
        )
    return Provider(name=values.get("issuer") or values["authorization_endpoint"], **values)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SettingError(f"{key} is not a string", hint=f'Write it in quotes: {key} = "…"')
    return value.strip()


def _table(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingError(f"{key} is not a table", hint=f"Write it as [provider.{key}].")
    return value


def _address(key: str, value: object) -> str:
    return require_secure(_text(key, value), key)


def _authorization_endpoint(key: str, value: object) -> str:
    url = _address(key, value)
    for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        _refuse_own(key, name)
    return url


def _addresses(key: str, value: object) -> dict[str, str]:
    return {name: _address(f"{key}.{name}", url) for name, url in _table(key, value).items()}


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"{key} is neither true nor false", hint="Write true or false, without quotes.")
    return value


def _flag_or_unknown(key: str, value: object) -> bool | None:
    return None if value == "unknown" else _flag(key, value)


def _seconds(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_REUSE:
        raise SettingError(
            f"{key} is not a number of seconds from 0 to {_LONGEST_REUSE}", hint=f"Write {key} = 60"
        )
    return float(value)


def _choice(*choices: str) -> Callable[[str, object], str]:
    def read(key: str, value: object) -> str:
        if value not in choices:
            quoted = ", ".join(f'"{choice}"' for choice in choices)
            raise SettingError(f"{key} has an unknown value", hint=f"It may be {quoted}.")
        return str(value)

    return read


def _hosts(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(host, str) and _HOST.fullmatch(host) for host in value
    ):
        raise SettingError(f"{key} is not a list of host names", hint=f'Write {key} = ["www.example.com"]')
    return tuple(value)


def _foreign_parameters(key: str, value: object) -> dict[str, str]:
    params = {
        name: str(item) if type(item) is int else _text(f"{key}.{name}", item)  # max_age = 0
        for name, item in _table(key, value).items()
    }
    for name in params:
        _refuse_own(key, name)
    if params.get("response_mode", "query") not in _RESPONSE_MODES:
        raise SettingError(
            f"{key}.response_mode has an unsupported value",
            hint=f"The code has to come in the address: {' or '.join(_RESPONSE_MODES)}.",
        )
    return params


def _refuse_own(key: str, name: str) -> None:
    if name in _OWN_PARAMETERS:
        raise SettingError(f"{key} must not set {name!r}", hint="Remove it: only the connector sets it.")


_READERS: Mapping[str, Callable[[str, object], Any]] = {
    **dict.fromkeys(_URLS, _address),
    "authorization_endpoint": _authorization_endpoint,
    "metadata_urls": _addresses,
    "code_format": _choice("dotnetopenauth", "identityserver", "opaque"),
    "client_auth": _choice("client_secret_basic", "client_secret_post", "none"),
    "basic_encoding": _choice("rfc6749", "raw"),
    "pkce": _flag,
    "returns_state": _flag_or_unknown,
    "authorization_params": _foreign_parameters,
    "landing_hosts": _hosts,
    "download_hosts": _hosts,
    "refresh_reuse_seconds": _seconds,
}
