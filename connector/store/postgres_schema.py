"""What PostgreSQL says differently in the schema, and the settings of each session."""

from __future__ import annotations

from connector.store.database import Dialect

__all__ = ["DIALECT", "SESSION"]

# The durability of a commit must not depend on how somebody set the server; every wait has an end; and a
# session whose client has gone away gives its locks back soon.
SESSION = (
    b"SET synchronous_commit TO on; SET default_transaction_isolation TO 'read committed'; "
    b"SET statement_timeout TO '30s'; SET lock_timeout TO '10s'; "
    b"SET idle_in_transaction_session_timeout TO '60s'; "
    b"SET tcp_keepalives_idle TO 15; SET tcp_keepalives_interval TO 5; SET tcp_keepalives_count TO 3"
)

DIALECT = Dialect(
    types={
        "key": 'TEXT COLLATE "C"',
        "blob": "BYTEA",
        "real": "DOUBLE PRECISION",
        "unique_nonce": "UNIQUE",
        # Numbers from a sequence can commit out of order, so the place in the record is given afterwards.
        "event_position": "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sequence BIGINT UNIQUE",
    },
    for_update=" FOR UPDATE",
    skip_locked=" FOR UPDATE SKIP LOCKED",
    # Not clock_timestamp(): what may change within a statement can use no index.
    now="CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)",
    changes_two_tables_at_once=True,
    last_steps=(
        "CREATE INDEX ormco_events_unsettled ON ormco_events (id) WHERE sequence IS NULL",
        "CREATE FUNCTION ormco_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'the audit record is append-only'; END$$",
        "CREATE TRIGGER ormco_events_stay BEFORE DELETE ON ormco_events "
        "FOR EACH ROW EXECUTE FUNCTION ormco_append_only()",
        "CREATE TRIGGER ormco_events_unchanged BEFORE UPDATE OF id, nonce, at, kind, outcome, practice_id, "
        "actor, state ON ormco_events FOR EACH ROW EXECUTE FUNCTION ormco_append_only()",
        "CREATE TRIGGER ormco_events_in_order BEFORE UPDATE OF sequence ON ormco_events "
        "FOR EACH ROW WHEN (OLD.sequence IS NOT NULL) EXECUTE FUNCTION ormco_append_only()",
    ),
)
