"""The steps that bring the tables of earlier releases to today's form, the oldest of them schema 2."""

from __future__ import annotations

from connector.clock import Clock
from connector.errors import StoreLockedError
from connector.store import tables
from connector.store.database import Execute, Transact
from connector.store.dialects import Dialect
from connector.store.process import is_gone

__all__ = ["CONFIRMATION", "GRANTS", "OLDEST", "WATCH_CLAIMS", "end_refreshes"]

OLDEST = 2
_BEFORE_GRANTS = 4
# Longer than a token call of the releases whose refreshes are waited for, with its retry.
_LONGEST_OLD_CALL = 90.0


# Claims by which processes share a watch, and the age of delivered cases.
WATCH_CLAIMS = (
    "ALTER TABLE ormco_watched_cases ADD COLUMN content TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE ormco_watched_cases ADD COLUMN told_at {real}",
    "UPDATE ormco_watched_cases SET told_at = {now}",
    *tables.WATCH_CLAIMS,
)


# Accounts that a person has to confirm, what providers return, and the signature of the key's record.
CONFIRMATION = (
    "ALTER TABLE ormco_connections ADD COLUMN confirm_by {real}",
    tables.PROVIDERS,
    "ALTER TABLE ormco_store ADD COLUMN key_proof TEXT",
)


def end_refreshes(transact: Transact, dialect: Dialect, clock: Clock) -> None:
    """Stop processes of an earlier release from starting a refresh, and wait for those in progress.

    Such a process would have nowhere to store its new tokens once the table is another one.
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
                "processes of an earlier version go on refreshing while the store is being upgraded",
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
# values stay as they are, because no key is needed here; a process that has the keys reseals them.
GRANTS = (
    "ALTER TABLE ormco_schema ADD COLUMN compatible_from INTEGER",
    "ALTER TABLE ormco_store ADD COLUMN sealing INTEGER",
    "ALTER TABLE ormco_connections RENAME TO ormco_connections_before",
    *(f"DROP INDEX ormco_connections_{name}" for name in ("due", "account", "attention")),
    "DROP INDEX IF EXISTS ormco_connections_confirm",
    tables.CONNECTIONS,
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
    *tables.CONNECTION_INDEXES,
    "UPDATE ormco_store SET sealing = 2 WHERE NOT EXISTS (SELECT 1 FROM ormco_connections) "
    "AND NOT EXISTS (SELECT 1 FROM ormco_requests)",
    tables.LEASES,
    tables.COUNTER,
    "INSERT INTO ormco_event_counter (id, last) SELECT 1, COALESCE(MAX(sequence), 0) FROM ormco_events",
)
