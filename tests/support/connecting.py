"""Short ways to settings, grants and connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connector import Config, Connection, ConnectionState, Connector
from connector.errors import NeedsRepairError
from connector.store.store import Store
from tests.support.sandbox import RunningSandbox, SignIn
from tests.support.stores import row_of, store_at

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def settings(sandbox: RunningSandbox, store_url: str, **more: str) -> dict[str, str]:
    """The environment of a program that works with a sandbox."""
    return {
        "ORMCO_PROVIDER": sandbox.provider_file,
        "ORMCO_CLIENT_ID": sandbox.client_id,
        "ORMCO_CLIENT_SECRET": sandbox.client_secret,
        "ORMCO_STORE": store_url,
        "ORMCO_STORE_KEYS": KEY,
        **more,
    }


def opened(env: dict[str, str]) -> Connector:
    """A connector with these settings."""
    return Connector.from_config(Config.from_env(env))


@contextmanager
def stored(env: dict[str, str]) -> Iterator[Store]:
    """The store of these settings, beside the connectors that use it."""
    store = store_at(env["ORMCO_STORE"], keys=env.get("ORMCO_STORE_KEYS"))
    yield store
    store.close()


def refresh_token(env: dict[str, str], practice_id: str = "practice-42") -> str | None:
    """The refresh token that is stored of a connection."""
    with stored(env) as store:
        return store.grants.refresh_token(row_of(store, practice_id))


def connect(
    connector: Connector, sandbox: RunningSandbox, practice_id: str = "practice-42", who: SignIn | None = None
) -> Connection:
    """Connect a practice by its two halves, without a browser."""
    request = connector.begin(practice_id)
    return connector.complete(sandbox.authorize(request.url, who=who), practice_id=practice_id)


def kill_grant(connector: Connector, sandbox: RunningSandbox, practice_id: str = "practice-42") -> None:
    """Have the practice remove the application, and the connection notice it."""
    sandbox.set_scenarios("revoked")
    with pytest.raises(NeedsRepairError):
        connector.refresh(practice_id, force=True)
    sandbox.set_scenarios()
    assert connector.status(practice_id).state is ConnectionState.NEEDS_REPAIR
