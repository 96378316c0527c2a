"""The 3Shape Communicate that tests use: a sandbox of their own, or the provider in the environment."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from connector.config import Config
from connector.errors import ExtraMissingError, ProviderErrorPageError, SettingError
from connector.hints import install
from connector.oauth.provider import Provider

if TYPE_CHECKING:
    from connector.sandbox import Sandbox

__all__ = ["Communicate", "PracticeAccount", "client_id_of", "is_sandbox", "open_communicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticeAccount:
    """A practice's Communicate account, to sign in with; a test's report shows neither name nor password."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Communicate:
    """3Shape Communicate from a test's point of view. A feature that it lacks is None.

    Attributes:
        settings: as in the environment: ORMCO_PROVIDER and so on, with the secrets, but no ORMCO_STORE.
        provider: the value for ORMCO_PROVIDER: the name of a preset or the path of a provider file.
        generation: "classic" or "identity"; None for another server.
        client_id: Ormco's client id.
        redirect_uri: the address to which the provider sends the browser back.
        practice: the account that gives consent.
        other_practice: another account; only with the sandbox.
        portal_url: address of the portal.
        applications_page: address of the page on which a person removes Ormco.
        ormcodigital_url: address of OrmcoDigital.
        control_url: address of the sandbox's control.
        sandbox: the sandbox itself.
    """

    settings: dict[str, str] = field(repr=False)
    provider: str
    generation: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str
    practice: PracticeAccount | None = None
    other_practice: PracticeAccount | None = None
    portal_url: str | None = None
    applications_page: str | None = None
    ormcodigital_url: str | None = None
    control_url: str | None = None
    sandbox: Sandbox | None = field(default=None, repr=False)

    @property
    def provider_file(self) -> str | None:
        """The provider file's path, if `provider` is one."""
        return self.provider if self.provider.endswith(".toml") else None

    @property
    def missing(self) -> list[str]:
        """The settings that a consent needs and that are missing."""
        needed = {
            "ORMCO_CLIENT_ID": self.client_id,
            "ORMCO_3SHAPE_USERNAME": self.practice,
            "ORMCO_3SHAPE_PASSWORD": self.practice,
        }
        return [name for name, value in needed.items() if not (value or self.settings.get(name))]

    def config(self, *, store: str) -> Config:
        """Return the settings of a connector; skip the test if the client secret is missing.

        Args:
            store: its store, such as f"sqlite:///{tmp_path}/connections.db"; never the machine's own store.
        """
        config = Config.from_env(self.settings | {"ORMCO_STORE": store})
        try:
            config.registration(config.load_provider())
        except SettingError as exc:
            if not exc.message.startswith("not set"):
                raise
            _skip(f"no connector for {self.provider}: {exc.message}")
        return config

    @contextmanager
    def scenarios(self, *names: str) -> Iterator[None]:
        """Apply scenarios in the sandbox until the block ends; skip the test if there is no sandbox.

        Args:
            names: names from `ormco sandbox --list-scenarios`.
        """
        if self.sandbox is None:
            _skip(f"the scenario {', '.join(names)} needs the sandbox")
        self.sandbox.set_scenarios(*names)
        try:
            yield
        finally:
            self.sandbox.set_scenarios()

    def consent_url(self, authorization_url: str, *, username: str | None = None, allow: bool = True) -> str:
        """Give consent, or refuse it, without a browser; skip the test if there is no sandbox.

        It also works in an `async` test:

        ```python
        request = connector.begin("practice-42")
        connector.complete(communicate.consent_url(request.url), practice_id="practice-42")
        ```

        Args:
            authorization_url: the URL from `Connector.begin`, or the application's own redirect to 3Shape.
            username: e-mail address of the account that gives consent; None for the practice.
            allow: whether access is allowed; if not, the URL has `error=access_denied`.

        Returns:
            The redirect URL, raw.

        Raises:
            connector.errors.ProviderErrorPageError: there was no redirect; the message has the reason.
        """
        sandbox: Any = self.sandbox
        if sandbox is None:
            _skip("consent without a browser needs the sandbox")
        decision = "allow" if allow else "cancel"
        try:
            return str(sandbox.consent_url(authorization_url, username=username, decision=decision))
        except ValueError as exc:
            words = str(exc)
        raise ProviderErrorPageError(f"the sandbox did not redirect: {words}")

    def new_case(self, **options: Any) -> str:
        """Send a case from the practice to Ormco's lab; skip the test if there is no sandbox.

        Args:
            options: `practice` and `lab` (e-mail addresses), `patient` (first and last name), `attachments`.

        Returns:
            The case's id.
        """
        sandbox: Any = self.sandbox
        if sandbox is None:
            _skip("a new case needs the sandbox")
        return str(sandbox.new_case(**options))


def client_id_of(config: Config, provider: Provider) -> str | None:
    """Return the configured client id, or the provider's built-in one, or None."""
    return config.client_id or (provider.client.client_id if provider.client else None)


def is_sandbox(env: Mapping[str, str]) -> bool:
    """Return whether the tests use a sandbox of their own, according to the environment."""
    return env.get("ORMCO_PROVIDER", "").strip() in ("", "sandbox")


@contextmanager
def open_communicate(
    env: Mapping[str, str], *, generation: str = "classic", redirect_uris: Sequence[str] = ()
) -> Iterator[Communicate]:
    """Start a sandbox on a free port, unless the environment names another provider.

    Args:
        env: `os.environ`, as for `Config.from_env`.
        generation: the sandbox's generation.
        redirect_uris: the application's own, to register with the sandbox; the first one is used.

    Raises:
        connector.errors.ConfigurationError: the settings are wrong, or the extra `sandbox` is missing.
    """
    if not is_sandbox(env):
        yield _from_environment(env)
        return
    own = env.get("ORMCO_REDIRECT_URI", "").strip()
    uris = list(redirect_uris) or ([own] if own else [])
    try:
        from connector.sandbox import Sandbox

        sandbox = Sandbox(generation, redirect_uris=uris).start()
    except ModuleNotFoundError as exc:
        raise ExtraMissingError(f"the sandbox needs {exc.name}", hint=install("testing")) from None
    with sandbox:
        yield _of_sandbox(sandbox, uris, env)


def _of_sandbox(sandbox: Sandbox, redirect_uris: Sequence[str], env: Mapping[str, str]) -> Communicate:
    found: dict[str, Any] = sandbox.description
    settings = {
        "ORMCO_PROVIDER": found["provider_file"],
        "ORMCO_CLIENT_ID": found["client_id"],
        "ORMCO_CLIENT_SECRET": found["client_secret"],
        "ORMCO_REDIRECT_URI": redirect_uris[0] if redirect_uris else found["redirect_uri"],
        "ORMCO_3SHAPE_USERNAME": found["practice"]["username"],
        "ORMCO_3SHAPE_PASSWORD": found["practice"]["password"],
        "ORMCO_DIGITAL_URL": found["ormcodigital_url"],
        **_for_stores(env),
    }
    same = ("generation", "client_id", "client_secret", "portal_url", "applications_page", "control_url")
    return Communicate(
        settings=settings,
        provider=settings["ORMCO_PROVIDER"],
        redirect_uri=settings["ORMCO_REDIRECT_URI"],
        practice=PracticeAccount(**found["practice"]),
        other_practice=PracticeAccount(**found["other_practice"]),
        ormcodigital_url=found["ormcodigital_url"],
        sandbox=sandbox,
        **{name: found[name] for name in same},
    )


def _from_environment(env: Mapping[str, str]) -> Communicate:
    settings = {name: value for name, value in env.items() if name.startswith("ORMCO_")} | _for_stores(env)
    settings.pop("ORMCO_STORE", None)
    config = Config.from_env(settings)
    provider = config.load_provider()
    password = config.password.reveal()
    return Communicate(
        settings=settings,
        provider=config.provider,
        generation={"dotnetopenauth": "classic", "identityserver": "identity"}.get(provider.code_format),
        client_id=client_id_of(config, provider),
        client_secret=config.client_secret.reveal(),
        redirect_uri=config.redirect_uri,
        practice=PracticeAccount(username=config.username, password=password)
        if config.username and password
        else None,
        portal_url=provider.portal_url,
        applications_page=provider.applications_page,
        ormcodigital_url=config.digital_url,
    )


def _for_stores(env: Mapping[str, str]) -> dict[str, str]:
    """Return a sealing key: without one, each store of a test would use the machine's keyring."""
    own = {name: env[name] for name in ("ORMCO_STORE_KEYS", "ORMCO_STORE_KEYS_FILE") if env.get(name)}
    return own or {"ORMCO_STORE_KEYS": base64.b64encode(os.urandom(32)).decode("ascii")}


def _skip(reason: str) -> NoReturn:
    import pytest

    pytest.skip(reason)
