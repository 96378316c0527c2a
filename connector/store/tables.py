"""The tables of a store, as a new one gets them; `upgrade` brings those of earlier releases to the same."""

from __future__ import annotations

import os

from connector.store.database import Execute
from connector.store.dialects import Dialect

__all__ = [
    "CONNECTIONS",
    "CONNECTION_INDEXES",
    "COUNTER",
    "EVENTS_INDEX",
    "KEY_HOLDERS",
    "LEASES",
    "PROVIDERS",
    "STATE_INDEX",
    "VERSION",
    "WATCH_CLAIMS",
    "make_tables",
]


VERSION = 10  # of the schema; later steps are taken by new stores, too


def make_tables(execute: Execute, dialect: Dialect) -> None:
    """Make all tables in an empty database."""
    for statement in _TABLES:
        execute(statement.format(**dialect.types), ())
    for statement in dialect.steps["new"]:
        execute(statement, ())
    execute("INSERT INTO ormco_store (id, store_id, sealing) VALUES (1, ?, 2)", (os.urandom(8).hex(),))
    execute("INSERT INTO ormco_event_counter (id, last) VALUES (1, 0)", ())


# `version` is a random mark of the last write; `generation` rises with each token set. `refresh_by` and
# `refresh_until` are the lease, `refresh_sends` says how often the refresh token may have been sent. `due_at`
# is when a refresh is due at the latest, or NULL where there is nothing to refresh.
CONNECTIONS = """CREATE TABLE ormco_connections (
        practice_id {key} NOT NULL, slot TEXT NOT NULL, version BIGINT NOT NULL,
        generation BIGINT NOT NULL, state TEXT NOT NULL, since {real} NOT NULL, expires_at {real},
        refreshed_at {real}, due_at {real}, retry_at {real}, confirm_by {real},
        failures INTEGER NOT NULL DEFAULT 0, refresh_by TEXT, refresh_since {real},
        refresh_until {real}, refresh_sends INTEGER NOT NULL DEFAULT 0,
        refresh_count BIGINT NOT NULL DEFAULT 0, rejected_generation BIGINT, renewable INTEGER NOT NULL,
        with_secret INTEGER, provider TEXT NOT NULL, account_id TEXT, account_email TEXT,
        account_name TEXT, account_region TEXT, account_shared INTEGER NOT NULL DEFAULT 0, reason TEXT,
        last_error TEXT, scope TEXT, connected_at {real}, lab_state TEXT, lab_email TEXT,
        access_sealed {blob}, refresh_sealed {blob}, policy_sealed {blob},
        PRIMARY KEY (practice_id, slot)
    ){row_space}"""
# None of the indexed columns changes at a refresh, but for the one that SQLite has of its own.
CONNECTION_INDEXES = (
    "CREATE UNIQUE INDEX ormco_connections_one_account ON ormco_connections (provider, account_id) "
    "WHERE slot = 'live' AND account_id IS NOT NULL AND account_shared = 0 AND state <> 'revoked'",
    "CREATE INDEX ormco_connections_account ON ormco_connections (provider, account_id) "
    "WHERE account_id IS NOT NULL",
    "CREATE INDEX ormco_connections_confirm ON ormco_connections (confirm_by) WHERE confirm_by IS NOT NULL",
)
LEASES = "CREATE TABLE ormco_leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until {real} NOT NULL)"
COUNTER = (
    "CREATE TABLE ormco_event_counter (id INTEGER PRIMARY KEY CHECK (id = 1), last BIGINT NOT NULL, "
    "pruned_before {real})"
)
# Which server has which keys, so that nothing is sealed with one that a server lacks.
KEY_HOLDERS = """CREATE TABLE ormco_key_holders (
        server {key} NOT NULL, key_id {key} NOT NULL, was_behind INTEGER NOT NULL,
        seen_at {real} NOT NULL,
        PRIMARY KEY (server, key_id)
    )"""
PROVIDERS = "CREATE TABLE ormco_providers (provider {key} PRIMARY KEY, returned_state_at {real} NOT NULL)"
WATCH_CLAIMS = (
    "CREATE INDEX ormco_watched_cases_age ON ormco_watched_cases (watch, told_at)",
    """CREATE TABLE ormco_watch_claims (
        watch {key} NOT NULL, practice_id {key} NOT NULL, due_at {real} NOT NULL, looked_at {real},
        claimed_by TEXT, claimed_until {real}, failures BIGINT NOT NULL, problem TEXT,
        PRIMARY KEY (practice_id, watch)
    )""",
    "CREATE INDEX ormco_watch_claims_due ON ormco_watch_claims (watch, due_at)",
)
STATE_INDEX = "ormco_connections_state", "ormco_connections (state, practice_id)"
EVENTS_INDEX = "ormco_events_at", "ormco_events (at, sequence)"

_TABLES = (
    """CREATE TABLE ormco_store (
        id INTEGER PRIMARY KEY CHECK (id = 1), store_id TEXT NOT NULL, key_source TEXT, key_place TEXT,
        key_id TEXT, checked_at {real}, key_proof TEXT, sealing INTEGER
    )""",
    CONNECTIONS,
    *CONNECTION_INDEXES,
    "CREATE INDEX {} ON {}".format(*STATE_INDEX),
    """CREATE TABLE ormco_requests (
        state_digest TEXT PRIMARY KEY, practice_id {key} NOT NULL, expires_at {real} NOT NULL,
        taken_by BIGINT, sealed {blob} NOT NULL
    )""",
    "CREATE INDEX ormco_requests_practice ON ormco_requests (practice_id)",
    "CREATE INDEX ormco_requests_expiry ON ormco_requests (expires_at)",
    """CREATE TABLE ormco_spent_codes (
        digest TEXT PRIMARY KEY, spent_at {real} NOT NULL, spent_by BIGINT NOT NULL
    )""",
    "CREATE INDEX ormco_spent_codes_age ON ormco_spent_codes (spent_at)",
    PROVIDERS,
    """CREATE TABLE ormco_events (
        {event_position}, nonce BIGINT NOT NULL {unique_nonce}, at {real} NOT NULL, kind TEXT NOT NULL,
        outcome TEXT NOT NULL, practice_id {key}, actor TEXT NOT NULL, state TEXT, detail TEXT NOT NULL
    )""",
    "CREATE INDEX ormco_events_practice ON ormco_events (practice_id)",
    "CREATE INDEX {} ON {}".format(*EVENTS_INDEX),
    COUNTER,
    """CREATE TABLE ormco_watches (
        watch {key} NOT NULL, practice_id {key} NOT NULL, began_at {real} NOT NULL,
        read_from {real} NOT NULL,
        PRIMARY KEY (practice_id, watch)
    )""",
    """CREATE TABLE ormco_watched_cases (
        watch {key} NOT NULL, practice_id {key} NOT NULL, case_id {key} NOT NULL,
        version BIGINT NOT NULL, state TEXT, state_flag TEXT, designs TEXT NOT NULL,
        standing TEXT NOT NULL, content TEXT NOT NULL DEFAULT '', told_at {real},
        PRIMARY KEY (practice_id, watch, case_id)
    )""",
    *WATCH_CLAIMS,
    LEASES,
    KEY_HOLDERS,
)
