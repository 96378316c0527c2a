"""The differences between the SQL of SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["POSTGRES", "SQLITE", "Dialect"]


class Dialect(NamedTuple):
    """The SQL and the properties that differ between the two databases.

    Attributes:
        types: the SQL that replaces the schema's placeholders, by name.
        now: the database's time in seconds since 1970; the same within one statement.
        for_update: suffix by which a SELECT locks its rows until the transaction ends.
        skip_locked: suffix that does the same but skips the rows that another transaction has locked.
        in_index_order: statements that make a transaction read rows in the order of an index.
        steps: this database's additional statements for a step of the schema, by the step's name.
        drop_month: query that drops the oldest pruned month, and returns the number of its events, or None.
        states: the table from which connections are counted; it has at least state, due_at and failures.
        concurrent_indexes: whether an index can be built while others write.
    """

    types: Mapping[str, str]
    now: str
    for_update: str
    skip_locked: str
    in_index_order: Sequence[str]
    steps: Mapping[str, Sequence[str]]
    drop_month: str
    states: str
    concurrent_indexes: bool


_ABORT = "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END"
_EVENT_STEPS = (
    "CREATE TRIGGER ormco_events_stay BEFORE DELETE ON ormco_events "  # noqa: S608
    f"WHEN OLD.at >= COALESCE((SELECT pruned_before FROM ormco_event_counter), 0) {_ABORT}",
    "CREATE UNIQUE INDEX ormco_events_nonce ON ormco_events (nonce)",
    # A process of an earlier release may still add events, which SQLite numbers by itself.
    "CREATE TRIGGER ormco_events_numbered AFTER INSERT ON ormco_events "
    "WHEN NEW.sequence > (SELECT last FROM ormco_event_counter) "
    "BEGIN UPDATE ormco_event_counter SET last = NEW.sequence; END",
)
_DUE_INDEX = "CREATE INDEX IF NOT EXISTS ormco_connections_due ON ormco_connections (due_at, failures)"
SQLITE = Dialect(
    types={
        "key": "TEXT",
        "blob": "BLOB",
        "real": "REAL",
        "unique_nonce": "",
        "event_position": "sequence INTEGER PRIMARY KEY AUTOINCREMENT",
        "row_space": "",
    },
    now="ormco_now()",
    for_update="",
    skip_locked="",
    in_index_order=(),
    steps={
        "new": (
            "CREATE TRIGGER ormco_events_unchanged BEFORE UPDATE OF sequence, nonce, at, kind, outcome, "
            f"practice_id, actor, state ON ormco_events {_ABORT}",
            *(*_EVENT_STEPS, _DUE_INDEX),
        ),
        "grants": ("DROP TRIGGER ormco_events_stay", *_EVENT_STEPS),
        "due": (_DUE_INDEX,),
    },
    drop_month="SELECT NULL",  # the events of all months are in one table
    states="ormco_connections",  # its indexes make counting fast
    concurrent_indexes=False,
)

# PostgreSQL keeps the audit record in one table for each month, which is dropped as a whole when it is
# pruned. These tables inherit from `ormco_events`, and a trigger there inserts each new event into its
# month's table. Declared partitions would need `at` in every unique index, which contradicts the ON CONFLICT
# (nonce) of an earlier release. Creating them would read all of a large record. The functions run with
# the rights of the store's owner, for roles that may not create tables.
_MONTHS = (
    """CREATE FUNCTION ormco_make_month(name TEXT, first FLOAT8, next FLOAT8) RETURNS VOID
    LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE
        month TEXT := format('%I.%I', (SELECT nspname FROM pg_namespace n JOIN pg_class c
            ON c.relnamespace = n.oid WHERE c.oid = 'ormco_events'::regclass), name);
    BEGIN
        EXECUTE format('CREATE TABLE %s (LIKE ormco_events INCLUDING INDEXES, CHECK (at >= %s AND at < %s)) '
            'INHERITS (ormco_events)', month, first, next);
        EXECUTE format('CREATE TRIGGER ormco_events_stay BEFORE DELETE ON %s '
            'FOR EACH ROW EXECUTE FUNCTION ormco_not_pruned()', month);
        EXECUTE format('CREATE TRIGGER ormco_events_unchanged '
            'BEFORE UPDATE OF id, sequence, nonce, at, kind, outcome, practice_id, actor, state '
            'ON %s FOR EACH ROW EXECUTE FUNCTION ormco_append_only()', month);
    END$$""",
    """CREATE FUNCTION ormco_by_month() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE
        first TIMESTAMP := date_trunc('month', to_timestamp(NEW.at) AT TIME ZONE 'UTC');
        next TIMESTAMP := first + INTERVAL '1 month';
        name TEXT := 'ormco_events_' || to_char(first, 'YYYY_MM');
        month TEXT := format('%I.%I', TG_TABLE_SCHEMA, name);
    BEGIN
        IF first < '2020-01-01' OR first > statement_timestamp() AT TIME ZONE 'UTC'
            OR EXISTS (SELECT FROM ONLY ormco_events WHERE nonce = NEW.nonce) THEN
            RETURN NEW;
        END IF;
        IF to_regclass(month) IS NULL THEN
            BEGIN
                PERFORM ormco_make_month(
                    name, extract(epoch FROM first)::float8, extract(epoch FROM next)::float8);
            EXCEPTION WHEN OTHERS THEN  -- whatever it is, the event is not lost for it
                RETURN NEW;
            END;
        END IF;
        EXECUTE format('INSERT INTO %s SELECT ($1).* ON CONFLICT (nonce) DO NOTHING', month) USING NEW;
        RETURN NULL;
    END$$""",
    """CREATE FUNCTION ormco_drop_month() RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE
        month RECORD;
        events BIGINT;
    BEGIN
        PERFORM set_config('lock_timeout', '3s', true);
        FOR month IN
            SELECT c.oid::regclass AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'ormco_events'::regclass AND c.relname ~ '^ormco_events_[0-9]{4}_[0-9]{2}$'
            AND extract(epoch FROM to_date(right(c.relname, 7), 'YYYY_MM') + INTERVAL '1 month')::float8
                <= (SELECT pruned_before FROM ormco_event_counter)
            ORDER BY c.relname LIMIT 1
        LOOP
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', month.name);
            EXECUTE format('SELECT COUNT(*) FROM %s', month.name) INTO events;
            EXECUTE format('DROP TABLE %s', month.name);
            RETURN events;
        END LOOP;
        RETURN NULL;
    EXCEPTION WHEN insufficient_privilege OR lock_not_available OR undefined_table THEN
        RETURN NULL;
    END$$""",
    """DO $$
    DECLARE
        store TEXT := (SELECT nspname FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
            WHERE c.oid = 'ormco_events'::regclass);
        name TEXT;
    BEGIN
        FOREACH name IN ARRAY ARRAY['ormco_make_month(TEXT, FLOAT8, FLOAT8)', 'ormco_by_month()',
            'ormco_drop_month()', 'ormco_not_pruned()']
        LOOP
            EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, store);
        END LOOP;
        REVOKE ALL ON FUNCTION ormco_make_month(TEXT, FLOAT8, FLOAT8) FROM PUBLIC;
    END$$""",
    "CREATE TRIGGER ormco_events_by_month BEFORE INSERT ON ormco_events "
    "FOR EACH ROW EXECUTE FUNCTION ormco_by_month()",
)
# A small copy of each connection's state and due time, from which connections are counted. A count reads all
# rows, and those of `ormco_connections` have 1.5 KB each. An index on these columns would slow down each
# refresh. Triggers update the copy, so that it is correct beside an earlier release too. The function runs
# with the rights of the store's owner. Columns of fixed length come first, because they are found faster.
_STATES = (
    "LOCK TABLE ormco_connections IN SHARE ROW EXCLUSIVE MODE",
    """CREATE TABLE ormco_states (due_at DOUBLE PRECISION, failures INTEGER NOT NULL, state TEXT NOT NULL,
    slot TEXT NOT NULL, practice_id TEXT COLLATE "C" NOT NULL, PRIMARY KEY (practice_id, slot))
    WITH (fillfactor = 50)""",
    """INSERT INTO ormco_states
    SELECT due_at, failures, state, slot, practice_id FROM ormco_connections ORDER BY practice_id""",
    """CREATE FUNCTION ormco_note_state() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN
        IF TG_OP <> 'INSERT' THEN
            IF TG_OP = 'DELETE' OR (OLD.practice_id, OLD.slot) <> (NEW.practice_id, NEW.slot) THEN
                DELETE FROM ormco_states WHERE practice_id = OLD.practice_id AND slot = OLD.slot;
            END IF;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO ormco_states VALUES (NEW.due_at, NEW.failures, NEW.state, NEW.slot, NEW.practice_id)
            ON CONFLICT (practice_id, slot) DO UPDATE
            SET state = EXCLUDED.state, due_at = EXCLUDED.due_at, failures = EXCLUDED.failures;
        END IF;
        RETURN NULL;
    END$$""",
    "CREATE TRIGGER ormco_connections_states AFTER INSERT OR DELETE ON ormco_connections "
    "FOR EACH ROW EXECUTE FUNCTION ormco_note_state()",
    "CREATE TRIGGER ormco_connections_state_changes AFTER UPDATE ON ormco_connections FOR EACH ROW "
    "WHEN ((OLD.practice_id, OLD.slot, OLD.state, OLD.due_at, OLD.failures) IS DISTINCT FROM "
    "(NEW.practice_id, NEW.slot, NEW.state, NEW.due_at, NEW.failures)) EXECUTE FUNCTION ormco_note_state()",
    # Roles that may read the connections may count them.
    """DO $$
    DECLARE
        here REGCLASS := 'ormco_connections';
        reader RECORD;
    BEGIN
        EXECUTE format('ALTER FUNCTION ormco_note_state() SET search_path = %s, pg_temp',
            (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = here));
        FOR reader IN SELECT DISTINCT grantee FROM pg_class, aclexplode(relacl)
            WHERE pg_class.oid = here AND privilege_type = 'SELECT' LOOP
            EXECUTE format('GRANT SELECT ON ormco_states TO %s',
                CASE WHEN reader.grantee = 0 THEN 'PUBLIC' ELSE reader.grantee::regrole::text END);
        END LOOP;
    END$$""",
)
_RAISE = "RAISE EXCEPTION 'the audit record is append-only'; END"
_STAY = (
    "ALTER TABLE ormco_events ALTER COLUMN sequence SET NOT NULL",
    "ALTER TABLE ormco_event_counter SET (fillfactor = 10)",
    "CREATE FUNCTION ormco_not_pruned() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "  # noqa: S608
    f"IF OLD.at < (SELECT pruned_before FROM ormco_event_counter) THEN RETURN OLD; END IF; {_RAISE}$$",
    "CREATE TRIGGER ormco_events_stay BEFORE DELETE ON ormco_events "
    "FOR EACH ROW EXECUTE FUNCTION ormco_not_pruned()",
)
POSTGRES = Dialect(
    types={
        "key": 'TEXT COLLATE "C"',
        "blob": "BYTEA",
        "real": "DOUBLE PRECISION",
        "unique_nonce": "UNIQUE",
        "event_position": "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sequence BIGINT UNIQUE",
        # Room in each page for the next version of its rows: a refresh then touches no index (HOT).
        "row_space": " WITH (fillfactor = 60)",
    },
    now="date_part('epoch', statement_timestamp())",
    for_update=" FOR UPDATE",
    skip_locked=" FOR UPDATE SKIP LOCKED",
    in_index_order=("SET LOCAL enable_sort = off",),
    steps={
        "new": (
            f"CREATE FUNCTION ormco_append_only() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {_RAISE}$$",
            "CREATE TRIGGER ormco_events_unchanged BEFORE UPDATE OF id, nonce, at, kind, outcome, "
            "practice_id, actor, state ON ormco_events FOR EACH ROW EXECUTE FUNCTION ormco_append_only()",
            "CREATE TRIGGER ormco_events_in_order BEFORE UPDATE OF sequence ON ormco_events "
            "FOR EACH ROW WHEN (OLD.sequence IS NOT NULL) EXECUTE FUNCTION ormco_append_only()",
            *(*_STAY, *_MONTHS),
        ),
        "grants": (
            "UPDATE ormco_events SET sequence = placed.sequence FROM "
            "(SELECT id, row_number() OVER (ORDER BY id) + (SELECT last FROM ormco_event_counter) "
            "AS sequence FROM ormco_events WHERE sequence IS NULL) "
            "AS placed WHERE ormco_events.id = placed.id",
            "UPDATE ormco_event_counter SET last = "
            "COALESCE((SELECT MAX(sequence) FROM ormco_events), ormco_event_counter.last)",
            "DROP INDEX ormco_events_unsettled",
            "DROP FUNCTION ormco_upgrade()",
            "ALTER INDEX IF EXISTS ormco_connections_pkey1 RENAME TO ormco_connections_pkey",
            "DROP TRIGGER ormco_events_stay ON ormco_events",
            *_STAY,
        ),
        "months": _MONTHS,
        "states": _STATES,
    },
    drop_month="SELECT ormco_drop_month()",
    states="ormco_states",
    concurrent_indexes=True,
)
