"""The sealing keys of one store: found by what its record says, and vouched for by the key itself."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from connector.errors import SealingKeyError, StoreDamagedError, StoreLockedError
from connector.store import keys as key_sources
from connector.store.database import Database, another_store
from connector.store.key_holders import KeyHolders
from connector.store.leases import hold_lease
from connector.store.process import after_fork
from connector.store.sealing import KeyRing, UnknownKeyError

__all__ = ["KeyRecord", "StoreKeys"]

_T = TypeVar("_T")
_CHOICE_SECONDS = 15.0


class KeyRecord(NamedTuple):
    """What the store says of its key. It is not trusted: the key has to vouch for it, and where the key is
    found is not in it.

    Attributes:
        store_id: the store's own id.
        source: where the key comes from, or None if none was chosen yet.
        key_id: public name of the key that seals.
        proof: the key's own signature of all this, or None in a store of an early release.
        sealing: the earliest form of sealed values that is still in the store.
    """

    store_id: str
    source: str | None
    key_id: str | None
    proof: str | None
    sealing: int

    def check(self, ring: KeyRing) -> None:
        """Refuse a record that the holder of its key did not write.

        Raises:
            connector.errors.SealingKeyError: if the key does not vouch for it.
        """
        if self.proof is None or self.key_id is None:
            return
        words = ring.vouch(
            self.key_id, store_id=self.store_id, source=self.source or "", sealing=self.sealing
        )
        if not hmac.compare_digest(self.proof.encode("utf-8", "surrogatepass"), words.encode()):
            raise SealingKeyError(
                f"the store's record of its key was changed: the key {self.key_id} does not vouch for it",
                hint="Somebody has written to the database by hand. Restore it from a backup; nothing was "
                "changed.",
            )


class StoreKeys:
    """Finds and keeps the keys of one store.

    Args:
        database: where the record of the key is.
        given: the value of ORMCO_STORE_KEYS, or None if it is not set.
    """

    def __init__(self, database: Database, *, given: str | None) -> None:
        self._database = database
        self._holders = KeyHolders(database)
        self.given = given
        self._ring: KeyRing | None = None
        self._store_id: str | None = None
        self.accepts_first: bool = False
        self._start()
        after_fork(self._start)

    def _start(self) -> None:
        # One thread looks for the keys, which may ask a keyring; the others use what it finds.
        self._guard = threading.Lock()

    @property
    def store_id(self) -> str:
        """The store's own id, which all that is sealed in it is bound to."""
        if self._store_id is None:
            self._store_id = self.record().store_id
        return self._store_id

    def ring(self) -> KeyRing:
        """Return the keys; a store without any chooses where they come from.

        Raises:
            connector.errors.SealingKeyError: if they are not available, malformed or not this store's.
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
        """Open a sealed value, as `KeyRing.open` does; see `opened`."""
        try:
            return (self._ring or self.ring()).open(sealed, data, row=row)
        except UnknownKeyError:
            return self.opened(lambda ring: ring.open(sealed, data, row=row))

    def opened(self, read: Callable[[KeyRing], _T]) -> _T:
        """Open sealed values; if the key is unknown, look once whether the keys were rotated meanwhile."""
        try:
            return read(self.ring())
        except UnknownKeyError:
            self.forget()
        try:
            return read(self.ring())
        except UnknownKeyError as exc:
            raise SealingKeyError(exc.message, hint=exc.hint) from None

    def use(self, ring: KeyRing) -> None:
        """Use other keys from now on."""
        self._ring = ring
        self.accepts_first = self.record().sealing < 2

    def has_spare(self) -> bool:
        """Return whether there are keys that nothing needs once all is sealed with the newest one."""
        if self.given is None:
            return len(self.ring().ids) > 1
        record = self.record()
        return record.source == key_sources.ENVIRONMENT and key_sources.has_key_file(record.store_id)

    def forget(self) -> None:
        """Look for the keys again at the next use."""
        self._ring = None

    def record(self) -> KeyRecord:
        """Return what the store says of its key."""
        sql = "SELECT store_id, key_source, key_id, key_proof, sealing FROM ormco_store"
        row = self._database.one(sql, ()) or (None,) * 5
        sealing, kinds = row[4], {*map(type, row[:4])}
        if row[0] is None or kinds - {str, type(None)} or type(sealing) not in (int, type(None)):
            raise StoreDamagedError(
                "the store's record of its key cannot be right", hint="Restore the store from a backup."
            )
        if row[0] != self._database.store_id:
            raise another_store(self._database.store_id, "the database")
        return KeyRecord(
            store_id=row[0],
            source=row[1],
            key_id=row[2],
            proof=row[3],
            sealing=1 if sealing is None else sealing,
        )

    def vouch(self) -> None:
        """Make sure that the newest key is at hand, and vouches for its record.

        A key that was rotated away is not to be written with for long, and the record of an early release
        nobody has vouched for yet.
        """
        record = self.record()
        if record.key_id != self.ring().ids[0]:
            self.forget()
        ring = self.ring()
        if record.proof is not None or record.key_id not in ring.ids or record.source is None:
            return
        proof = ring.vouch(
            record.key_id, store_id=record.store_id, source=record.source, sealing=record.sealing
        )
        self._database.apply(
            [
                (
                    "UPDATE ormco_store SET key_proof = ? WHERE key_proof IS NULL AND key_id = ?",
                    (proof, record.key_id),
                )
            ]
        )

    def _load(self) -> KeyRing:
        record = self.record()
        if record.source is None:
            self._choose(record.store_id)
            record = self.record()
        ring = self._found(record)
        if record.key_id not in ring.ids:
            raise _wrong_key(record, ring, given=self.given is not None)
        record.check(ring)
        if self.given is not None and record.source == key_sources.ENVIRONMENT:
            self._holders.record(ring)
        self._store_id = record.store_id
        self.accepts_first = record.sealing < 2
        return ring

    def _found(self, record: KeyRecord) -> KeyRing:
        if self.given is not None:
            return KeyRing(key_sources.parse_keys(self.given, origin="ORMCO_STORE_KEYS"))
        if record.source == key_sources.ENVIRONMENT:
            raise SealingKeyError(
                f"this store is sealed with the key {record.key_id} from ORMCO_STORE_KEYS, which is not set",
                hint="Set ORMCO_STORE_KEYS, or ORMCO_STORE_KEYS_FILE, to the keys this store was made with.",
            )
        return KeyRing(key_sources.load_keys(record.source or "", record.store_id))

    def _choose(self, store_id: str) -> None:
        """Choose where this store's key is kept from now on; of several first starts, one chooses."""
        deadline = self._database.clock.deadline(_CHOICE_SECONDS + 5.0)
        while True:
            try:
                with hold_lease(self._database, "the choice of a key", _CHOICE_SECONDS):
                    if self.record().source is None:
                        self._record_choice(store_id)
                    return
            except StoreLockedError:
                if not deadline.pause(0.02):
                    raise

    def _record_choice(self, store_id: str) -> None:
        if self.given is not None:
            source = key_sources.ENVIRONMENT
            keys = key_sources.parse_keys(self.given, origin="ORMCO_STORE_KEYS")
        else:
            source = key_sources.make_key(store_id)
            keys = key_sources.load_keys(source, store_id)
        ring, sealing = KeyRing(keys), self.record().sealing
        proof = ring.vouch(ring.ids[0], store_id=store_id, source=source, sealing=sealing)
        self._database.apply(
            [
                (
                    "UPDATE ormco_store SET key_source = ?, key_id = ?, key_proof = ? "
                    "WHERE key_source IS NULL",
                    (source, ring.ids[0], proof),
                )
            ]
        )


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
