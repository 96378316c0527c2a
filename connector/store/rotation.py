"""New sealing keys for everything that is stored, while others read and refresh."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from connector.connection import Event
from connector.errors import SealingKeyError, StoreDamagedError, StoreError
from connector.store import keys as key_sources
from connector.store.audit import AuditLog, Guard
from connector.store.database import Database, Statement
from connector.store.grants import GrantRecords
from connector.store.held_token import sealed_data
from connector.store.key_holders import KeyHolders
from connector.store.leases import hold_lease
from connector.store.requests import REQUESTS_TABLE, request_data
from connector.store.row import COLUMNS, SEALED_COLUMNS, TABLE, Row, checked_row
from connector.store.sealing import (
    KeyRing,
    first_associated_data,
    is_first_version,
    is_sealed_by,
    key_id,
)
from connector.store.store_keys import KeyRecord, StoreKeys

__all__ = ["KeyRotation"]

_LEASE = "the rotation of keys"
_LEASE_SECONDS = 3600.0
_PAGE = 200
# Longer than any process takes from reading its keys to writing with them.
_RETIRED_AFTER = 900.0


class KeyRotation:
    """Seals anew whatever does not have the newest form and key.

    Args:
        database: where the values are.
        keys: the keys of the store.
        grants: reads rows, and brings them into today's form.
        audit: told that it was done.
    """

    def __init__(self, database: Database, keys: StoreKeys, grants: GrantRecords, audit: AuditLog) -> None:
        self._database = database
        self._keys = keys
        self._grants = grants
        self._audit = audit
        self._broken: set[str] = set()

    def rotate(self, *, progress: Callable[[int], object]) -> int:
        """Seal everything with a new key: the first of ORMCO_STORE_KEYS, or a fresh one in the key's source.

        A run that was interrupted is finished by the next.
        """
        if self._keys.record().source is None:
            self._keys.ring()
        with hold_lease(self._database, _LEASE, _LEASE_SECONDS):
            source, ring = self._new_ring()
            self._keys.use(ring)
            done = self._seal_all(ring, progress)
            self._record(ring, source, done)
        self._refuse_broken()
        if source != key_sources.ENVIRONMENT:
            # Another process may still be writing with the key before this one, but with none that is older.
            self._keep(source, 2)
        self._keys.forget()  # also of what it was moved out of
        return done

    def retire(self) -> None:
        """Take the keys that nothing is sealed with any more out of the file or keyring.

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
            self._seal_all(ring, lambda done: None)
            if self._broken:
                return
            if record.source == key_sources.ENVIRONMENT:
                key_sources.remove_key_file(record.store_id)
                self._keys.forget()
            else:
                self._keep(record.source or "", 1)

    def _keep(self, source: str, number: int) -> None:
        """Keep so many of the keys, the newest ones."""
        store_id = self._keys.record().store_id
        kept = key_sources.load_keys(source, store_id)
        if len(kept) > number:
            key_sources.save_keys(source, store_id, kept[:number])
            self._keys.forget()

    def end_first_form(self) -> None:
        """Seal anew what early releases have sealed, and record that nothing of it is left."""
        ring, record = self._keys.ring(), self._keys.record()
        with hold_lease(self._database, _LEASE, _LEASE_SECONDS):
            self._seal_all(ring, lambda done: None)
            if self._broken or record.key_id is None:
                return
            proof = ring.vouch(record.key_id, store_id=record.store_id, source=record.source or "", sealing=2)
            self._database.apply(
                [
                    (
                        "UPDATE ormco_store SET sealing = 2, key_proof = ? "
                        "WHERE key_id = ? AND key_source = ?",
                        (proof, record.key_id, record.source),
                    )
                ]
            )
        self._keys.forget()

    def _new_ring(self) -> tuple[str, KeyRing]:
        """Return the source, and the ring with the new key first.

        Its keys are those that were given, and those in the file or keyring entry of this store's id: none
        that the database names, or rows that somebody has planted would be sealed anew as if they were ours.
        """
        record = self._keys.record()
        stored = []
        if record.source in (key_sources.FILE, key_sources.KEYRING):
            stored = key_sources.load_keys(record.source, record.store_id)
        if self._keys.given is not None:
            given = key_sources.parse_keys(self._keys.given, origin="ORMCO_STORE_KEYS")
            source, keys = key_sources.ENVIRONMENT, [*given, *stored]
        elif not stored:
            self._keys.forget()
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
            KeyHolders(self._database).require(ring.ids[0])
        # Otherwise an earlier run was interrupted: go on with its key.
        if source != key_sources.ENVIRONMENT and key_id(stored[0]) == record.key_id:
            keys = [key_sources.parse_keys(key_sources.new_key(), origin="")[0], *stored]
            key_sources.save_keys(source, record.store_id, keys)
            ring = KeyRing(keys)
        return source, ring

    def _seal_all(self, ring: KeyRing, progress: Callable[[int], object]) -> int:
        """Go through everything until nothing is left to do; others may write with the old key meanwhile."""
        done = 0
        store_id = self._keys.record().store_id
        while changed := self._seal_once(ring, store_id, lambda more, before=done: progress(before + more)):  # type: ignore[misc]
            done += changed
        return done

    def _seal_once(self, ring: KeyRing, store_id: str, progress: Callable[[int], object]) -> int:
        done = 0
        for changes in self._changes(ring, store_id):
            done += sum(self._database.apply(changes))
            progress(done)
        return done

    def _changes(self, ring: KeyRing, store_id: str) -> Iterator[list[Statement]]:
        """Yield the statements that put new values where the old ones still are, some rows at a time."""
        columns = ", ".join(COLUMNS)
        select = f"SELECT {columns}, {self._database.dialect.now} FROM {TABLE}"  # noqa: S608
        last: tuple[str, str] = ("", "")
        page = f"{select} WHERE (practice_id, slot) > (?, ?) ORDER BY practice_id, slot LIMIT ?"
        while found := self._database.all(page, (*last, _PAGE)):
            rows = [Row._make(values) for values in found]
            last = (rows[-1].practice_id, rows[-1].slot)
            if changes := [each for row in rows for each in self._row_changes(row, ring, store_id)]:
                yield changes
        rest = self._database.all("SELECT state_digest, sealed FROM ormco_requests ORDER BY state_digest", ())
        for digest, sealed in rest:
            if more := self._request_changes(digest, sealed, ring, store_id):
                yield list(more)

    def _row_changes(self, row: Row, ring: KeyRing, store_id: str) -> list[Statement]:
        try:
            row = self._grants.in_newest_form(checked_row(row))
            return [
                (
                    f"UPDATE {TABLE} SET {column} = ? WHERE practice_id = ? AND slot = ? AND {column} = ?",  # noqa: S608
                    (new, row.practice_id, row.slot, old),
                )
                for column in SEALED_COLUMNS
                if (old := getattr(row, column)) is not None and not is_sealed_by(old, ring)
                for new in [_sealed_anew(ring, old, sealed_data(store_id, row, column), row.practice_id)]
            ]
        except StoreError:
            self._broken.add(row.practice_id)
            return []

    def _request_changes(self, digest: str, old: bytes, ring: KeyRing, store_id: str) -> Sequence[Statement]:
        if is_sealed_by(old, ring):
            return []
        data = request_data(store_id, digest)
        before = first_associated_data(REQUESTS_TABLE, "sealed", digest) if is_first_version(old) else data
        try:
            new = ring.seal(ring.open(old, before, row="a request"), data)
        except StoreError:
            self._broken.add("a request")
            return []
        sql = "UPDATE ormco_requests SET sealed = ? WHERE state_digest = ? AND sealed = ?"
        return [(sql, (new, digest, old))]

    def _record(self, ring: KeyRing, source: str, done: int) -> None:
        event = Event(
            at=self._database.clock.utc_now(),
            kind="keys",
            outcome="unreadable" if self._broken else "ok",
            detail={"key_id": ring.ids[0], "source": source, "sealed_anew": str(done)},
        )
        record: KeyRecord = self._keys.record()
        sealing = record.sealing if self._broken else 2
        proof = ring.vouch(ring.ids[0], store_id=record.store_id, source=source, sealing=sealing)
        named = self._audit.named([event])
        update = "UPDATE ormco_store SET key_source = ?, key_id = ?, key_proof = ?, sealing = ?"
        self._database.apply(
            [(update, (source, ring.ids[0], proof, sealing)), *self._audit.statements(named, Guard())]
        )
        self._audit.tell(named)

    def _refuse_broken(self) -> None:
        if self._broken:
            raise StoreDamagedError(
                f"{len(self._broken)} stored values do not open, among them those of {min(self._broken)}; "
                "all others are sealed with the new key",
                hint="Restore them from a backup, or forget those practices and connect them again.",
            )


def _sealed_anew(ring: KeyRing, old: bytes, data: bytes, practice_id: str) -> bytes:
    return ring.seal(ring.open(old, data, row=practice_id), data)
