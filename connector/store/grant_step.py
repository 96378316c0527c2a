"""The step of the schema that made one row of each grant: no earlier release can live with it."""

from __future__ import annotations

from collections.abc import Callable

from connector.clock import Clock
from connector.errors import StoreLockedError
from connector.store.database import Dialect, Execute
from connector.store.migrations import FIRST_STEPS
from connector.store.process import is_gone

__all__ = ["end_refreshes", "m005_grants"]

Transact = Callable[[Callable[[Execute], None]], None]

# Longer than a token call of the releases whose refreshes are waited for, with its retry.
_LONGEST_OLD_CALL = 90.0


def end_refreshes(transact: Transact, dialect: Dialect, clock: Clock) -> None:
    """Let no process of an earlier release begin a refresh, and wait for those that are under way.

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
    """Refuse new refreshes; return who is at one."""
    version = execute("SELECT MAX(version) FROM ormco_schema", ()).fetchone()[0]
    if version != len(FIRST_STEPS):  # another process has taken the step meanwhile
        return []
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


def m005_grants(execute: Execute, dialect: Dialect) -> None:
    """Have one row for each grant: the live one of a practice, and a new one whose account is not verified.

    What is sealed stays as it is, because no key is needed here; the store seals it anew when it has its key.
    """
    for statement in _M005:
        execute(statement.format(now=dialect.now, **dialect.types), ())
    for statement in dialect.grant_steps:
        execute(statement, ())


_M005 = (
    "ALTER TABLE ormco_schema ADD COLUMN compatible_from INTEGER",
    "ALTER TABLE ormco_store ADD COLUMN sealing INTEGER",
    "ALTER TABLE ormco_connections RENAME TO ormco_connections_before",
    *(f"DROP INDEX ormco_connections_{name}" for name in ("due", "account", "attention", "confirm")),
    # `version` is a random mark of the last write; `generation` rises with each token set. `refresh_by` and
    # `refresh_until` are the lease, `refresh_sends` says how often the refresh token may have been sent.
    """CREATE TABLE ormco_connections (
        practice_id {key} NOT NULL,
        slot TEXT NOT NULL,
        version BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        state TEXT NOT NULL,
        since {real} NOT NULL,
        expires_at {real},
        refreshed_at {real},
        due_at {real},
        retry_at {real},
        confirm_by {real},
        failures INTEGER NOT NULL DEFAULT 0,
        refresh_by TEXT,
        refresh_since {real},
        refresh_until {real},
        refresh_sends INTEGER NOT NULL DEFAULT 0,
        refresh_count BIGINT NOT NULL DEFAULT 0,
        rejected_generation BIGINT,
        renewable INTEGER NOT NULL,
        with_secret INTEGER,
        provider TEXT NOT NULL,
        account_id TEXT,
        account_email TEXT,
        account_name TEXT,
        account_region TEXT,
        account_shared INTEGER NOT NULL DEFAULT 0,
        reason TEXT,
        last_error TEXT,
        scope TEXT,
        connected_at {real},
        lab_state TEXT,
        lab_email TEXT,
        access_sealed {blob},
        refresh_sealed {blob},
        policy_sealed {blob},
        PRIMARY KEY (practice_id, slot)
    ){row_space}""",
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
    # None of the indexed columns changes at a refresh.
    "CREATE UNIQUE INDEX ormco_connections_one_account ON ormco_connections (provider, account_id) "
    "WHERE slot = 'live' AND account_id IS NOT NULL AND account_shared = 0 AND state <> 'revoked'",
    "CREATE INDEX ormco_connections_account ON ormco_connections (provider, account_id) "
    "WHERE account_id IS NOT NULL",
    "CREATE INDEX ormco_connections_confirm ON ormco_connections (confirm_by) WHERE confirm_by IS NOT NULL",
    "UPDATE ormco_store SET sealing = 2 WHERE NOT EXISTS (SELECT 1 FROM ormco_connections) "
    "AND NOT EXISTS (SELECT 1 FROM ormco_requests)",
    "CREATE TABLE ormco_leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until {real} NOT NULL)",
    "CREATE TABLE ormco_event_counter (id INTEGER PRIMARY KEY CHECK (id = 1), last BIGINT NOT NULL, "
    "pruned_before {real})",
    "INSERT INTO ormco_event_counter (id, last) SELECT 1, COALESCE(MAX(sequence), 0) FROM ormco_events",
)
