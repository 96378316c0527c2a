"""The sealing keys of each server: a new key is used only when every server can open its values."""

from __future__ import annotations

from contextlib import suppress

from connector.errors import SealingKeyError, StoreError
from connector.store.database import Database, marks
from connector.store.owners import this_server
from connector.store.sealing import KeyRing

__all__ = ["note_keys", "require_holders"]

# A server that has not used its keys for this long counts as gone.
_GONE_AFTER = 86_400.0
_NOTED_EVERY = 3600.0
_ORDER = (
    "Add the key last in ORMCO_STORE_KEYS on every server and let each use the store; then put it first on "
    "every server; then rotate the keys. Nothing was changed."
)


def note_keys(database: Database, ring: KeyRing) -> None:
    """Record the keys that this server has; ignore a store that cannot be written to."""
    with suppress(StoreError):  # another process may be in the middle of an upgrade that makes the table
        _note(database, ring)


def _note(database: Database, ring: KeyRing) -> None:
    server, now = this_server(), database.dialect.now
    noted = database.all(
        f"SELECT key_id FROM ormco_key_holders WHERE server = ? AND seen_at > {now} - ? ORDER BY key_id",  # noqa: S608
        (server, _NOTED_EVERY),
    )
    if [row[0] for row in noted] == sorted(ring.ids):
        return
    forget = f"DELETE FROM ormco_key_holders WHERE server = ? AND key_id NOT IN ({marks(ring.ids)})"  # noqa: S608
    note = (
        f"INSERT INTO ormco_key_holders (server, key_id, was_behind, seen_at) VALUES (?, ?, ?, {now}) "  # noqa: S608
        "ON CONFLICT (server, key_id) DO UPDATE SET seen_at = excluded.seen_at, was_behind = "
        "CASE WHEN excluded.was_behind = 1 THEN 1 ELSE ormco_key_holders.was_behind END"
    )
    notes = [(note, (server, name, int(place > 0))) for place, name in enumerate(ring.ids)]
    database.apply([(forget, (server, *ring.ids)), *notes])


def require_holders(database: Database, key_id: str) -> None:
    """Make sure that every server can open what a key seals.

    Raises:
        connector.errors.SealingKeyError: if one may not.
    """
    behind = "SELECT 1 FROM ormco_key_holders WHERE key_id = ? AND was_behind = 1"
    if database.one(behind, (key_id,)) is None:
        raise SealingKeyError(
            f"the new key {key_id} was put first before any server had it behind the first", hint=_ORDER
        )
    lacking = database.all(
        f"SELECT server FROM ormco_key_holders WHERE seen_at > {database.dialect.now} - ? AND server <> ? "  # noqa: S608
        "GROUP BY server HAVING MAX(CASE WHEN key_id = ? THEN 1 ELSE 0 END) = 0 ORDER BY server",
        (_GONE_AFTER, this_server(), key_id),
    )
    if lacking:
        names = ", ".join(str(row[0]) for row in lacking)
        raise SealingKeyError(
            f"the new key {key_id} is not known to {names}",
            hint=f"{_ORDER} A server that is gone is left out 24 hours after its last use.",
        )
