"""Seal stored values with authenticated encryption (AES-256-GCM), bound to their row and column.

A sealed value is `version (1 byte) · key id (8) · nonce (12) · ciphertext and tag`. The additional data are
the version, the key id, and the result of `associated_data` for the store's id, table, column, row and other
facts. A value from another row, column, generation or store does not open, nor does a value if one of these
facts was edited. Nonces are random: one key can seal 2^32 values (NIST SP 800-38D §8.3), which is enough for
a century of hourly refreshes for a thousand practices.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connector.errors import SealingKeyError, StoreDamagedError
from connector.store.database import TABLE

if TYPE_CHECKING:
    from connector.store.row import Row

__all__ = [
    "SEALED_COLUMNS",
    "TOKEN_COLUMNS",
    "Bound",
    "KeyRing",
    "UnknownKeyError",
    "associated_data",
    "bound_to",
    "first_associated_data",
    "grant_data",
    "has_first_form",
    "is_first_version",
    "is_sealed_by",
    "key_id",
    "sealed_data",
]

TOKEN_COLUMNS = ("access_sealed", "refresh_sealed")
SEALED_COLUMNS = (*TOKEN_COLUMNS, "policy_sealed")

_VERSION, _FIRST_VERSION = b"\x02", b"\x01"
_ID_BYTES = 8
_HEADER = 1 + _ID_BYTES
_NONCE = 12
_BODY = _HEADER + _NONCE
_TAG = 16


class UnknownKeyError(SealingKeyError):
    """A value was sealed with a key that is not in this ring."""


class KeyRing:
    """The sealing keys of one store: the first seals, every one opens."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.ids: tuple[str, ...] = tuple(key_id(key) for key in keys)
        # One step of HKDF-Expand (RFC 5869): the key is only used to derive others.
        ciphers = {
            bytes.fromhex(name): AESGCM(hmac.digest(key, b"ormco store: seal\x01", "sha256"))
            for name, key in zip(self.ids, keys, strict=True)
        }
        self._ciphers = {
            version + name: cipher
            for name, cipher in ciphers.items()
            for version in (_VERSION, _FIRST_VERSION)
        }
        self._header = _VERSION + bytes.fromhex(self.ids[0])
        self._signing_keys = {
            name: hmac.digest(key, b"ormco store: key record\x01", "sha256")
            for name, key in zip(self.ids, keys, strict=True)
        }

    def sign(self, name: str, *, store_id: str, source: str, sealing: int) -> str:
        """Return the signature by which the holder of a key records it for this store and source.

        `sealing` is the earliest form of sealed values that this store may still hold.
        """
        record = f"{store_id}\0{source}\0{name}" + ("" if sealing < 2 else f"\0{sealing}")
        return hmac.digest(self._signing_keys[name], record.encode(), "sha256").hex()

    def seal(self, text: str, data: bytes) -> bytes:
        """Seal a text, bound to the result of `associated_data`."""
        nonce, header = os.urandom(_NONCE), self._header
        return header + nonce + self._ciphers[header].encrypt(nonce, text.encode(), header + data)

    def open(self, sealed: bytes, data: bytes, *, row: str) -> str:
        """Return the text of a value that `seal` has sealed with the same data; `row` is for the error.

        Raises:
            UnknownKeyError: if the value was sealed with an unknown key.
            connector.errors.StoreDamagedError: if it was changed, or belongs to another row or column.
        """
        header = sealed[:_HEADER]
        cipher = self._ciphers.get(header)
        if cipher is None:
            raise _cannot_open(sealed)
        try:
            return cipher.decrypt(sealed[_HEADER:_BODY], sealed[_BODY:], header + data).decode()
        except (InvalidTag, ValueError):
            raise _damaged(row) from None


def is_first_version(sealed: bytes) -> bool:
    """Return whether a value is bound only to table, column and row, as by the first releases."""
    return sealed[:1] == _FIRST_VERSION


def has_first_form(rows: Iterable[Row | None]) -> bool:
    """Return whether a row has a value that an early release sealed."""
    for row in rows:
        sealed = row and (row.access_sealed or row.refresh_sealed or row.policy_sealed)
        if sealed and is_first_version(sealed):
            return True
    return False


def is_sealed_by(sealed: bytes, ring: KeyRing) -> bool:
    """Return whether a value has the newest form, and is sealed with the ring's first key."""
    return sealed[:_HEADER] == _VERSION + bytes.fromhex(ring.ids[0])


def key_id(key: bytes) -> str:
    """Return the public name of a key: 16 hexadecimal digits that reveal nothing else about it."""
    return hmac.digest(key, b"ormco store: key id\x01", "sha256")[:_ID_BYTES].hex()


def associated_data(*parts: str | int | None) -> bytes:
    """Return an unambiguous encoding of parts: different lists of parts have different encodings."""
    texts = ["-" if part is None else f"{len(text := str(part))}:{text}" for part in parts]
    return "".join(texts).encode("utf-8", "surrogatepass")


def first_associated_data(table: str, column: str, row: str) -> bytes:
    """Return the associated data of the first releases."""
    return f"{table}\0{column}\0{row}".encode()


class Bound(NamedTuple):
    """The facts that a sealed value of a grant's row is bound to, besides its store and column.

    Only `policy_sealed` is bound to the account's address and name, which the person who confirms the
    account sees.
    """

    practice_id: str
    slot: str
    generation: int
    state: str
    account_id: str | None
    provider: str
    account_email: str | None = None
    account_name: str | None = None


def bound_to(row: Row, changes: Mapping[str, Any]) -> Bound:
    """Return the facts that a row's sealed values are bound to after a change."""
    return Bound(*(changes.get(name, getattr(row, name)) for name in Bound._fields))


def sealed_data(store_id: str, bound: Row | Bound, column: str) -> bytes:
    """Return the associated data of a sealed column of a row."""
    facts = (bound.slot, bound.generation, bound.state, bound.account_id, bound.provider)
    data = grant_data(store_id, column, bound.practice_id, *facts)
    if column == "policy_sealed" and bound.account_id is not None:
        data += associated_data(bound.account_email, bound.account_name)
    return data


@lru_cache(maxsize=1024, typed=True)
def grant_data(store_id: str, column: str, practice_id: str, *facts: str | int | None) -> bytes:
    """Return the associated data of a grant's row: slot, generation, state, account id and provider.

    Cached, because a process reads the same rows repeatedly.
    """
    return associated_data(store_id, TABLE, column, practice_id, *facts)


def _cannot_open(sealed: bytes) -> SealingKeyError | StoreDamagedError:
    if len(sealed) < _HEADER + _NONCE + _TAG:
        return StoreDamagedError("a sealed value in the store is cut short", hint=_RESTORE)
    if sealed[:1] not in (_VERSION, _FIRST_VERSION):
        return StoreDamagedError(
            "a sealed value in the store has a form that this version does not know",
            hint="Use the newest ormco-connector; if the error remains, restore the store from a backup.",
        )
    return UnknownKeyError(
        f"the store has values sealed with the key {sealed[1:_HEADER].hex()}, which this server lacks",
        hint="Add that key at the end of ORMCO_STORE_KEYS on this server, and restart it; nothing was "
        "changed. A new key is added last on every server before it is put first on any.",
    )


def _damaged(row: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"a sealed value of {row} was changed, or belongs to another row or an earlier time",
        hint=f"{_RESTORE} Nothing was changed.",
    )


_RESTORE = "Restore the store from a backup, or forget the practice and connect it again."
