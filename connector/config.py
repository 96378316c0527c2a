"""Every setting, read from a mapping such as the environment; what is missing is reported all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector import ormco
from connector.errors import SettingError
from connector.redact import Secret

if TYPE_CHECKING:
    from connector.oauth.provider import ClientRegistration, Provider

__all__ = ["Config", "Secret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings; `from_env` names the variable of each.

    Nothing is read or checked before it is needed: `status` asks for no client secret.
    """

    provider: str = "communicate"
    client_id: str | None = None
    client_secret: Secret = field(default_factory=Secret)
    redirect_uri: str = ormco.REDIRECT_URI
    scope: str | None = None
    store: str | None = field(default=None, repr=False)  # it may have a password in it
    store_keys: Secret = field(default_factory=Secret)
    username: str | None = None
    password: Secret = field(default_factory=Secret)
    digital_url: str | None = None
    digital_username: str | None = None
    digital_password: Secret = field(default_factory=Secret)
    browser: str | None = None
    labs: Mapping[str, str] = field(default_factory=lambda: dict(ormco.LABS))

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Config:
        """Read the settings; an empty variable counts as not set.

        Args:
            env: `os.environ` or any mapping with its names: ORMCO_PROVIDER, ORMCO_CLIENT_ID,
                ORMCO_CLIENT_SECRET, ORMCO_REDIRECT_URI, ORMCO_SCOPE, ORMCO_STORE, ORMCO_STORE_KEYS,
                ORMCO_3SHAPE_USERNAME, ORMCO_3SHAPE_PASSWORD, ORMCO_DIGITAL_URL, ORMCO_DIGITAL_USERNAME,
                ORMCO_DIGITAL_PASSWORD, ORMCO_BROWSER; each secret also as …_FILE, the path of a file.
                ORMCO_LAB_AMERICAS, ORMCO_LAB_ASIA_PACIFIC and ORMCO_LAB_EUROPE are the e-mail addresses of
                Ormco's lab accounts, where they are not the known ones.
        """

        def text(name: str) -> str | None:
            return (env.get(f"ORMCO_{name}") or "").strip() or None

        def secret(name: str, *, private: bool = False) -> Secret:
            value = env.get(f"ORMCO_{name}") or None
            return Secret(value, path=text(f"{name}_FILE"), name=f"ORMCO_{name}", private=private)

        return cls(
            provider=text("PROVIDER") or "communicate",
            client_id=text("CLIENT_ID"),
            client_secret=secret("CLIENT_SECRET"),
            redirect_uri=text("REDIRECT_URI") or ormco.REDIRECT_URI,
            scope=text("SCOPE"),
            store=text("STORE"),
            store_keys=secret("STORE_KEYS", private=True),
            username=text("3SHAPE_USERNAME"),
            password=secret("3SHAPE_PASSWORD"),
            digital_url=text("DIGITAL_URL"),
            digital_username=text("DIGITAL_USERNAME"),
            digital_password=secret("DIGITAL_PASSWORD"),
            browser=text("BROWSER"),
            labs={
                region: text(f"LAB_{region.replace('-', '_').upper()}") or email
                for region, email in ormco.LABS.items()
            },
        )

    @property
    def store_url(self) -> str:
        """Where the store is: the setting, or SQLite in the platform's user data folder."""
        if self.store is not None:
            return self.store
        import platformdirs  # slow to load, and only the default needs it

        return f"sqlite:///{platformdirs.user_data_path('ormco', appauthor=False).as_posix()}/connections.db"

    def load_provider(self) -> Provider:
        """Return the provider that is set, before any discovery.

        Raises:
            connector.errors.SettingError: if there is no such preset, or its file is not right.
        """
        from connector.oauth.provider import Provider

        return Provider.load(self.provider)

    def registration(self, provider: Provider) -> ClientRegistration:
        """Return Ormco's registration at a provider.

        Raises:
            connector.errors.SettingError: naming everything that is missing or contradictory.
        """
        findings = _Findings()
        client = self._registration(provider, findings)
        findings.refuse()
        return client

    def credentials(self, provider: Provider) -> tuple[str, str]:
        """Return the practice's user name and password, to sign in where no person does.

        Raises:
            connector.errors.SettingError: naming all that is missing, of the client registration too.
        """
        findings = _Findings()
        self._registration(provider, findings)
        password = findings.read(self.password.reveal)
        if not self.username:
            findings.missing.append("ORMCO_3SHAPE_USERNAME")
        if not self.password:
            findings.missing.append("ORMCO_3SHAPE_PASSWORD (or ORMCO_3SHAPE_PASSWORD_FILE)")
        findings.refuse()
        return self.username or "", password or ""

    def _registration(self, provider: Provider, findings: _Findings) -> ClientRegistration:
        """Return the settings, else the provider's built-in registration; note what is not right."""
        from connector.oauth.provider import ClientRegistration, require_secure

        client_id, secret = self.client_id, findings.read(self.client_secret.reveal)
        built_in = provider.client
        if built_in is not None and client_id in (None, built_in.client_id):
            client_id, secret = built_in.client_id, secret or built_in.client_secret
        if not client_id:
            findings.missing.append("ORMCO_CLIENT_ID")
        if _needs_secret(provider) and not secret and not self.client_secret:
            findings.missing.append("ORMCO_CLIENT_SECRET (or ORMCO_CLIENT_SECRET_FILE)")
        findings.read(lambda: require_secure(self.redirect_uri, "the redirect URI"))
        return ClientRegistration(
            client_id=client_id or "",
            client_secret=None if provider.client_auth == "none" else secret,
            redirect_uri=self.redirect_uri,
            scope=self.scope or provider.scope,
        )


class _Findings:
    """What is missing or wrong among the settings, so that it is reported all at once."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._faults: list[SettingError] = []

    def read(self, reader: Callable[[], str | None]) -> str | None:
        """Return what a setting says; None, and a note, if it cannot be read."""
        try:
            return reader()
        except SettingError as exc:
            self._faults.append(exc)
            return None

    def refuse(self) -> None:
        """Raise one error for everything that was noted."""
        facts = [fault.message for fault in self._faults]
        hints = [fault.hint for fault in self._faults]
        if self.missing:
            facts.insert(0, f"not set: {', '.join(self.missing)}")
            hints.insert(0, "Set what is missing in the environment; to try without: --provider sandbox.")
        if facts:
            raise SettingError("; ".join(facts), hint=" ".join(dict.fromkeys(hints)))


def _needs_secret(provider: Provider) -> bool:
    # A DotNetOpenAuth server grants codes to clients with a secret only.
    classic = provider.client_auth is None and provider.code_format == "dotnetopenauth"
    return classic or provider.client_auth not in (None, "none")
