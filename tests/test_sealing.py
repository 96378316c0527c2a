"""What is sealed opens in its own place, with its own key, unchanged, or not at all."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import StoreDamagedError
from connector.store.sealing import KeyRing, UnknownKeyError, associated_data, is_sealed_by, key_id

A, B = bytes(range(32)), bytes(range(1, 33))
AT = associated_data("store", "connections", "access", "p", 1)


@given(text=st.text(), row=st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_seal_round_trip(text: str, row: str) -> None:
    """Any text is sealed and opened again."""
    text = text.encode("utf-8", "ignore").decode()
    ring = KeyRing([A])
    data = associated_data(row)
    assert ring.open(ring.seal(text, data), data, row=row) == text


def test_seal_differs_each_time() -> None:
    """Two equal texts have different sealed values."""
    ring = KeyRing([A])
    assert ring.seal("secret", AT) != ring.seal("secret", AT)


@pytest.mark.parametrize(
    "data",
    [
        associated_data("store", "connections", "access", "q", 1),
        associated_data("store", "connections", "refresh", "p", 1),
        associated_data("store", "requests", "access", "p", 1),
        associated_data("another", "connections", "access", "p", 1),
        associated_data("store", "connections", "access", "p", 2),
        associated_data("store", "connections", "access", "p", None),
    ],
)
def test_open_elsewhere(data: bytes) -> None:
    """A value that was moved to another store, row, column or table, or is of another time, does not open."""
    ring = KeyRing([A])
    with pytest.raises(StoreDamagedError):
        ring.open(ring.seal("secret", AT), data, row="p")


def test_associated_data_is_not_ambiguous() -> None:
    """No two lists of parts are bound to the same bytes."""
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", None), ("abc", "-"), ("abc", ""), ("2:ab", "c")]
    assert len({associated_data(*parts) for parts in lists}) == len(lists)


def test_open_changed() -> None:
    """Whichever bit is changed, the value does not open."""
    ring = KeyRing([A, B])
    sealed = ring.seal("secret", AT)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises((StoreDamagedError, UnknownKeyError)):
            ring.open(bytes(changed), AT, row="p")


def test_open_damaged() -> None:
    """A value that lost its end, or is given out as sealed with another of the keys, is damaged."""
    ring = KeyRing([A, B])
    sealed = ring.seal("secret", AT)
    renamed = sealed[:1] + bytes.fromhex(key_id(B)) + sealed[9:]
    for damaged in (renamed, *(sealed[:length] for length in (0, 1, 8, 9, 20, 36))):
        with pytest.raises(StoreDamagedError):
            ring.open(damaged, AT, row="p")


def test_open_with_older_key() -> None:
    """The first key seals, all open, and a key that is missing is named."""
    old = KeyRing([A]).seal("secret", AT)
    assert KeyRing([B, A]).open(old, AT, row="p") == "secret"
    assert is_sealed_by(KeyRing([B, A]).seal("secret", AT), KeyRing([B]))
    assert not is_sealed_by(old, KeyRing([B, A]))
    with pytest.raises(UnknownKeyError, match=key_id(A)):
        KeyRing([B]).open(old, AT, row="p")


def test_key_id_is_not_the_key() -> None:
    """A key's name is the same everywhere and shows nothing of the key."""
    key = os.urandom(32)
    assert key_id(key) == key_id(key) != key_id(A)
    assert key_id(key) not in key.hex()
