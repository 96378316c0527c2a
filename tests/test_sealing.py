"""What is sealed opens in its own place, with its own key, unchanged, or not at all."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import StoreDamagedError
from connector.store.sealing import KeyRing, UnknownKeyError, key_id, place, sealed_with

A, B = bytes(range(32)), bytes(range(1, 33))
AT = place("ormco_connections", "access_token")


@given(text=st.text(), row=st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_seal_round_trip(text: str, row: str) -> None:
    """Any text comes back."""
    text = text.encode("utf-8", "ignore").decode()
    ring = KeyRing([A])
    assert ring.open(ring.seal(text, at=AT, row=row), at=AT, row=row) == text


def test_seal_differs_each_time() -> None:
    """Two values that are the same do not look the same."""
    ring = KeyRing([A])
    assert ring.seal("secret", at=AT, row="p") != ring.seal("secret", at=AT, row="p")


@pytest.mark.parametrize(
    ("at", "row"),
    [
        (AT, "q"),
        (place("ormco_connections", "unproven"), "p"),
        (place("ormco_requests", "access_token"), "p"),
    ],
)
def test_open_elsewhere(at: bytes, row: str) -> None:
    """A value that was moved to another row, column or table does not open."""
    ring = KeyRing([A])
    with pytest.raises(StoreDamagedError):
        ring.open(ring.seal("secret", at=AT, row="p"), at=at, row=row)


def test_open_changed() -> None:
    """Whichever bit is changed, the value does not open."""
    ring = KeyRing([A, B])
    sealed = ring.seal("secret", at=AT, row="p")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises((StoreDamagedError, UnknownKeyError)):
            ring.open(bytes(changed), at=AT, row="p")


@pytest.mark.parametrize("length", [0, 1, 8, 9, 20, 36])
def test_open_cut_short(length: int) -> None:
    """A value that lost its end is damaged."""
    ring = KeyRing([A])
    with pytest.raises(StoreDamagedError):
        ring.open(ring.seal("secret", at=AT, row="p")[:length], at=AT, row="p")


def test_open_with_another_keys_name() -> None:
    """A value that is given out as sealed with another of the keys does not open."""
    ring = KeyRing([A, B])
    sealed = ring.seal("secret", at=AT, row="p")
    with pytest.raises(StoreDamagedError):
        ring.open(sealed[:1] + bytes.fromhex(key_id(B)) + sealed[9:], at=AT, row="p")


def test_open_with_older_key() -> None:
    """The first key seals, all open, and a key that is missing is named."""
    old = KeyRing([A]).seal("secret", at=AT, row="p")
    assert KeyRing([B, A]).open(old, at=AT, row="p") == "secret"
    assert sealed_with(KeyRing([B, A]).seal("secret", at=AT, row="p")) == key_id(B)
    with pytest.raises(UnknownKeyError, match=key_id(A)):
        KeyRing([B]).open(old, at=AT, row="p")


def test_key_id_is_not_the_key() -> None:
    """A key's name is the same everywhere and shows nothing of the key."""
    key = os.urandom(32)
    assert key_id(key) == key_id(key) != key_id(A)
    assert key_id(key) not in key.hex()
