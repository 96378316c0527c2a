"""Stores and grants for tests, and the parts that a refresh needs, as they are in use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from connector.clock import Clock
from connector.connection import Connection, ConnectionState, Grant
from connector.oauth.provider import ClientRegistration, Provider
from connector.oauth.token_endpoint import TokenEndpoint
from connector.oauth.token_set import TokenSet
from connector.refresh import Refresher
from connector.store import Store, open_store

__all__ = ["KEY", "OTHER_KEY", "endpoint_of", "fresh_url", "grant_for", "refresher_on", "store_at"]

# Made up; 32 bytes each.
KEY = "b3JtY28tdGVzdC1rZXktbnVtYmVyLW9uZS0wMDAwMDE="
OTHER_KEY = "b3JtY28tdGVzdC1rZXktbnVtYmVyLXR3by0wMDAwMDI="


def store_at(url: str, *, keys: str | None = KEY, clock: Clock | None = None) -> Store:
    """Return a store with a known key."""
    return open_store(url, keys=keys, clock=clock or Clock(), actor="tests")


def fresh_url(kind: str, folder: Path) -> str:
    """Return the URL of an empty store.

    Args:
        kind: "sqlite" or "postgresql".
        folder: where a SQLite file may be made.
    """
    if kind == "sqlite":
        return f"sqlite:///{folder}/stores/store.db"
    from tests.support.postgres import shared_server  # imports pytest, which other processes do without

    return shared_server().create_database()


def grant_for(
    practice_id: str, *, now: datetime | None = None, lifetime: float = 3600.0, age: float = 0.0
) -> Grant:
    """Return a connected grant whose tokens the token server knows, unrefreshed so far.

    Args:
        practice_id: whose.
        now: the present moment.
        lifetime: seconds an access token lives.
        age: seconds ago that it was received.
    """
    received = (now or Clock().utc_now()) - timedelta(seconds=age)
    tokens = TokenSet(
        access_token=f"at-{practice_id}-0",
        refresh_token=f"rt-{practice_id}-0",
        received_at=received,
        expires_at=received + timedelta(seconds=lifetime),
    )
    connection = Connection(
        practice_id=practice_id,
        provider="test",
        state=ConnectionState.CONNECTED,
        since=received,
        renewable=True,
        expires_at=tokens.expires_at,
        connected_at=received,
        refreshed_at=received,
        token_generation=1,
    )
    return Grant(connection=connection, tokens=tokens)


def endpoint_of(url: str, *, clock: Clock | None = None) -> Callable[[str], TokenEndpoint]:
    """Return what gives a refresher its token endpoint: one, made when it is first needed."""
    made: list[TokenEndpoint] = []

    def endpoint(name: str) -> TokenEndpoint:
        if not made:
            provider = Provider(
                name=name, authorization_endpoint=f"{url}/authorize", token_endpoint=f"{url}/token"
            )
            client = ClientRegistration(
                client_id="test", client_secret="made-up", redirect_uri="https://ormco.com/"
            )
            made.append(TokenEndpoint(provider, client, clock=clock or Clock()))
        return made[0]

    return endpoint


def refresher_on(store: Store, url: str, *, ahead: bool = False) -> Refresher:
    """Return a refresher that talks to a token server."""
    return Refresher(store, endpoint_of(url, clock=store.clock), store.clock, ahead=ahead)
