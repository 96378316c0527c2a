"""The audit record on PostgreSQL by months: a table for each, which is dropped as a whole once it is pruned.

The months inherit from `ormco_events`, and a trigger there sends each new event to its month. Declared
partitions would need `at` in every unique index, which the ON CONFLICT (nonce) of an earlier release does not
know. They would have to read all of a large record once to be made, and again for each new month. So nothing
is moved: what was there before stays in `ormco_events` itself, which also takes whatever has no month.
"""

from __future__ import annotations

__all__ = ["DROP_MONTH", "MONTH_STEPS"]

# Returns how many events the oldest month had that is pruned as a whole; NULL if none is left to be dropped.
DROP_MONTH = "SELECT ormco_drop_month()"

# The functions have the rights of the store's owner, so that a program whose role may not create or drop
# tables needs no rights on the months either. They do no more than any writer of the record may: make the
# month of an event, and drop what `pruned_before` lets everybody delete.
MONTH_STEPS = (
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
