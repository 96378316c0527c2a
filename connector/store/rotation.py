"""New sealing keys for everything that is stored, while others read and refresh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from connector.connection import Event
from connector.errors import SealingKeyError, StoreDamagedError, StoreError, StoreLockedError
from connector.store import keys as key_sources
from connector.store.audit import AuditRecords, insert_events
from connector.store.database import Execute
from connector.store.rows import SEALED_COLUMNS, TABLE
from connector.store.sealing import KeyRing, key_id, place, sealed_with
from connector.store.vault import check_proof

__all__ = ["KeyRecords"]

_LOCK = "the rotation of keys"
_PAGE = 200
# Older ones stay in the file or keyring, so that backups open; a keyring's entry must not grow for ever.
_KEPT_KEYS = 8
_TABLES = ((TABLE, "practice_id", SEALED_COLUMNS), ("ormco_requests", "state_digest", ("sealed",)))


class KeyRecords(AuditRecords):
    """The part of the store that changes its own keys."""

    def rotate_keys(self, *, progress: Callable[[int], object] = lambda done: None) -> int:
        """Seal everything with a new key: the first of ORMCO_STORE_KEYS, or a fresh one in the key's source.

        Others may read and write meanwhile. A run that was interrupted is finished by the next.

        Args:
            progress: called with the number of values that are done.

        Returns:
            How many values were sealed anew.

        Raises:
            connector.errors.SealingKeyError: if a key is missing; nothing was changed.
            connector.errors.StoreDamagedError: if some values do not open; all others have the new key.
        """
        self._keys_if_given_elsewhere()
        if not self._db.try_lock(_LOCK):
            raise StoreLockedError(
                "another process is already changing the sealing keys", hint="Wait until it is done."
            )
        try:
            return self._rotate(progress)
        finally:
            self._db.unlock(_LOCK)

    def _keys_if_given_elsewhere(self) -> None:
        """Make sure a store without a key has one; one that is sealed with other keys is moved below."""
        self._db.open()
        if self._key_record()[1] is None:
            self._keys()

    def _rotate(self, progress: Callable[[int], object]) -> int:
        source, ring = self._new_ring()
        with self._ring_guard:
            self._ring = ring
        done, broken = 0, set[str]()
        while changed := self._seal_anew(ring, broken, _from(done, progress)):
            done += changed
        self._record_keys(source, ring, done, broken)
        if broken:
            raise StoreDamagedError(
                f"{len(broken)} stored values do not open, among them those of {min(broken)}; "
                "all others are sealed with the new key",
                hint="Restore them from a backup, or `ormco forget` those practices and connect them again.",
            )
        return done

    def _new_ring(self) -> tuple[str, KeyRing]:
        """Return the source, and the ring with the new key first.

        Its keys are those that were given, and those in the file or keyring entry of this store's id: none
        that the database names, or rows that somebody has planted would be sealed anew as if they were ours.
        """
        store_id, source, recorded, proof = self._key_record()
        stored = []
        if source in (key_sources.FILE, key_sources.KEYRING):
            stored = key_sources.load_keys(source, store_id)
        if self._given_keys is not None:
            given = key_sources.parse_keys(self._given_keys, origin="ORMCO_STORE_KEYS")
            new, keys = key_sources.ENVIRONMENT, [*given, *stored]
        elif not stored:
            self._load_keys()  # raises: the environment's keys are not set
            raise AssertionError
        else:
            new, keys = source or "", stored
        ring = KeyRing(keys)
        if recorded not in ring.ids:
            raise SealingKeyError(
                f"the key {recorded} that this store is sealed with is missing",
                hint="Put it into ORMCO_STORE_KEYS, after the new key; nothing was changed.",
            )
        check_proof(ring, recorded, proof, store_id=store_id, source=source or "")
        # Otherwise an earlier run was interrupted: go on with its key.
        if new != key_sources.ENVIRONMENT and key_id(stored[0]) == recorded:
            keys = [key_sources.parse_keys(key_sources.new_key(), origin="")[0], *stored][:_KEPT_KEYS]
            key_sources.save_keys(new, store_id, keys)
            ring = KeyRing(keys)
        return new, ring

    def _seal_anew(self, ring: KeyRing, broken: set[str], progress: Callable[[int], object]) -> int:
        """Go through all tables once; return how many values were changed."""
        done = 0
        for table, row_key, columns in _TABLES:
            last = ""
            sql = (
                f"SELECT {row_key}, {', '.join(columns)} FROM {table} WHERE {row_key} > ? "  # noqa: S608
                f"ORDER BY {row_key} LIMIT ?"
            )
            while rows := self._all(sql, (last, _PAGE)):
                changes = [
                    (table, row_key, row[0], column, old, new)
                    for row in rows
                    for column, old in zip(columns, row[1:], strict=True)
                    if (new := _sealed_anew(ring, table, column, row[0], old, broken)) is not None
                ]
                if changes:
                    done += self._write(partial(_replace, changes))
                    progress(done)
                last = rows[-1][0]
        return done

    def _record_keys(self, source: str, ring: KeyRing, done: int, broken: set[str]) -> None:
        event = Event(
            at=self.clock.utc_now(),
            kind="keys",
            outcome="unreadable" if broken else "ok",
            detail={"key_id": ring.ids[0], "source": source, "sealed_anew": str(done)},
        )
        rows = self._event_rows([event])
        proof = ring.vouch(ring.ids[0], store_id=self._key_record()[0], source=source)

        def work(execute: Execute) -> None:
            execute(
                "UPDATE ormco_store SET key_source = ?, key_id = ?, key_proof = ?",
                (source, ring.ids[0], proof),
            )
            insert_events(execute, rows)

        self._write(work)
        self._tell([event])


def _from(done: int, progress: Callable[[int], object]) -> Callable[[int], object]:
    return lambda more: progress(done + more)


def _sealed_anew(
    ring: KeyRing, table: str, column: str, row: str, old: bytes | None, broken: set[str]
) -> bytes | None:
    """Return a value under the new key, or None where it has that key, is empty or does not open."""
    if old is None or sealed_with(old) == ring.ids[0]:
        return None
    at = place(table, column)
    try:
        return ring.seal(ring.open(old, at=at, row=row), at=at, row=row)
    except StoreError:
        broken.add(row)
        return None


def _replace(changes: Sequence[tuple[Any, ...]], execute: Execute) -> int:
    """Put the new values where the old ones still stand: what was written meanwhile is newer."""
    done = 0
    for table, row_key, row, column, old, new in changes:
        sql = f"UPDATE {table} SET {column} = ? WHERE {row_key} = ? AND {column} = ?"  # noqa: S608
        done += execute(sql, (new, row, old)).rowcount
    return done
