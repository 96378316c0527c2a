"""A database and the keys to it: opened on first use, usable from threads and after a fork."""

from __future__ import annotations

import hmac
import os
import random
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from connector.clock import Clock
from connector.errors import SealingKeyError
from connector.store import keys as key_sources
from connector.store.database import Database, Execute, Statement
from connector.store.sealing import KeyRing, UnknownKeyError

__all__ = ["Vault", "check_proof", "new_mark"]

_T = TypeVar("_T")
_KEY_SECONDS = 15.0
_VAULTS: weakref.WeakSet[Vault] = weakref.WeakSet()


class Vault:
    """What the store's records have in common.

    Args:
        database: where the rows are.
        keys: the value of ORMCO_STORE_KEYS, or None where it is not set.
        clock: the time.
        actor: who acts, for the audit record.
    """

    def __init__(self, database: Database, *, keys: str | None, clock: Clock, actor: str = "") -> None:
        self._db = database
        self._given_keys = keys
        self.clock = clock
        self._actor = actor
        self._ring: KeyRing | None = None
        self._ring_guard = threading.Lock()
        self._ready = False
        _VAULTS.add(self)

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        self._db.close()
        self._ready = False

    def _one(self, sql: str, args: Sequence[object]) -> Any:
        if not self._ready and not self._open_existing():
            return None
        return self._db.fetch_one(sql, args)

    def _all(self, sql: str, args: Sequence[object]) -> list[Any]:
        if not self._ready and not self._open_existing():
            return []
        return self._db.fetch_all(sql, args)

    def _write(self, work: Callable[[Execute], _T]) -> _T:
        self._db.open()
        return self._db.write(work)

    def _apply(self, statements: Sequence[Statement]) -> list[int]:
        self._db.open()
        return self._db.apply(statements)

    def _open_existing(self) -> bool:
        """Open the database; asking for something creates nothing."""
        if self._db.exists():
            self._db.open()
            self._ready = True
        return self._ready

    def _opened(self, read: Callable[[KeyRing], _T]) -> _T:
        """Open sealed values; where the key is unknown, look once whether the keys were rotated meanwhile."""
        ring = self._ring or self._keys()
        try:
            return read(ring)
        except UnknownKeyError:
            self._ring = None
            return read(self._keys())

    def _keys(self) -> KeyRing:
        with self._ring_guard:
            if self._ring is None:
                self._db.open()
                self._ring = self._load_keys()
            return self._ring

    def _key_record(self) -> tuple[str, str | None, str | None, str | None]:
        """Return the store's own id, and the source, id and proof of its key.

        None of it is trusted: the key has to vouch for it, and where the key is found is not in it.
        """
        row = self._db.fetch_one("SELECT store_id, key_source, key_id, key_proof FROM ormco_store", ())
        return row[0], row[1], row[2], row[3]

    def _load_keys(self) -> KeyRing:
        store_id, source, recorded, proof = self._key_record()
        if source is None:
            return self._choose_source(store_id)
        if self._given_keys is not None:
            ring = KeyRing(key_sources.parse_keys(self._given_keys, origin="ORMCO_STORE_KEYS"))
        elif source == key_sources.ENVIRONMENT:
            raise SealingKeyError(
                f"this store is sealed with the key {recorded} from ORMCO_STORE_KEYS, which is not set",
                hint="Set ORMCO_STORE_KEYS, or ORMCO_STORE_KEYS_FILE, to the keys this store was made with.",
            )
        else:
            ring = KeyRing(key_sources.load_keys(source, store_id))
        if recorded not in ring.ids:
            raise _wrong_key(recorded, source, ring, given=self._given_keys is not None)
        check_proof(ring, recorded, proof, store_id=store_id, source=source)
        return ring

    def _prove_key(self) -> None:
        """Have the key vouch for the record of itself that an earlier version wrote without."""
        ring = self._keys()
        store_id, source, recorded, proof = self._key_record()
        if proof is not None or recorded is None or recorded not in ring.ids:
            return
        values = (ring.vouch(recorded, store_id=store_id, source=source or ""), recorded)
        sql = "UPDATE ormco_store SET key_proof = ? WHERE key_id = ? AND key_proof IS NULL"
        self._write(lambda execute: execute(sql, values))

    def _choose_source(self, store_id: str) -> KeyRing:
        """Choose where this store's key is kept from now on; of several first starts, one chooses."""
        deadline = self.clock.deadline(_KEY_SECONDS)
        while not self._db.try_lock("the choice of a key"):
            if not deadline.pause(0.02):
                break  # a keyring holds the other one up; the record below lets only one of us win
        try:
            if self._key_record()[1] is None:
                self._record_choice(store_id)
        finally:
            self._db.unlock("the choice of a key")
        return self._load_keys()

    def _record_choice(self, store_id: str) -> None:
        if self._given_keys is not None:
            source = key_sources.ENVIRONMENT
            keys = key_sources.parse_keys(self._given_keys, origin="ORMCO_STORE_KEYS")
        else:
            source = key_sources.make_key(store_id)
            keys = key_sources.load_keys(source, store_id)
        ring = KeyRing(keys)
        proof = ring.vouch(ring.ids[0], store_id=store_id, source=source)
        self._write(
            lambda execute: execute(
                "UPDATE ormco_store SET key_source = ?, key_id = ?, key_proof = ? WHERE key_source IS NULL",
                (source, ring.ids[0], proof),
            )
        )

    def _forget_handles(self) -> None:
        self._db.forget_handles()
        self._ring_guard = threading.Lock()
        self._ready = False


def new_mark() -> int:
    """Return a number by which a write recognises itself."""
    return _MARKS.getrandbits(62) + 1


# Of its own: a program may seed the common one, and then all its processes would draw the same numbers.
_MARKS = random.Random()  # noqa: S311 - no secret


def check_proof(ring: KeyRing, name: str, proof: str | None, *, store_id: str, source: str) -> None:
    """Refuse a record of a key that its holder did not write.

    A store of an earlier version has no proof yet. Nothing is lost by that: its key has to be one that this
    process was given, or that is in the file or keyring entry of this store's id.

    Raises:
        connector.errors.SealingKeyError: if the key does not vouch for it.
    """
    if proof is not None and not hmac.compare_digest(
        proof, ring.vouch(name, store_id=store_id, source=source)
    ):
        raise SealingKeyError(
            f"the store's record of its key was changed: the key {name} does not vouch for it",
            hint="Somebody has written to the database. Restore it from a backup; nothing was changed.",
        )


def _wrong_key(recorded: str | None, source: str, ring: KeyRing, *, given: bool) -> SealingKeyError:
    if given and source != key_sources.ENVIRONMENT:
        return SealingKeyError(
            f"this store is sealed with the key {recorded} of the {_SOURCES[source]}, "
            "which is not in ORMCO_STORE_KEYS",
            hint="Unset ORMCO_STORE_KEYS, or run `ormco keys rotate` to move this store to its keys; "
            "nothing was changed.",
        )
    return SealingKeyError(
        f"this store is sealed with the key {recorded}, not with {', '.join(ring.ids)}",
        hint="Set ORMCO_STORE_KEYS to the keys this store was made with, the older ones after the first; "
        "nothing was changed.",
    )


_SOURCES = {key_sources.KEYRING: "OS keyring", key_sources.FILE: "key file"}


def _after_fork() -> None:
    for vault in list(_VAULTS):
        vault._forget_handles()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
    os.register_at_fork(after_in_child=_MARKS.seed)
