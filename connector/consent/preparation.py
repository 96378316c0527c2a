"""Create an authorization request, after every check that is possible before a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from connector.connection import AccountPolicy, refuse_while_revoking
from connector.consent.confirmation import end_overdue
from connector.oauth.authorization_request import AuthorizationRequest
from connector.resources import Resources
from connector.store.held_token import check_practice_id

__all__ = ["Progress", "begin", "open_request", "prepare"]

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
    """Make an authorization request, after checking that its response can be used; see `Connector.begin`."""
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
    resources.check_provider(connection)
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


def open_request(resources: Resources, request: AuthorizationRequest) -> None:
    """Store a request, so that its response can be accepted."""
    store = resources.store
    store.requests.put(request)
    store.audit.append(store.audit.event("begin", "ok", request.practice_id))
