"""Rotate the sealing keys of a store while other processes use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from connector.errors import SealingKeyError, StoreDamagedError
from connector.store import keys as key_sources
from connector.store.database import Database
from connector.store.owners import hold_lease, this_server
from connector.store.resealing import Resealing
from connector.store.sealing import KeyRing, key_id

if TYPE_CHECKING:
    from connector.store.store import Store

__all__ = ["retire_keys", "rotate_keys"]

_LEASE = "the rotation of keys"
_LEASE_SECONDS = 3600.0
# Seconds; longer than the time between reading the keys and writing with them in any process.
_RETIRED_AFTER = 900.0
# A server that has not used its keys for this many seconds is ignored.
_GONE_AFTER = 86_400.0
_ORDER = (
    "Add the key last in ORMCO_STORE_KEYS on every server and let each use the store; then put it first on "
    "every server; then rotate the keys. Nothing was changed."
)


def rotate_keys(store: Store, *, progress: Callable[[int], object]) -> int:
    """Seal everything with a new key: the first of ORMCO_STORE_KEYS, or a fresh one in the key's source.

    A run that was interrupted is finished by the next.
    """
    store.database.open()
    if store.keys.record().source is None:
        store.keys.ring()
    with hold_lease(store.database, _LEASE, _LEASE_SECONDS):
        source, ring = _new_ring(store)
        store.keys.use(ring)
        work = Resealing(store.database, ring, store.keys.record().store_id, progress)
        work.run()
        _record(store, ring, source, work)
    if work.broken:
        raise StoreDamagedError(
            f"{len(work.broken)} stored values do not open, among them those of {min(work.broken)}; "
            "all others are sealed with the new key",
            hint="Restore them from a backup, or forget those practices and connect them again.",
        )
    if source != key_sources.ENVIRONMENT:
        # Another process may still be writing with the previous key, but not with an older one.
        _keep(store, source, 2)
    store.keys.use(None)  # so that the keys are loaded again, without the removed ones
    return work.done


def retire_keys(store: Store) -> None:
    """Remove the keys that no value is sealed with from the key file or keyring.

    Do nothing until 15 minutes after a rotation, as a process may still be writing with the previous key.
    """
    record = store.keys.record()
    # From the newest event on: MAX(at) would read the whole record.
    sql = "SELECT at FROM ormco_events WHERE kind = 'keys' ORDER BY sequence DESC LIMIT 1"
    rotated_at = (store.database.one(sql, ()) or (None,))[0]
    if abs(store.database.clock.time() - (rotated_at or 0.0)) < _RETIRED_AFTER:
        return
    with hold_lease(store.database, _LEASE, _LEASE_SECONDS):
        ring = store.keys.ring()
        if record.key_id != ring.ids[0]:
            return  # a rotation was interrupted, and has to be finished first
        work = Resealing(store.database, ring, record.store_id)
        work.run()
        if work.broken:
            return
        if record.source == key_sources.ENVIRONMENT:
            key_sources.remove_key_file(record.store_id)
            store.keys.use(None)
        else:
            _keep(store, record.source or "", 1)


def _keep(store: Store, source: str, number: int) -> None:
    """Keep the newest `number` keys."""
    store_id = store.keys.record().store_id
    kept = key_sources.load_keys(source, store_id)
    if len(kept) > number:
        key_sources.save_keys(source, store_id, kept[:number])
        store.keys.use(None)


def _new_ring(store: Store) -> tuple[str, KeyRing]:
    """Return the source, and the ring with the new key first.

    The keys are those of the settings, and those in the key file or keyring entry for this store's id. The
    database chooses none: rows that an attacker has planted would be resealed with a trusted key.
    """
    record = store.keys.record()
    stored = []
    if record.source in (key_sources.FILE, key_sources.KEYRING):
        stored = key_sources.load_keys(record.source, record.store_id)
    if store.keys.given is not None:
        given = key_sources.parse_keys(store.keys.given, origin="ORMCO_STORE_KEYS")
        source, keys = key_sources.ENVIRONMENT, [*given, *stored]
    elif not stored:
        store.keys.use(None)
        return "", store.keys.ring()  # raises: the environment's keys are not set
    else:
        source, keys = record.source or "", stored
    ring = KeyRing(keys)
    if record.key_id not in ring.ids:
        raise SealingKeyError(
            f"the key {record.key_id} that this store is sealed with is missing",
            hint="Put it into ORMCO_STORE_KEYS, after the new key; nothing was changed.",
        )
    record.check(ring)
    if source == record.source == key_sources.ENVIRONMENT and ring.ids[0] != record.key_id:
        _require_holders(store.database, ring.ids[0])
    # Otherwise an earlier run was interrupted: continue with its key.
    if source != key_sources.ENVIRONMENT and key_id(stored[0]) == record.key_id:
        keys = [key_sources.parse_keys(key_sources.new_key(), origin="")[0], *stored]
        key_sources.save_keys(source, record.store_id, keys)
        ring = KeyRing(keys)
    return source, ring


def _record(store: Store, ring: KeyRing, source: str, work: Resealing) -> None:
    detail = {"key_id": ring.ids[0], "source": source, "sealed_anew": str(work.done)}
    event = store.audit.event("keys", "unreadable" if work.broken else "ok", detail=detail)
    record = store.keys.record()
    sealing = record.sealing if work.broken else 2
    update = record.changed(ring, ring.ids[0], source=source, sealing=sealing)
    store.audit.recorded([event], lambda execute: execute(*update).rowcount > 0)


def _require_holders(database: Database, key_id: str) -> None:
    """Make sure that every server has the new key.

    Raises:
        connector.errors.SealingKeyError: if a server possibly lacks it.
    """
    behind = "SELECT 1 FROM ormco_key_holders WHERE key_id = ? AND was_behind = 1"
    if database.one(behind, (key_id,)) is None:
        raise SealingKeyError(
            f"the new key {key_id} was put first before any server had it after the first", hint=_ORDER
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
            hint=f"{_ORDER} A server that was shut down is ignored 24 hours after its last use.",
        )
