"""Find the sealing keys of a store by the store's record of its key, which the key has signed."""

from __future__ import annotations

import hmac
import threading
from contextlib import suppress
from typing import NamedTuple

from connector.errors import SealingKeyError, StoreDamagedError, StoreError, StoreLockedError
from connector.process import after_fork
from connector.store import keys as key_sources
from connector.store.database import Database, Statement, another_store, marks
from connector.store.owners import hold_lease, this_server
from connector.store.sealing import KeyRing, UnknownKeyError

__all__ = ["KeyRecord", "StoreKeys"]

_CHOICE_SECONDS = 15.0
_NOTED_EVERY = 3600.0


class KeyRecord(NamedTuple):
    """The store's record of its key, which is trusted only if the key has signed it.

    Attributes:
        store_id: the store's own id.
        source: the source of the key (its path is not stored), or None if none was chosen yet.
        key_id: the public name of the key that seals.
        proof: the key's signature of this record, or None in a store of an early release.
        sealing: the earliest form of sealed values that is still in the store.
    """

    store_id: str
    source: str | None
    key_id: str | None
    proof: str | None
    sealing: int

    def changed(self, ring: KeyRing, key_id: str, *, source: str, sealing: int) -> Statement:
        """Return the statement that replaces this record, if it has not changed since it was read.

        `key_id` names the key of the ring that seals, and signs the record; `sealing` is the earliest form of
        sealed values that may still be in the store.
        """
        proof = ring.sign(key_id, store_id=self.store_id, source=source, sealing=sealing)
        sql = (
            "UPDATE ormco_store SET key_source = ?, key_id = ?, key_proof = ?, sealing = ? "
            "WHERE COALESCE(key_source, '') = ? AND COALESCE(key_id, '') = ?"
        )
        return sql, (source, key_id, proof, sealing, self.source or "", self.key_id or "")

    def check(self, ring: KeyRing) -> None:
        """Refuse a record that its key has not signed.

        Raises:
            connector.errors.SealingKeyError: if the signature is not the key's.
        """
        if self.proof is None or self.key_id is None:
            return
        words = ring.sign(self.key_id, store_id=self.store_id, source=self.source or "", sealing=self.sealing)
        if not hmac.compare_digest(self.proof.encode("utf-8", "surrogatepass"), words.encode()):
            raise SealingKeyError(
                f"the store's record of its key was changed: the key {self.key_id} has not signed it",
                hint="The database was edited by hand. Restore it from a backup; nothing was changed.",
            )


class StoreKeys:
    """Finds the keys of one store; `given` is the value of ORMCO_STORE_KEYS, if it is set."""

    def __init__(self, database: Database, *, given: str | None) -> None:
        self._database = database
        self.given = given
        self._ring: KeyRing | None = None
        self.start_in_child()
        after_fork(self)

    def start_in_child(self) -> None:
        """Make a new lock, because a thread of the parent may hold the old one."""
        # One thread loads the keys, perhaps from a keyring; the others use its result.
        self._guard = threading.Lock()

    def ring(self) -> KeyRing:
        """Return the keys; for a new store, choose their source.

        Raises:
            connector.errors.SealingKeyError: if the keys are not available, malformed, or of another store.
        """
        ring = self._ring
        if ring is not None:
            return ring
        with self._guard:
            if self._ring is None:
                self._database.open()
                self._ring = self._load()
            return self._ring

    def open(self, sealed: bytes, data: bytes, *, row: str) -> str:
        """Open a sealed value, as `KeyRing.open` does.

        If its key is unknown, load the keys once more, because they may have been rotated.
        """
        try:
            return (self._ring or self.ring()).open(sealed, data, row=row)
        except UnknownKeyError:
            self.use(None)
        try:
            return self.ring().open(sealed, data, row=row)
        except UnknownKeyError as exc:
            raise SealingKeyError(exc.message, hint=exc.hint) from None

    def use(self, ring: KeyRing | None) -> None:
        """Use other keys from now on; None: load them at the next use."""
        self._ring = ring

    def has_spare(self, record: KeyRecord) -> bool:
        """Return whether there are keys that are not needed once everything is sealed with the newest one."""
        if self.given is None:
            return len(self.ring().ids) > 1
        return record.source == key_sources.ENVIRONMENT and key_sources.has_key_file(record.store_id)

    def record(self) -> KeyRecord:
        """Return the store's record of its key."""
        sql = "SELECT store_id, key_source, key_id, key_proof, sealing FROM ormco_store"
        row = self._database.one(sql, ()) or (None,) * 5
        sealing, kinds = row[4], {*map(type, row[:4])}
        if row[0] is None or kinds - {str, type(None)} or type(sealing) not in (int, type(None)):
            raise StoreDamagedError(
                "the store's record of its key is damaged", hint="Restore the store from a backup."
            )
        if row[0] != self._database.store_id:
            raise another_store(self._database.store_id, "the database")
        return KeyRecord._make((*row[:4], 1 if sealing is None else sealing))

    def require_newest(self) -> KeyRecord:
        """Make sure that this process writes with the newest key; return the store's record of it."""
        record = self.record()
        if record.key_id != self.ring().ids[0]:
            self.use(None)
            self.ring()
        return record

    def _load(self) -> KeyRing:
        record = self.record()
        if record.source is None:
            record = self._choose(record.store_id)
        ring = self._found(record)
        if record.key_id not in ring.ids:
            raise _wrong_key(record, ring, given=self.given is not None)
        record.check(ring)
        if self.given is not None and record.source == key_sources.ENVIRONMENT:
            with suppress(StoreError):  # the table may not exist yet
                self._note_keys(ring)
        if record.sealing < 2 or record.proof is None:
            self._end_first_form(record, ring)
        return ring

    def _note_keys(self, ring: KeyRing) -> None:
        """Record the keys of this server: a new key may seal only when every server has it."""
        server, now = this_server(), self._database.dialect.now
        noted = self._database.all(
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
        self._database.apply([(forget, (server, *ring.ids)), *notes])

    def _end_first_form(self, record: KeyRecord, ring: KeyRing) -> None:
        """Seal the values of early releases again, before anything is read.

        Their form is bound to too few facts, so it is accepted only here. Any number of processes may do this
        at the same time: each changes only rows that are unchanged since it has read them.
        """
        from connector.store.resealing import Resealing

        work = Resealing(self._database, ring, record.store_id)
        work.run()
        sealing = record.sealing if work.broken else 2
        change = record.changed(ring, record.key_id or "", source=record.source or "", sealing=sealing)
        self._database.apply([change])

    def _found(self, record: KeyRecord) -> KeyRing:
        if self.given is not None:
            return KeyRing(key_sources.parse_keys(self.given, origin="ORMCO_STORE_KEYS"))
        if record.source == key_sources.ENVIRONMENT:
            raise SealingKeyError(
                f"this store is sealed with the key {record.key_id} from ORMCO_STORE_KEYS, which is not set",
                hint="Set ORMCO_STORE_KEYS, or ORMCO_STORE_KEYS_FILE, to the keys this store was made with.",
            )
        return KeyRing(key_sources.load_keys(record.source or "", record.store_id))

    def _choose(self, store_id: str) -> KeyRecord:
        """Choose the source of this store's key; if several processes start together, one chooses."""
        deadline = self._database.clock.deadline(_CHOICE_SECONDS + 5.0)
        while True:
            try:
                with hold_lease(self._database, "the choice of a key", _CHOICE_SECONDS):
                    record = self.record()
                    if record.source is None:
                        given = self.given is not None
                        source = key_sources.ENVIRONMENT if given else key_sources.make_key(store_id)
                        ring = self._found(record._replace(source=source))
                        choice = record.changed(ring, ring.ids[0], source=source, sealing=record.sealing)
                        self._database.apply([choice])
                    return self.record()
            except StoreLockedError:
                if not deadline.pause(0.02):
                    raise


def _wrong_key(record: KeyRecord, ring: KeyRing, *, given: bool) -> SealingKeyError:
    if given and record.source != key_sources.ENVIRONMENT:
        source = _SOURCES.get(record.source or "", "unknown source")
        return SealingKeyError(
            f"this store is sealed with the key {record.key_id} of the {source}, "
            "which is not in ORMCO_STORE_KEYS",
            hint="Unset ORMCO_STORE_KEYS, or rotate the keys to move this store to its keys; "
            "nothing was changed.",
        )
    return SealingKeyError(
        f"this store is sealed with the key {record.key_id}, not with {', '.join(ring.ids)}",
        hint="Set ORMCO_STORE_KEYS to the keys this store was made with, the older ones after the first; "
        "nothing was changed.",
    )


_SOURCES = {key_sources.KEYRING: "OS keyring", key_sources.FILE: "key file"}
