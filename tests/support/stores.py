"""Stores and connections for tests, and the parts that a refresh needs, as they are in use."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connector.clock import Clock
from connector.connection import Account, AccountPolicy, Event
from connector.oauth.provider import ClientRegistration, Provider
from connector.oauth.token_endpoint import TokenEndpoint
from connector.oauth.token_set import TokenSet
from connector.refresh import AccessTokens
from connector.refresh.rotate import Rotator
from connector.store import open_database, open_store
from connector.store.columns import account_columns
from connector.store.row import UNVERIFIED, Row
from connector.store.store import Store

# Made-up keys of 32 bytes.
KEY = "b3JtY28tdGVzdC1rZXktbnVtYmVyLW9uZS0wMDAwMDE="
OTHER_KEY = "b3JtY28tdGVzdC1rZXktbnVtYmVyLXR3by0wMDAwMDI="
DATABASES = ("sqlite", "postgresql")
KINDS = (*DATABASES, "pgbouncer")

_OPENED: list[Store] = []


def store_at(url: str, *, keys: str | None = KEY, clock: Clock | None = None, **options: Any) -> Store:
    """Return a store with a known key; it is closed when the test ends."""
    store = open_store(url, keys=keys, clock=clock or Clock(), actor="tests", **options)
    _OPENED.append(store)
    return store


def close_stores() -> None:
    """Close all stores of the test that ends; they may be closed already."""
    while _OPENED:
        _OPENED.pop().close()


def empty_url(kind: str, folder: Path) -> str:
    """Return the URL of a store of which nothing is there, not even its schema."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/stores/store.db"
    from tests.support.postgres import shared_server  # it imports pytest, which other processes do not need

    return _pooled(kind, shared_server().create_database())


def fresh_url(kind: str, folder: Path) -> str:
    """Return the URL of a store that has its schema and nothing in it; a copy is quicker than a new one."""
    if kind == "sqlite":
        (folder / "stores").mkdir(mode=0o700, parents=True)
        return copy_schema(folder / "stores" / "store.db")
    from tests.support.postgres import shared_server

    return _pooled(kind, shared_server().create_database(template=_postgres_schema()))


def copy_schema(path: Path) -> str:
    """Make a SQLite file that has its schema and nothing in it; return its URL."""
    reserve = path.with_name(f"{path.name}-reserve")
    for file in (path, reserve):
        file.touch(mode=0o600)
    path.write_bytes(_sqlite_schema())
    os.truncate(reserve, 1 << 20)  # filling it would take longer than most tests
    return f"sqlite:///{path}"


@cache
def _sqlite_schema() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        _make_schema(f"sqlite:///{path}")
        return path.read_bytes()


@cache
def _postgres_schema() -> str:
    """Return the name of a database that has its schema, and nobody connected to it."""
    from tests.support.postgres import shared_server

    url = shared_server().create_database()
    _make_schema(url)
    return url.partition("@/")[2].partition("?")[0]


def _make_schema(url: str) -> None:
    database = open_database(url, clock=Clock())
    database.open()
    database.close()


def _pooled(kind: str, url: str) -> str:
    from tests.support.pgbouncer import shared_pooler

    if kind != "pgbouncer":
        return url
    return shared_pooler(url.partition("?")[2].removeprefix("host=")).url(url)


def token_set(
    name: str, *, clock: Clock | None = None, age: float = 0.0, lifetime: float = 3600.0, number: int = 0
) -> TokenSet:
    """Return tokens that the token server knows, after so many refreshes."""
    received = (clock or Clock()).utc_now() - timedelta(seconds=age)
    return TokenSet(
        access_token=f"at-{name}-{number}",
        refresh_token=f"rt-{name}-{number}",
        received_at=received,
        expires_at=received + timedelta(seconds=lifetime),
    )


def put_unverified(
    store: Store,
    practice_id: str,
    *,
    tokens: TokenSet | None = None,
    policy: AccountPolicy | None = None,
    **columns: object,
) -> Row:
    """Store a new grant whose account is not known yet."""
    fresh = tokens or token_set(practice_id, clock=store.clock)
    return store.grants.put_unverified(practice_id, "test", fresh, policy or AccountPolicy(), columns)


def put(
    store: Store,
    practice_id: str,
    *,
    age: float = 0.0,
    lifetime: float = 3600.0,
    tokens: TokenSet | None = None,
    account: Account | None = None,
    events: tuple[Event, ...] = (),
    **columns: object,
) -> Row:
    """Store a connected practice; further columns are those of its row."""
    fresh = tokens or token_set(practice_id, clock=store.clock, age=age, lifetime=lifetime)
    new = put_unverified(store, practice_id, tokens=fresh)
    live = store.grants.row(practice_id)
    row = store.grants.promote(new, live, {**account_columns(account), "account_shared": 0}, events)
    assert row is not None
    if columns:
        assert store.grants.change(row, columns) is not None
        row = row_of(store, practice_id)
    return row


def row_of(store: Store, practice_id: str) -> Row:
    """Return the row of a connected practice."""
    row = store.grants.row(practice_id)
    assert row is not None
    return row


def value_of(store: Store, practice_id: str, *, slot: str = "live") -> tuple[str | None, str | None]:
    """Return a practice's access token and refresh token."""
    row = store.grants.row(practice_id, UNVERIFIED if slot == UNVERIFIED else "live")
    assert row is not None
    return store.grants.access_token(row), store.grants.refresh_token(row)


def endpoint_of(url: str, *, clock: Clock | None = None) -> Callable[[str], TokenEndpoint]:
    """Return a function that gives a refresh its token endpoint: one, made when it is first needed."""

    @cache
    def endpoint(name: str) -> TokenEndpoint:
        provider = Provider(
            name=name, authorization_endpoint=f"{url}/authorize", token_endpoint=f"{url}/token"
        )
        client = ClientRegistration(
            client_id="test", client_secret="made-up", redirect_uri="https://ormco.com/"
        )
        return TokenEndpoint(provider, client, clock=clock or Clock())

    return endpoint


def tokens_on(
    store: Store,
    url: str,
    *,
    proactive: bool = False,
    verify: Callable[[str], object] | None = None,
    reuse_seconds: float = 0.0,
) -> AccessTokens:
    """Return access tokens that are refreshed at a token server."""
    endpoint = endpoint_of(url, clock=store.clock)
    rotator = Rotator(store, endpoint, store.clock, reuse_seconds=lambda: reuse_seconds)
    return AccessTokens(store, rotator, store.clock, proactive=proactive, verify=verify)
