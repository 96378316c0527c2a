"""Authenticated encryption of what is stored: AES-256-GCM, bound to the place where the value stands.

A sealed value is `version (1 byte) · key id (8) · nonce (12) · ciphertext and tag`. The additional data are
version, key id, table, column and row, so that a value moved to another row or column does not open.
Nonces are random: one key is good for 2^32 values (NIST SP 800-38D §8.3), which is a century of hourly
refreshes for a thousand practices.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connector.errors import SealingKeyError, StoreDamagedError

__all__ = ["KeyRing", "UnknownKeyError", "key_id", "place", "sealed_with"]

_VERSION = b"\x01"
_ID_BYTES = 8
_HEADER = 1 + _ID_BYTES
_NONCE = 12
_BODY = _HEADER + _NONCE
_TAG = 16


class UnknownKeyError(SealingKeyError):
    """A value was sealed with a key that this ring does not hold."""


class KeyRing:
    """The sealing keys of one store: the first seals, all open.

    Args:
        keys: 32 random bytes each.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.ids = tuple(key_id(key) for key in keys)
        # One step of HKDF-Expand (RFC 5869): the key itself only ever derives.
        self._ciphers = {
            _VERSION + bytes.fromhex(name): AESGCM(hmac.digest(key, b"ormco store: seal\x01", "sha256"))
            for name, key in zip(self.ids, keys, strict=True)
        }
        self._header = _VERSION + bytes.fromhex(self.ids[0])
        self._voices = {
            name: hmac.digest(key, b"ormco store: key record\x01", "sha256")
            for name, key in zip(self.ids, keys, strict=True)
        }

    def vouch(self, name: str, *, store_id: str, source: str) -> str:
        """Return what proves that the holder of a key has recorded it for this store and source.

        Args:
            name: the key's id; one of `ids`.
            store_id: the store's own id.
            source: where the key comes from.
        """
        record = f"{store_id}\0{source}\0{name}".encode()
        return hmac.digest(self._voices[name], record, "sha256").hex()

    def seal(self, text: str, *, at: bytes, row: str) -> bytes:
        """Seal a text for one place.

        Args:
            text: what is to be kept secret.
            at: table and column, as `place` gives them.
            row: the row's key.
        """
        nonce = os.urandom(_NONCE)
        header = self._header
        sealed = self._ciphers[header].encrypt(nonce, text.encode(), header + at + row.encode())
        return header + nonce + sealed

    def open(self, sealed: bytes, *, at: bytes, row: str) -> str:
        """Open what `seal` made for the same place.

        Raises:
            UnknownKeyError: if none of the keys is the one it was sealed with.
            connector.errors.StoreDamagedError: if it was changed, or belongs to another place.
        """
        header = sealed[:_HEADER]
        cipher = self._ciphers.get(header)
        if cipher is None:
            raise _cannot_open(sealed)
        try:
            return cipher.decrypt(sealed[_HEADER:_BODY], sealed[_BODY:], header + at + row.encode()).decode()
        except (InvalidTag, ValueError):
            raise _damaged(row) from None


def key_id(key: bytes) -> str:
    """Return the public name of a key: 16 hexadecimal digits that tell nothing else about it."""
    return hmac.digest(key, b"ormco store: key id\x01", "sha256")[:_ID_BYTES].hex()


def place(table: str, column: str) -> bytes:
    """Return the part of the additional data that all values of one column share."""
    return f"{table}\0{column}\0".encode()


def sealed_with(sealed: bytes) -> str:
    """Return the id of the key a value was sealed with."""
    return sealed[1:_HEADER].hex()


def _cannot_open(sealed: bytes) -> SealingKeyError | StoreDamagedError:
    if len(sealed) < _HEADER + _NONCE + _TAG:
        return StoreDamagedError("a sealed value in the store is cut short", hint=_RESTORE)
    if sealed[:1] != _VERSION:
        return StoreDamagedError(
            "a sealed value in the store has a form that this version does not know",
            hint="Use the newest ormco-connector; if it says the same, restore the store from a backup.",
        )
    return UnknownKeyError(
        f"the store holds values sealed with the key {sealed_with(sealed)}, which is not at hand",
        hint="Set ORMCO_STORE_KEYS to the keys this store was made with, the older ones after the first; "
        "nothing was changed.",
    )


def _damaged(row: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"a sealed value of {row} was changed, or moved there from another row",
        hint=f"{_RESTORE} Nothing was changed.",
    )


_RESTORE = "Restore the store from a backup, or `ormco forget` the practice and connect it again."
