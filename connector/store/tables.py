"""The tables of a new store, and the steps that upgrade older stores to them."""

from __future__ import annotations

import os

from connector.clock import Clock
from connector.errors import StoreLockedError
from connector.store.database import Execute, Transact
from connector.store.dialects import Dialect
from connector.store.owners import is_gone

__all__ = [
    "EVENTS_INDEX",
    "KEY_HOLDERS",
    "OLDEST",
    "STATE_INDEX",
    "TO_CONFIRMATION",
    "TO_GRANTS",
    "TO_WATCH_CLAIMS",
    "VERSION",
    "end_refreshes",
    "make_tables",
]

VERSION = 10  # of the schema that `make_tables` makes; new stores take the later steps, too


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
# is the latest time for a refresh, or NULL if there is no token to refresh.
_CONNECTIONS = """CREATE TABLE ormco_connections (
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
# A refresh changes no indexed column, except that of an index that only SQLite has.
_CONNECTION_INDEXES = (
    "CREATE UNIQUE INDEX ormco_connections_one_account ON ormco_connections (provider, account_id) "
    "WHERE slot = 'live' AND account_id IS NOT NULL AND account_shared = 0 AND state <> 'revoked'",
    "CREATE INDEX ormco_connections_account ON ormco_connections (provider, account_id) "
    "WHERE account_id IS NOT NULL",
    "CREATE INDEX ormco_connections_confirm ON ormco_connections (confirm_by) WHERE confirm_by IS NOT NULL",
)
_LEASES = "CREATE TABLE ormco_leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until {real} NOT NULL)"
_COUNTER = (
    "CREATE TABLE ormco_event_counter (id INTEGER PRIMARY KEY CHECK (id = 1), last BIGINT NOT NULL, "
    "pruned_before {real})"
)
# The keys of each server, so that no value is sealed with a key that a server does not have.
KEY_HOLDERS = """CREATE TABLE ormco_key_holders (
        server {key} NOT NULL, key_id {key} NOT NULL, was_behind INTEGER NOT NULL,
        seen_at {real} NOT NULL,
        PRIMARY KEY (server, key_id)
    )"""
_PROVIDERS = "CREATE TABLE ormco_providers (provider {key} PRIMARY KEY, returned_state_at {real} NOT NULL)"
_WATCH_CLAIMS = (
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
    _CONNECTIONS,
    *_CONNECTION_INDEXES,
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
    _PROVIDERS,
    """CREATE TABLE ormco_events (
        {event_position}, nonce BIGINT NOT NULL {unique_nonce}, at {real} NOT NULL, kind TEXT NOT NULL,
        outcome TEXT NOT NULL, practice_id {key}, actor TEXT NOT NULL, state TEXT, detail TEXT NOT NULL
    )""",
    "CREATE INDEX ormco_events_practice ON ormco_events (practice_id)",
    "CREATE INDEX {} ON {}".format(*EVENTS_INDEX),
    _COUNTER,
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
    *_WATCH_CLAIMS,
    _LEASES,
    KEY_HOLDERS,
)

OLDEST = 2  # the earliest schema that is upgraded
_BEFORE_GRANTS = 4
# Longer than a token call, with its retry, of the releases before `TO_GRANTS`.
_LONGEST_OLD_CALL = 90.0

# The claims of processes that share a watch, and the age of delivered cases.
TO_WATCH_CLAIMS = (
    "ALTER TABLE ormco_watched_cases ADD COLUMN content TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE ormco_watched_cases ADD COLUMN told_at {real}",
    "UPDATE ormco_watched_cases SET told_at = {now}",
    *_WATCH_CLAIMS,
)


# Accounts that a person has to confirm, whether providers return the state, and the key record's signature.
TO_CONFIRMATION = (
    "ALTER TABLE ormco_connections ADD COLUMN confirm_by {real}",
    _PROVIDERS,
    "ALTER TABLE ormco_store ADD COLUMN key_proof TEXT",
)


def end_refreshes(transact: Transact, dialect: Dialect, clock: Clock) -> None:
    """Stop processes of an earlier release from starting a refresh, and wait for those in progress.

    Such a process could not store its new tokens after the upgrade.
    """
    deadline = clock.deadline(_LONGEST_OLD_CALL + 10.0)
    owners: list[str] = []
    while True:
        transact(lambda run: owners.extend(_stop_refreshes(run, dialect)))
        if all(map(is_gone, owners)):
            return
        owners.clear()
        if not deadline.pause(0.1):
            raise StoreLockedError(
                "processes of an earlier version still refresh while the store is being upgraded",
                hint="End them, then try again.",
            )


def _stop_refreshes(execute: Execute, dialect: Dialect) -> list[str]:
    """Refuse new refreshes; return the owners of those in progress."""
    if execute("SELECT MAX(version) FROM ormco_schema", ()).fetchone()[0] != _BEFORE_GRANTS:
        return []  # another process has taken the step meanwhile
    for statement in _STOP[dialect.concurrent_indexes]:
        execute(statement, ())
    sql = (
        "SELECT refresh_owner FROM ormco_connections WHERE refresh_owner IS NOT NULL "  # noqa: S608
        f"AND refresh_sent_at > {dialect.now} - ?"
    )
    return [row[0] for row in execute(sql, (_LONGEST_OLD_CALL,)).fetchall()]


_WORDS = "the store is being upgraded: update ormco-connector on this machine"
_STOP = {
    False: (
        "CREATE TRIGGER IF NOT EXISTS ormco_upgrade BEFORE UPDATE OF refresh_sent_at ON ormco_connections "
        "WHEN NEW.refresh_sent_at IS NOT NULL AND NEW.refresh_sent_at IS NOT OLD.refresh_sent_at "
        f"BEGIN SELECT RAISE(ABORT, '{_WORDS}'); END",
    ),
    True: (
        "CREATE OR REPLACE FUNCTION ormco_upgrade() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION '{_WORDS}'; END$$",
        "DROP TRIGGER IF EXISTS ormco_upgrade ON ormco_connections",
        "CREATE TRIGGER ormco_upgrade BEFORE UPDATE OF refresh_sent_at ON ormco_connections "
        "FOR EACH ROW WHEN (NEW.refresh_sent_at IS NOT NULL "
        "AND NEW.refresh_sent_at IS DISTINCT FROM OLD.refresh_sent_at) "
        "EXECUTE FUNCTION ormco_upgrade()",
    ),
}


# One row for each grant: the live one of a practice, and a new one whose account is not verified. Sealed
# values stay as they are; a process that has the keys seals them again.
TO_GRANTS = (
    "ALTER TABLE ormco_schema ADD COLUMN compatible_from INTEGER",
    "ALTER TABLE ormco_store ADD COLUMN sealing INTEGER",
    "ALTER TABLE ormco_connections RENAME TO ormco_connections_before",
    *(f"DROP INDEX ormco_connections_{name}" for name in ("due", "account", "attention")),
    "DROP INDEX IF EXISTS ormco_connections_confirm",
    _CONNECTIONS,
    """INSERT INTO ormco_connections (practice_id, slot, version, generation, state, since, expires_at,
        refreshed_at, due_at, retry_at, failures, refresh_by, refresh_since, refresh_until, refresh_sends,
        renewable, provider, account_id, account_email, account_name, account_region, account_shared, reason,
        last_error, scope, connected_at, lab_state, lab_email, access_sealed, refresh_sealed)
    SELECT practice_id, 'live', revision, generation, state, since, expires_at,
        refreshed_at, due_at, CASE WHEN refresh_sent_at IS NULL THEN retry_at END, failures, refresh_owner,
        refresh_sent_at, refresh_sent_at + 90, CASE WHEN refresh_sent_at IS NULL THEN 0 ELSE 1 END,
        renewable, provider, account_id, account_email, account_name, account_region,
        CASE WHEN EXISTS (SELECT 1 FROM ormco_connections_before other WHERE other.provider = one.provider
            AND other.account_id = one.account_id AND other.practice_id <> one.practice_id) THEN 1 ELSE 0 END,
        reason, last_error, scope, connected_at, lab_state, lab_email, access_token, token_rest
    FROM ormco_connections_before one
    WHERE access_token IS NOT NULL OR unproven IS NULL OR connected_at IS NOT NULL""",
    """INSERT INTO ormco_connections (practice_id, slot, version, generation, state, since, retry_at,
        confirm_by, failures, renewable, provider, reason, last_error, policy_sealed)
    SELECT practice_id, 'unverified', revision, 1,
        CASE WHEN access_token IS NULL AND connected_at IS NULL THEN state ELSE 'degraded' END, since,
        retry_at, confirm_by, failures, 1, provider, CASE WHEN confirm_by IS NULL THEN 'account_unread' ELSE
        'account_unconfirmed' END, NULL, unproven
    FROM ormco_connections_before WHERE unproven IS NOT NULL""",
    "DROP TABLE ormco_connections_before",
    *_CONNECTION_INDEXES,
    "UPDATE ormco_store SET sealing = 2 WHERE NOT EXISTS (SELECT 1 FROM ormco_connections) "
    "AND NOT EXISTS (SELECT 1 FROM ormco_requests)",
    _LEASES,
    _COUNTER,
    "INSERT INTO ormco_event_counter (id, last) SELECT 1, COALESCE(MAX(sequence), 0) FROM ormco_events",
)
