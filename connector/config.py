"""Every setting, read from a mapping such as the environment; one error reports all missing ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from connector.errors import SettingError
from connector.oauth.ormco import LABS, REDIRECT_URI
from connector.redact import Secret

if TYPE_CHECKING:
    from connector.oauth.provider import ClientRegistration, Provider

__all__ = ["Config", "Secret"]

_LONGEST_TEXT = 4096
_LONGEST_LEEWAY = 86400.0
_FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings.

    A `Config` refuses impossible values, such as a number for a text, when it is made. The rest is checked by
    the operation that needs it: `status` needs no client secret.

    Attributes:
        provider: a preset, or the path of a TOML provider file.
        client_id, client_secret: those of Ormco's registration at the provider.
        redirect_uri: as registered, byte for byte.
        scope: space-separated; the provider's own by default.
        store: `sqlite:///path` or `postgresql://…`; by default SQLite in the user data folder.
        store_keys: base64 of 32 bytes each, comma-separated; the first key seals, every key opens.
        username, password: the practice's credentials at 3Shape, used if no person signs in.
        digital_url, digital_username, digital_password: OrmcoDigital, and the practice's account there.
        browser: path of a Chromium or Chrome.
        actor: the actor in the audit record; by default the user and the machine.
        clock_leeway: seconds by which this machine's clock and the provider's may differ.
        record_refreshes: whether a routine refresh is an audit event.
        labs: region → e-mail address of Ormco's lab account.
    """

    provider: str = "communicate"
    client_id: str | None = None
    client_secret: Secret = field(default_factory=Secret)
    redirect_uri: str = REDIRECT_URI
    scope: str | None = None
    store: str | None = field(default=None, repr=False)  # it may contain a password
    store_keys: Secret = field(default_factory=Secret)
    username: str | None = None
    password: Secret = field(default_factory=Secret)
    digital_url: str | None = None
    digital_username: str | None = None
    digital_password: Secret = field(default_factory=Secret)
    browser: str | None = None
    actor: str | None = None
    clock_leeway: float = 300.0
    record_refreshes: bool = False
    labs: Mapping[str, str] = field(default_factory=lambda: dict(LABS))

    def __post_init__(self) -> None:
        findings = _Findings()
        for item in fields(self):
            is_right, fault = _CHECKS[str(item.type)]
            if not is_right(getattr(self, item.name)):
                fact = f"{item.name} ({_variable(item.name)}) {fault}"
                findings.faults.append((fact, "Correct the setting."))
        findings.refuse()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Config:
        """Read the settings; an empty variable counts as not set.

        Args:
            env: `os.environ`, or any mapping with `ORMCO_<SETTING>` for each setting, and with
                ORMCO_3SHAPE_USERNAME, ORMCO_3SHAPE_PASSWORD and `ORMCO_LAB_<REGION>`. Each secret may also
                be in a file, named by `…_FILE`.

        Raises:
            connector.errors.SettingError: a variable has an invalid value.
        """
        labs = {region: f"ORMCO_LAB_{region.replace('-', '_').upper()}" for region in LABS}
        values: dict[str, Any] = {
            "labs": {region: _text(env, name) or LABS[region] for region, name in labs.items()}
        }
        for item in fields(cls):
            name = _variable(item.name)
            if item.type == "Secret":
                values[item.name] = _secret(env, name)
            elif (text := _text(env, name)) is not None:
                values[item.name] = _READERS.get(str(item.type), str)(text)
        return cls(**values)

    @property
    def store_url(self) -> str:
        """The address of the store: the setting, or SQLite in the platform's user data folder.

        Raises:
            connector.errors.SettingError: it is not set, and this user has no home folder.
        """
        if self.store is not None:
            return self.store
        from connector.own_files import platform_folder

        folder = platform_folder("data")
        if folder is None:
            raise SettingError(
                "this user has no home folder, so there is no default path for the store",
                hint="Set ORMCO_STORE to sqlite:///path or postgresql://…",
            )
        return f"sqlite:///{folder.as_posix()}/connections.db"

    def load_provider(self) -> Provider:
        """Return the configured provider, before any discovery, or raise a `SettingError`."""
        from connector.oauth.provider_file import load_provider

        return load_provider(self.provider)

    def registration(self, provider: Provider) -> ClientRegistration:
        """Return Ormco's registration at a provider.

        Raises:
            connector.errors.SettingError: something is missing or contradictory; the message names all of it.
        """
        findings = _Findings(is_sandbox=provider.is_local)
        client = self._registration(provider, findings)
        findings.refuse()
        return client

    def credentials(self, provider: Provider) -> tuple[str, str]:
        """Return the practice's user name and password, to sign in without a person.

        Raises:
            connector.errors.SettingError: something is missing; the message names everything.
        """
        findings = _Findings(is_sandbox=provider.is_local)
        self._registration(provider, findings)
        password = Secret(findings.read(self.password.reveal))
        if not self.username:
            findings.missing.append("ORMCO_3SHAPE_USERNAME")
        if not self.password:
            findings.missing.append("ORMCO_3SHAPE_PASSWORD (or ORMCO_3SHAPE_PASSWORD_FILE)")
        findings.refuse()
        return self.username or "", password.reveal() or ""

    def _registration(self, provider: Provider, findings: _Findings) -> ClientRegistration:
        """Return the configured registration, or else the provider's built-in one; record the faults."""
        from connector.oauth.provider import ClientRegistration, require_secure

        client_id, secret = self.client_id, findings.read(self.client_secret.reveal)
        built_in = provider.client
        if built_in is not None and client_id in (None, built_in.client_id):
            client_id, secret = built_in.client_id, secret or built_in.client_secret
        if not client_id:
            findings.missing.append("ORMCO_CLIENT_ID")
        if provider.needs_secret and not secret and not self.client_secret:
            findings.missing.append("ORMCO_CLIENT_SECRET (or ORMCO_CLIENT_SECRET_FILE)")
        findings.read(lambda: require_secure(self.redirect_uri, "the redirect URI"))
        scope = self.scope or provider.scope
        if "openid" in (scope or "").split() and provider.issuer is None:
            fact = "openid is requested, and the provider has no issuer to check the id_token against"
            hint = "Set issuer in the provider file, or leave openid out of ORMCO_SCOPE."
            findings.faults.append((fact, hint))
        return ClientRegistration(
            client_id=client_id or "",
            client_secret=None if provider.client_auth == "none" else secret,
            redirect_uri=self.redirect_uri,
            scope=scope,
        )


class _Findings:
    """The settings that are missing or wrong; the hint suggests the sandbox, unless it is used already."""

    def __init__(self, *, is_sandbox: bool = False) -> None:
        self._is_sandbox = is_sandbox
        self.missing: list[str] = []
        self.faults: list[tuple[str, str]] = []  # message and hint

    def read(self, reader: Callable[[], str | None]) -> str | None:
        """Return the value of a setting; if it cannot be read, record the fault and return None."""
        try:
            return reader()
        except SettingError as exc:
            self.faults.append((exc.message, exc.hint))
            return None

    def refuse(self) -> None:
        """Raise one error for all recorded faults, if there are any."""
        if self.missing:
            hint = "." if self._is_sandbox else "; to try without, use the provider sandbox."
            self.faults.insert(0, (f"not set: {', '.join(self.missing)}", f"Set these variables{hint}"))
        if self.faults:
            facts, hints = zip(*self.faults, strict=True)
            raise SettingError("; ".join(facts), hint=" ".join(dict.fromkeys(hints)))


def _variable(setting: str) -> str:
    return f"ORMCO_{'3SHAPE_' * (setting in ('username', 'password'))}{setting.upper()}"


def _text(env: Mapping[str, str], name: str) -> str | None:
    return (env.get(name) or "").strip() or None


def _secret(env: Mapping[str, str], name: str) -> Secret:
    value, path = (env.get(name) or "").strip("\r\n\ufeff"), _text(env, f"{name}_FILE")
    if "PASSWORD" not in name:  # a password may begin or end with a space
        value = value.strip()
    # Anyone who can read the sealing keys can read everything.
    return Secret(value or None, path=path, name=name, private=name == "ORMCO_STORE_KEYS")


def _seconds(text: str) -> float | str:
    with suppress(ValueError):
        return float(text)
    return text


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable()


# Keyed by the declared types of the settings.
_READERS: Mapping[str, Callable[[str], Any]] = {
    "float": _seconds,
    "bool": lambda text: _FLAGS.get(text.lower(), text),
}
_A_TEXT = f"is not a printable text of up to {_LONGEST_TEXT} characters"
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "Secret": (
        lambda value: isinstance(value, Secret) and value.is_text,
        'is not a Secret of printable text: write Secret("…")',
    ),
    "bool": (lambda value: isinstance(value, bool), "is neither yes nor no"),
    "float": (
        lambda value: type(value) in (int, float) and 0 <= value <= _LONGEST_LEEWAY,
        f"is not a number of seconds from 0 to {_LONGEST_LEEWAY:.0f}",
    ),
    "str": (_is_text, _A_TEXT),
    "str | None": (lambda value: value is None or _is_text(value), _A_TEXT),
    "Mapping[str, str]": (
        lambda value: isinstance(value, Mapping) and all(map(_is_text, [*value, *value.values()])),
        "is not a table of printable texts",
    ),
}
