"""The schema and how it is brought up to date, for both databases.

Each step and its record are one transaction. A step that an earlier release can live with says so in
`compatible_from`, so that a deploy may run two releases side by side; an earlier release refuses any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from connector.clock import Clock
from connector.errors import StoreUnavailableError
from connector.store.database import Dialect, Execute
from connector.store.grant_step import end_refreshes, m005_grants
from connector.store.leases import end_lease, take_lease
from connector.store.migrations import FIRST_STEPS
from connector.store.process import claim_name

__all__ = ["Step", "is_current", "migrate", "steps"]

Transact = Callable[[Callable[[Execute], None]], None]

_LONGEST_BUILD = 3600.0


class Step(NamedTuple):
    """One change of the schema: either a transaction, or an index.

    Attributes:
        change: makes it, inside a transaction that may take as long as it needs.
        prepare: called before, outside of the transaction; may wait.
        new_index: name and columns of an index to build while others read and write; until it is there, the
            store is used without.
        compatible_from: the earliest schema whose release can go on working after it; None: this one.
    """

    change: Callable[[Execute, Dialect], None] = lambda execute, dialect: None
    prepare: Callable[[Transact, Dialect, Clock], None] | None = None
    new_index: tuple[str, str] | None = None
    compatible_from: int | None = None


def migrate(transact: Transact, execute: Execute, dialect: Dialect, clock: Clock) -> None:
    """Bring the schema up to date.

    Args:
        transact: runs work in a transaction that only one process at a time can be in.
        execute: runs a statement outside of any transaction.
        dialect: how the database says it.
        clock: for waits.
    """
    record = f"version INTEGER PRIMARY KEY, applied_at {dialect.types['real']} NOT NULL"
    transact(lambda run: _run(run, f"CREATE TABLE IF NOT EXISTS ormco_schema ({record})"))
    for number, step in enumerate(steps(), 1):
        if _version(execute) >= number:
            continue
        if step.prepare is not None:
            step.prepare(transact, dialect, clock)
        is_apart = step.new_index is not None and dialect.concurrent_indexes
        if is_apart and not _build_index(execute, dialect, *step.new_index):  # type: ignore[misc]
            return  # another process is at it
        transact(lambda run, number=number, step=step: _take(run, number, step, dialect))  # type: ignore[misc]


def is_current(execute: Execute) -> bool:
    """Return whether a schema is one that this release can work with.

    Raises:
        connector.errors.StoreUnavailableError: if only a newer release can.
    """
    newest, known = _version(execute), len(steps())
    if newest <= known:
        return newest == known
    # Not only the newest step has to be one that this release can live with.
    sql = "SELECT MAX(COALESCE(compatible_from, version)) FROM ormco_schema WHERE version > ?"
    if execute(sql, (known,)).fetchone()[0] <= known:
        return True
    raise StoreUnavailableError(
        f"a newer version wrote the store (its schema is {newest}, this version knows {known})",
        hint="Update ormco-connector on this machine; nothing was changed.",
    )


def _version(execute: Execute) -> int:
    return int(execute("SELECT COALESCE(MAX(version), 0) FROM ormco_schema", ()).fetchone()[0])


def _take(execute: Execute, number: int, step: Step, dialect: Dialect) -> None:
    if _version(execute) >= number:  # another process was faster
        return
    step.change(execute, dialect)
    if step.new_index is not None and not dialect.concurrent_indexes:
        execute("CREATE INDEX IF NOT EXISTS {} ON {}".format(*step.new_index), ())
    columns, marks = "version, applied_at", f"?, {dialect.now}"
    if number > len(FIRST_STEPS):
        columns, marks = f"{columns}, compatible_from", f"{marks}, ?"
        execute(f"INSERT INTO ormco_schema ({columns}) VALUES ({marks})", (number, step.compatible_from))  # noqa: S608
    else:
        execute(f"INSERT INTO ormco_schema ({columns}) VALUES ({marks})", (number,))  # noqa: S608


def _run(execute: Execute, *statements: str) -> None:
    for statement in statements:
        execute(statement, ())


def _build_index(execute: Execute, dialect: Dialect, name: str, columns: str) -> bool:
    """Build an index, unless another process does; return whether it is there."""
    lease, owner = f"the index {name}", claim_name()
    if not take_lease(execute, dialect, lease, owner, _LONGEST_BUILD):
        return False
    # What an interrupted build has left is there by name, and of no use.
    sql = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(?) AND NOT indisvalid"
    if execute(sql, (name,)).fetchone():
        execute(f"DROP INDEX CONCURRENTLY {name}", ())
    execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {columns}", ())
    end_lease(execute, lease, owner)
    return True


def m007_key_holders(execute: Execute, dialect: Dialect) -> None:
    """Note which server has which keys, so that nothing is sealed with one that a server lacks."""
    key, real = dialect.types["key"], dialect.types["real"]
    execute(
        f"CREATE TABLE ormco_key_holders (server {key} NOT NULL, key_id {key} NOT NULL, "
        f"was_behind INTEGER NOT NULL, seen_at {real} NOT NULL, PRIMARY KEY (server, key_id))",
        (),
    )


def m009_months(execute: Execute, dialect: Dialect) -> None:
    """Begin to keep the audit record by months."""
    _run(execute, *dialect.month_steps)


def m010_due(execute: Execute, dialect: Dialect) -> None:
    """Find what is due without reading all rows, where that costs little.

    On PostgreSQL a refresh then touches no index (HOT), which is worth more; its rows are read faster, too.
    """
    if not dialect.concurrent_indexes:
        _run(
            execute,
            "CREATE INDEX IF NOT EXISTS ormco_connections_due ON ormco_connections (due_at, failures)",
        )


def m011_states(execute: Execute, dialect: Dialect) -> None:
    """Count connections without reading all of their rows."""
    _run(execute, *dialect.state_steps)


_STEPS: tuple[Step, ...] = (
    *(Step(change=change) for change in FIRST_STEPS),
    Step(change=m005_grants, prepare=end_refreshes),
    Step(new_index=("ormco_connections_state", "ormco_connections (state, practice_id)"), compatible_from=5),
    Step(change=m007_key_holders, compatible_from=5),
    Step(new_index=("ormco_events_at", "ormco_events (at, sequence)"), compatible_from=5),
    Step(change=m009_months, compatible_from=5),
    Step(change=m010_due, compatible_from=5),
    Step(change=m011_states, compatible_from=5),
)


def steps() -> Sequence[Step]:
    """Return all steps, in order; the schema's version is their number."""
    return _STEPS
