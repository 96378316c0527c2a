"""The first steps of the schema, which stores of earlier releases have taken; `schema` has the rest."""

from __future__ import annotations

import os

from connector.store.database import Dialect, Execute

__all__ = ["FIRST_STEPS"]


def m001_first(execute: Execute, dialect: Dialect) -> None:
    """Create the tables.

    `due_at` is when a refresh is due at the latest, or NULL where there is nothing to refresh. `revision`
    is a random mark of the last write, by which a writer sees whether the row is still as it was read.
    """
    for statement in _M001:
        execute(statement.format(**dialect.types), ())
    for statement in dialect.first_steps:
        execute(statement, ())
    execute("INSERT INTO ormco_store (id, store_id) VALUES (1, ?)", (os.urandom(8).hex(),))


_M001 = (
    """CREATE TABLE ormco_store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        store_id TEXT NOT NULL,
        key_source TEXT,
        key_place TEXT,
        key_id TEXT,
        checked_at {real}
    )""",
    """CREATE TABLE ormco_connections (
        practice_id {key} PRIMARY KEY,
        state TEXT NOT NULL,
        generation BIGINT NOT NULL,
        good_until {real},
        refreshed_at {real},
        retry_at {real},
        due_at {real},
        access_token {blob},
        revision BIGINT NOT NULL,
        provider TEXT NOT NULL,
        since {real} NOT NULL,
        reason TEXT,
        account_id TEXT,
        account_email TEXT,
        account_name TEXT,
        account_region TEXT,
        scope TEXT,
        renewable INTEGER NOT NULL,
        expires_at {real},
        connected_at {real},
        lab_state TEXT,
        lab_email TEXT,
        last_error TEXT,
        failures INTEGER NOT NULL,
        refresh_sent_at {real},
        refresh_owner TEXT,
        token_rest {blob},
        unproven {blob}
    )""",
    "CREATE INDEX ormco_connections_due ON ormco_connections (due_at, practice_id) WHERE due_at IS NOT NULL",
    "CREATE INDEX ormco_connections_account ON ormco_connections (provider, account_id)",
    "CREATE INDEX ormco_connections_attention ON ormco_connections (practice_id) "
    "WHERE state NOT IN ('connected', 'revoked')",
    """CREATE TABLE ormco_requests (
        state_digest TEXT PRIMARY KEY,
        practice_id {key} NOT NULL,
        expires_at {real} NOT NULL,
        taken_by BIGINT,
        sealed {blob} NOT NULL
    )""",
    "CREATE INDEX ormco_requests_practice ON ormco_requests (practice_id)",
    "CREATE INDEX ormco_requests_expiry ON ormco_requests (expires_at)",
    """CREATE TABLE ormco_spent_codes (
        digest TEXT PRIMARY KEY,
        spent_at {real} NOT NULL,
        spent_by BIGINT NOT NULL
    )""",
    "CREATE INDEX ormco_spent_codes_age ON ormco_spent_codes (spent_at)",
    """CREATE TABLE ormco_events (
        {event_position},
        nonce BIGINT NOT NULL {unique_nonce},
        at {real} NOT NULL,
        kind TEXT NOT NULL,
        outcome TEXT NOT NULL,
        practice_id {key},
        actor TEXT NOT NULL,
        state TEXT,
        detail TEXT NOT NULL
    )""",
    "CREATE INDEX ormco_events_practice ON ormco_events (practice_id)",
)


def m002_watches(execute: Execute, dialect: Dialect) -> None:
    """Create the cursors of watches on cases."""
    for statement in _M002:
        execute(statement.format(**dialect.types), ())


_M002 = (
    """CREATE TABLE ormco_watches (
        watch {key} NOT NULL,
        practice_id {key} NOT NULL,
        began_at {real} NOT NULL,
        read_from {real} NOT NULL,
        PRIMARY KEY (practice_id, watch)
    )""",
    """CREATE TABLE ormco_watched_cases (
        watch {key} NOT NULL,
        practice_id {key} NOT NULL,
        case_id {key} NOT NULL,
        version BIGINT NOT NULL,
        state TEXT,
        state_flag TEXT,
        designs TEXT NOT NULL,
        standing TEXT NOT NULL,
        PRIMARY KEY (practice_id, watch, case_id)
    )""",
)


def m003_watch_claims(execute: Execute, dialect: Dialect) -> None:
    """Let many processes share a watch, and forget delivered cases by age."""
    for statement in _M003:
        execute(statement.format(now=dialect.now, **dialect.types), ())


_M003 = (
    "ALTER TABLE ormco_watched_cases ADD COLUMN content TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE ormco_watched_cases ADD COLUMN told_at {real}",
    "UPDATE ormco_watched_cases SET told_at = {now}",
    "CREATE INDEX ormco_watched_cases_age ON ormco_watched_cases (watch, told_at)",
    """CREATE TABLE ormco_watch_claims (
        watch {key} NOT NULL,
        practice_id {key} NOT NULL,
        due_at {real} NOT NULL,
        looked_at {real},
        claimed_by TEXT,
        claimed_until {real},
        failures BIGINT NOT NULL,
        problem TEXT,
        PRIMARY KEY (practice_id, watch)
    )""",
    "CREATE INDEX ormco_watch_claims_due ON ormco_watch_claims (watch, due_at)",
)


def m004_confirmation(execute: Execute, dialect: Dialect) -> None:
    """Note which new accounts a person has to confirm, what providers do, and whether the key vouches."""
    for statement in _M004:
        execute(statement.format(**dialect.types), ())


_M004 = (
    "ALTER TABLE ormco_connections ADD COLUMN confirm_by {real}",
    "CREATE INDEX ormco_connections_confirm ON ormco_connections (confirm_by) WHERE confirm_by IS NOT NULL",
    """CREATE TABLE ormco_providers (
        provider {key} PRIMARY KEY,
        returned_state_at {real} NOT NULL
    )""",
    "ALTER TABLE ormco_store ADD COLUMN key_proof TEXT",
)


FIRST_STEPS = (m001_first, m002_watches, m003_watch_claims, m004_confirmation)
