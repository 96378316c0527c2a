"""What SQLite says differently in the schema."""

from __future__ import annotations

from connector.store.database import Dialect

__all__ = ["DIALECT"]

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END"
DIALECT = Dialect(
    types={
        "key": "TEXT",
        "blob": "BLOB",
        "real": "REAL",
        "unique_nonce": "",  # no commit's outcome is ever unknown here
        # Never given twice; with one writer at a time, their order is that of the commits.
        "event_position": "sequence INTEGER PRIMARY KEY AUTOINCREMENT",
    },
    for_update="",
    skip_locked="",  # there is one writer at a time
    now="((julianday('now') - 2440587.5) * 86400.0)",
    changes_two_tables_at_once=False,
    last_steps=(
        f"CREATE TRIGGER ormco_events_stay BEFORE DELETE ON ormco_events {_REFUSE}",
        "CREATE TRIGGER ormco_events_unchanged BEFORE UPDATE OF sequence, nonce, at, kind, outcome, "
        f"practice_id, actor, state ON ormco_events {_REFUSE}",
    ),
)
