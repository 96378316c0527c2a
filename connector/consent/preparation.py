"""Make an authorization request, after every check that is possible before a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from connector.connection import AccountPolicy, Connection, ConnectionState, require_alive
from connector.consent.confirmation import end_overdue
from connector.errors import SettingError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.provider import Provider
from connector.resources import Resources
from connector.store.held_token import check_practice_id

__all__ = [
    "Progress",
    "begin",
    "check_practice_id",
    "check_provider",
    "open_request",
    "prepare",
    "refuse_while_revoking",
]

Progress = Callable[[str], None]


def begin(
    resources: Resources,
    practice_id: str,
    *,
    binding: str | None = None,
    redirect_uri: str | None = None,
    policy: AccountPolicy | None = None,
    progress: Progress = lambda step: None,
) -> AuthorizationRequest:
    """Make an authorization request, after checking that its response can be used and stored.

    Args:
        resources: settings, provider, token endpoint, store and clock.
        practice_id: the practice that it is for.
        binding: the caller's own session secret; `complete` has to get the same value.
        redirect_uri: a registered redirect URI other than the configured one.
        policy: which account is acceptable.
        progress: called with the name of each step as it is done.

    Raises:
        connector.errors.SettingError: settings are missing.
        connector.errors.RevokedError: the practice's connection is being revoked; finish that first.
        connector.errors.StoreError: the response could not be stored.
        connector.errors.ProviderUnavailableError: the provider does not answer.
    """
    request = prepare(
        resources,
        practice_id,
        binding=binding,
        redirect_uri=redirect_uri,
        policy=policy or AccountPolicy(),
        progress=progress,
    )
    open_request(resources, request)
    return request


def check_provider(connection: Connection | None, provider: Provider) -> None:
    """Refuse to mix two providers in one connection.

    Raises:
        connector.errors.SettingError: if the connection was made at another provider.
    """
    if connection is None or connection.state is ConnectionState.REVOKED:
        return
    if connection.provider != provider.name:
        raise SettingError(
            f"{connection.practice_id} is connected at {connection.provider}, not at {provider.name}",
            hint="Set ORMCO_PROVIDER to the one it was made with. To start again at the other, forget the "
            "connection first.",
            practice_id=connection.practice_id,
        )


def prepare(
    resources: Resources,
    practice_id: str,
    *,
    binding: str | None = None,
    redirect_uri: str | None = None,
    policy: AccountPolicy,
    progress: Progress,
) -> AuthorizationRequest:
    """Make every check that is possible beforehand, and return a request that is not stored yet."""
    check_practice_id(practice_id)
    provider = resources.configured
    resources.config.registration(provider)
    progress("settings")
    resources.store.check()
    connection = resources.store.connection(practice_id)
    check_provider(connection, provider)
    refuse_while_revoking(connection)
    end_overdue(resources, practice_id)
    progress("store")
    resources.check_reachable()
    progress("provider")
    client = resources.client
    request = AuthorizationRequest.new(
        practice_id,
        provider=resources.provider,
        client=client if redirect_uri is None else replace(client, redirect_uri=redirect_uri),
        now=resources.clock.utc_now(),
        binding=binding,
    )
    return replace(
        request, expected_account=policy.expected_account, allow_account_change=policy.allow_account_change
    )


def refuse_while_revoking(connection: Connection | None) -> None:
    """Refuse a new grant during a revocation: it would hide that the old one may still be honoured.

    Raises:
        connector.errors.RevokedError: the connection is being revoked.
    """
    if connection is not None and connection.state is ConnectionState.REVOKING:
        require_alive(connection.practice_id, connection.state, connection.reason)


def open_request(resources: Resources, request: AuthorizationRequest) -> None:
    """Store a request, so that its response can be accepted."""
    store = resources.store
    store.requests.put(request)
    store.audit.append(store.audit.event("begin", "ok", request.practice_id))
