"""Create the schema of a store, or upgrade it, for both databases.

A new store gets `tables`; an older one takes the steps that are missing. Each step and its record are one
transaction. `compatible_from` names the earliest schema whose release still works after a step, so that two
releases can run side by side during a deployment; an older release refuses the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from connector.clock import Clock
from connector.errors import StoreUnavailableError
from connector.store import tables
from connector.store.database import Execute, Transact
from connector.store.dialects import Dialect
from connector.store.owners import claim_name, end_lease, take_lease

__all__ = ["Step", "is_current", "migrate", "newest_version"]

_LONGEST_BUILD = 3600.0
_INSERT = "INSERT INTO ormco_schema (version, applied_at, compatible_from) VALUES (?, {now}, ?)"


class Step(NamedTuple):
    """One change of the schema: either a transaction, or an index.

    Attributes:
        name: the name of the dialect's statements that follow `statements`.
        statements: the statements of the change, for one transaction without a time limit.
        prepare: called before the transaction; may wait.
        new_index: name and columns of an index to build while others read and write; the store is used
            without it until then.
        compatible_from: the earliest schema whose release still works after this step; None: this one.
    """

    name: str = ""
    statements: Sequence[str] = ()
    prepare: Callable[[Transact, Dialect, Clock], None] | None = None
    new_index: tuple[str, str] | None = None
    compatible_from: int | None = None


def migrate(transact: Transact, execute: Execute, dialect: Dialect, clock: Clock) -> None:
    """Bring the schema up to date.

    `transact` runs work in a transaction, for one process at a time; `execute` runs a statement outside of
    any transaction.
    """
    transact(lambda run: _make(run, dialect))
    if (version := _version(execute)) < (oldest := tables.OLDEST):
        raise StoreUnavailableError(
            f"the store is too old (its schema is {version}, this version upgrades {oldest} and later)",
            hint="Open it once with an earlier release of ormco-connector; nothing was changed.",
        )
    for number, step in enumerate(_STEPS, tables.OLDEST + 1):
        if _version(execute) >= number:
            continue
        if step.prepare is not None:
            step.prepare(transact, dialect, clock)
        is_apart = step.new_index is not None and dialect.concurrent_indexes
        if is_apart and not _build_index(execute, dialect, *step.new_index):  # type: ignore[misc]
            return  # another process is building it
        transact(lambda run, number=number, step=step: _take(run, number, step, dialect))  # type: ignore[misc]


def is_current(execute: Execute) -> bool:
    """Return whether this release can use the schema as it is; False if it has to be upgraded.

    Raises:
        connector.errors.StoreUnavailableError: if only a newer release can use it.
    """
    newest, known = _version(execute), newest_version()
    if newest <= known:
        return newest == known
    # This release must be compatible with every newer step, not only with the last.
    sql = "SELECT MAX(COALESCE(compatible_from, version)) FROM ormco_schema WHERE version > ?"
    if execute(sql, (known,)).fetchone()[0] <= known:
        return True
    raise StoreUnavailableError(
        f"a newer version wrote the store (its schema is {newest}, this version knows {known})",
        hint="Update ormco-connector on this machine; nothing was changed.",
    )


def _version(execute: Execute) -> int:
    return int(execute("SELECT COALESCE(MAX(version), 0) FROM ormco_schema", ()).fetchone()[0])


def _make(execute: Execute, dialect: Dialect) -> None:
    record = "version INTEGER PRIMARY KEY, applied_at {real} NOT NULL, compatible_from INTEGER"
    execute(f"CREATE TABLE IF NOT EXISTS ormco_schema ({record.format(**dialect.types)})", ())
    if not _version(execute):
        tables.make_tables(execute, dialect)
        execute(_INSERT.format(now=dialect.now), (tables.VERSION, _COMPATIBLE_FROM))


def _take(execute: Execute, number: int, step: Step, dialect: Dialect) -> None:
    if _version(execute) >= number:  # another process was faster
        return
    for statement in step.statements:
        execute(statement.format(now=dialect.now, **dialect.types), ())
    for statement in dialect.steps.get(step.name, ()):
        execute(statement, ())
    if step.new_index is not None and not dialect.concurrent_indexes:
        execute("CREATE INDEX IF NOT EXISTS {} ON {}".format(*step.new_index), ())
    if number < _COMPATIBLE_FROM:  # the column does not exist yet
        sql = f"INSERT INTO ormco_schema (version, applied_at) VALUES (?, {dialect.now})"  # noqa: S608
        execute(sql, (number,))
        return
    execute(_INSERT.format(now=dialect.now), (number, step.compatible_from))


def _build_index(execute: Execute, dialect: Dialect, name: str, columns: str) -> bool:
    """Build an index, unless another process is building it; return whether it exists."""
    lease, owner = f"the index {name}", claim_name()
    if not take_lease(execute, dialect, lease, owner, _LONGEST_BUILD):
        return False
    # An interrupted build leaves an invalid index.
    sql = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(?) AND NOT indisvalid"
    if execute(sql, (name,)).fetchone():
        execute(f"DROP INDEX CONCURRENTLY {name}", ())
    execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {columns}", ())
    end_lease(execute, lease, owner)
    return True


_COMPATIBLE_FROM = 5  # the earliest schema whose release can work with that of `tables`
# The first step leads from `OLDEST` to the next version; a new store begins at `tables.VERSION`.
_STEPS: tuple[Step, ...] = (
    Step(statements=tables.TO_WATCH_CLAIMS),
    Step(statements=tables.TO_CONFIRMATION),
    Step("grants", tables.TO_GRANTS, prepare=tables.end_refreshes),
    Step(new_index=tables.STATE_INDEX, compatible_from=5),
    Step(statements=(tables.KEY_HOLDERS,), compatible_from=5),
    Step(new_index=tables.EVENTS_INDEX, compatible_from=5),
    Step("months", compatible_from=5),
    Step("due", compatible_from=5),
    Step("states", compatible_from=5),
)


def newest_version() -> int:
    """Return the version of the schema after the last step."""
    return tables.OLDEST + len(_STEPS)
