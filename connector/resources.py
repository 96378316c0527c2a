"""Settings, provider, token endpoint, store and clock of one connector; each is made on first use."""

from __future__ import annotations

import getpass
import platform
import threading
from typing import TYPE_CHECKING

from connector.clock import Clock
from connector.config import Config
from connector.connection import Connection, ConnectionState
from connector.errors import SettingError, StoreUnavailableError
from connector.oauth.provider import ClientRegistration, Provider
from connector.observers import Call, Observers
from connector.process import after_fork

if TYPE_CHECKING:
    from connector.oauth.token_endpoint import TokenEndpoint
    from connector.refresh.rotate import Rotator
    from connector.store.store import Store

__all__ = ["Resources"]

_REACHABLE_FOR = 60.0


class Resources:
    """The settings, provider, token endpoint, store and clock of one connector; thread-safe."""

    def __init__(self, config: Config, *, clock: Clock | None = None, actor: str | None = None) -> None:
        self.config = config
        self.clock: Clock = clock or Clock()
        self._actor = actor or config.actor
        self.calls: Observers[Call] = Observers("an observer of calls")
        self._lock = threading.RLock()
        # Held only briefly; the other lock is also held while the provider is discovered.
        self._store_lock = threading.RLock()
        self._store: Store | None = None
        self._configured: Provider | None = None
        self._provider: Provider | None = None
        self._endpoint: TokenEndpoint | None = None
        self._rotator: Rotator | None = None
        self._is_closed = False
        self._reached_at = float("-inf")
        after_fork(self)

    @property
    def store(self) -> Store:
        """The store; nothing is opened before its first call.

        Raises:
            connector.errors.StoreUnavailableError: the connector was closed.
        """
        with self._store_lock:
            if self._is_closed:
                raise StoreUnavailableError("this connector was closed", hint="Create a new one.")
            if self._store is None:
                from connector.store import open_store

                self._store = open_store(
                    self.config.store_url,
                    keys=self.config.store_keys.reveal(),
                    clock=self.clock,
                    actor=self._actor or _this_user(),
                    record_refreshes=self.config.record_refreshes,
                )
            return self._store

    def connection(self, practice_id: str) -> Connection:
        """Return a practice's connection; its tokens can be used only at its own provider.

        Raises:
            connector.errors.ConnectionNotFoundError: there is none.
            connector.errors.SettingError: it was made at a provider other than that of the settings.
        """
        connection, present = self.store.existing(practice_id), self.configured.name
        if connection.provider != present:
            raise SettingError(
                f"{practice_id} is connected at {connection.provider}, not at {present}",
                hint=f"Use the provider {connection.provider}.",
            )
        return connection

    def check_provider(self, connection: Connection | None) -> None:
        """Refuse to mix two providers in one connection.

        Raises:
            connector.errors.SettingError: if the connection was made at another provider.
        """
        if connection is None or connection.state is ConnectionState.REVOKED:
            return
        if connection.provider != (present := self.configured.name):
            raise SettingError(
                f"{connection.practice_id} is connected at {connection.provider}, not at {present}",
                hint="Set ORMCO_PROVIDER to the one it was made with. To start again at the other, forget "
                "the connection first.",
                practice_id=connection.practice_id,
            )

    @property
    def configured(self) -> Provider:
        """The provider from the settings, read once; its addresses may not be discovered yet.

        Raises:
            connector.errors.SettingError: if its settings are wrong.
        """
        if self._configured is None:
            self._configured = self.config.load_provider()
        return self._configured

    @property
    def provider(self) -> Provider:
        """The provider, after discovery if necessary.

        Raises:
            connector.errors.ProviderUnavailableError: if it has to be discovered and cannot be.
            connector.errors.SettingError: if its settings are wrong.
        """
        with self._lock:
            if self._provider is None:
                provider = self.configured
                if provider.issuer is not None:
                    from connector.oauth.discovery import discover

                    provider = discover(provider)
                    self._reached_at = self.clock.monotonic()
                self._provider = provider
            return self._provider

    @property
    def client(self) -> ClientRegistration:
        """Ormco's registration at the provider."""
        return self.config.registration(self.provider)

    @property
    def endpoint(self) -> TokenEndpoint:
        """The token endpoint, with one pool of network connections per process."""
        with self._lock:
            if self._endpoint is None:
                from connector.oauth.token_endpoint import TokenEndpoint

                self._endpoint = TokenEndpoint(self.provider, self.client, clock=self.clock)
            return self._endpoint

    def endpoint_of(self, provider_name: str) -> TokenEndpoint:
        """Return the token endpoint of the provider at which a connection was made.

        Raises:
            connector.errors.SettingError: if the settings name another provider.
        """
        present = self.configured.name
        if present != provider_name:
            raise SettingError(
                f"this connection was made at {provider_name}, but the settings name {present}",
                hint="Set ORMCO_PROVIDER to the provider it was made at.",
            )
        return self.endpoint

    @property
    def rotator(self) -> Rotator:
        """The one sender of refresh tokens; it is shared, because it may hold new tokens not stored yet."""
        with self._store_lock:
            if self._rotator is None:
                from connector.refresh.rotate import Rotator

                self._rotator = Rotator(
                    self.store,
                    self.endpoint_of,
                    self.clock,
                    reuse_seconds=lambda: self.configured.refresh_reuse_seconds,
                )
            return self._rotator

    def check_reachable(self) -> None:
        """Check that the provider responds, at most once a minute.

        Raises:
            connector.errors.ProviderUnavailableError: if it does not.
        """
        from connector.oauth.discovery import probe

        provider = self.provider
        with self._lock:
            if self.clock.monotonic() - self._reached_at < _REACHABLE_FOR:
                return
            probe(provider.authorization_endpoint or "")
            self._reached_at = self.clock.monotonic()

    def close(self) -> None:
        """Close the store and the network connections; they cannot be used any more."""
        with self._lock, self._store_lock:
            self._is_closed = True
            if self._endpoint is not None:
                self._endpoint.close()
            if self._store is not None:
                self._store.close()

    def start_in_child(self) -> None:
        """Share none of the parent's TLS connections, and wait for no lock of one of its threads."""
        self._lock, self._store_lock = threading.RLock(), threading.RLock()
        self._endpoint = None


def _this_user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{platform.node()}"
