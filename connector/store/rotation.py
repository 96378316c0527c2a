"""Rotate the sealing keys of everything that is stored, while others read and refresh."""

from __future__ import annotations

from collections.abc import Callable

from connector.errors import SealingKeyError, StoreDamagedError
from connector.store import keys as key_sources
from connector.store.audit import AuditLog
from connector.store.database import Database
from connector.store.owners import hold_lease, this_server
from connector.store.resealing import Resealing
from connector.store.sealing import KeyRing, key_id
from connector.store.store_keys import StoreKeys

__all__ = ["KeyRotation"]

_LEASE = "the rotation of keys"
_LEASE_SECONDS = 3600.0
# Longer than any process takes from reading its keys to writing with them.
_RETIRED_AFTER = 900.0
# A server that has not used its keys for this long counts as gone.
_GONE_AFTER = 86_400.0
_ORDER = (
    "Add the key last in ORMCO_STORE_KEYS on every server and let each use the store; then put it first on "
    "every server; then rotate the keys. Nothing was changed."
)


class KeyRotation:
    """Changes the key that seals."""

    def __init__(self, database: Database, keys: StoreKeys, audit: AuditLog) -> None:
        self._database = database
        self._keys = keys
        self._audit = audit

    def rotate(self, *, progress: Callable[[int], object]) -> int:
        """Seal everything with a new key: the first of ORMCO_STORE_KEYS, or a fresh one in the key's source.

        A run that was interrupted is finished by the next.
        """
        self._database.open()
        if self._keys.record().source is None:
            self._keys.ring()
        with hold_lease(self._database, _LEASE, _LEASE_SECONDS):
            source, ring = self._new_ring()
            self._keys.use(ring)
            work = Resealing(self._database, ring, self._keys.record().store_id, progress)
            work.run()
            self._record(ring, source, work)
        if work.broken:
            raise StoreDamagedError(
                f"{len(work.broken)} stored values do not open, among them those of {min(work.broken)}; "
                "all others are sealed with the new key",
                hint="Restore them from a backup, or forget those practices and connect them again.",
            )
        if source != key_sources.ENVIRONMENT:
            # Another process may still be writing with the key before this one, but with none that is older.
            self._keep(source, 2)
        self._keys.use(None)  # also of what it was moved out of
        return work.done

    def retire(self) -> None:
        """Remove the keys that no value is sealed with any more from the file or keyring.

        Not at once after a rotation: a process that had read its keys before may still be about to write.
        """
        record = self._keys.record()
        # From the newest on: an aggregate would read all of the record.
        sql = "SELECT at FROM ormco_events WHERE kind = 'keys' ORDER BY sequence DESC LIMIT 1"
        rotated_at = (self._database.one(sql, ()) or (None,))[0]
        if abs(self._database.clock.time() - (rotated_at or 0.0)) < _RETIRED_AFTER:
            return
        with hold_lease(self._database, _LEASE, _LEASE_SECONDS):
            ring = self._keys.ring()
            if record.key_id != ring.ids[0]:
                return  # a rotation was interrupted, and has to be finished first
            work = Resealing(self._database, ring, record.store_id)
            work.run()
            if work.broken:
                return
            if record.source == key_sources.ENVIRONMENT:
                key_sources.remove_key_file(record.store_id)
                self._keys.use(None)
            else:
                self._keep(record.source or "", 1)

    def _keep(self, source: str, number: int) -> None:
        """Keep so many of the keys, the newest ones."""
        store_id = self._keys.record().store_id
        kept = key_sources.load_keys(source, store_id)
        if len(kept) > number:
            key_sources.save_keys(source, store_id, kept[:number])
            self._keys.use(None)

    def _new_ring(self) -> tuple[str, KeyRing]:
        """Return the source, and the ring with the new key first.

        Its keys are those that were given, and those in the file or keyring entry of this store's id: none
        that the database names, or rows that an attacker has planted would be resealed as if they were ours.
        """
        record = self._keys.record()
        stored = []
        if record.source in (key_sources.FILE, key_sources.KEYRING):
            stored = key_sources.load_keys(record.source, record.store_id)
        if self._keys.given is not None:
            given = key_sources.parse_keys(self._keys.given, origin="ORMCO_STORE_KEYS")
            source, keys = key_sources.ENVIRONMENT, [*given, *stored]
        elif not stored:
            self._keys.use(None)
            return "", self._keys.ring()  # raises: the environment's keys are not set
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
            _require_holders(self._database, ring.ids[0])
        # Otherwise an earlier run was interrupted: go on with its key.
        if source != key_sources.ENVIRONMENT and key_id(stored[0]) == record.key_id:
            keys = [key_sources.parse_keys(key_sources.new_key(), origin="")[0], *stored]
            key_sources.save_keys(source, record.store_id, keys)
            ring = KeyRing(keys)
        return source, ring

    def _record(self, ring: KeyRing, source: str, work: Resealing) -> None:
        detail = {"key_id": ring.ids[0], "source": source, "sealed_anew": str(work.done)}
        event = self._audit.event("keys", "unreadable" if work.broken else "ok", detail=detail)
        record = self._keys.record()
        sealing = record.sealing if work.broken else 2
        update = record.changed(ring, ring.ids[0], source=source, sealing=sealing)
        self._audit.recorded([event], lambda execute: execute(*update).rowcount > 0)


def _require_holders(database: Database, key_id: str) -> None:
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
