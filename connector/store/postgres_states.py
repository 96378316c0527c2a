"""State and due time of each connection on PostgreSQL, apart from its row, to be counted.

A count reads all rows. Those of `ormco_connections` are 1.5 KB each with their sealed tokens, too short for
PostgreSQL to keep the tokens elsewhere, and no index can have what each refresh changes (see
`add_due_index`). The table here is a twentieth of that. Triggers keep it, so that an earlier release keeps it
as well.
"""

from __future__ import annotations

__all__ = ["STATES", "STATE_STEPS"]

STATES = "ormco_states"

# The function has the rights of the store's owner, and its own search path: a program's role needs no rights
# to change the table, and no table of that role's takes its place.
STATE_STEPS = (
    "LOCK TABLE ormco_connections IN SHARE ROW EXCLUSIVE MODE",
    # In this order, because a column is found the faster the fewer of unknown length are before it.
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
