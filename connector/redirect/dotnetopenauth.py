"""The structure of a DotNetOpenAuth authorization code.

A code is `handle!payload`. The handle names a key of the server, usually by 4 characters. The payload is
web-safe base64 without padding: an int32 32, 32 bytes of signature, an int32 N, and N bytes of data, where N
is 17 + 16·k and the data starts with the byte 1. So the code tells its own length, and the letters at both
lengths are known: a lost, doubled or added character anywhere behind the `!` is seen without asking the
server, which takes a code only once. A swapped letter is not seen: only the server can check the signature.
"""

from __future__ import annotations

import re

__all__ = [
    "HANDLE",
    "LETTER",
    "LOW_BITS_CLEAR",
    "NO_BANG",
    "SIZE_AT",
    "data_size",
    "expected_length",
    "is_whole",
    "looks_like",
    "lost_its_case",
    "total_length",
]

# Some servers put their name and a dot before the handle.
HANDLE = r"(?:[A-Za-z0-9]{5,}\.)?[A-Za-z0-9_\-]+"
# The server's decoder takes the other base64 alphabet as well.
LETTER = r"[A-Za-z0-9_\-+/]"
LOW_BITS_CLEAR = "AEIMQUYcgkosw048"
# Where N begins in the payload.
SIZE_AT = 48
# Where the "!" should be: behind 4 characters, or behind the fewest that leave its remains and the payload.
NO_BANG = r"([A-Za-z0-9_.\-]{4}|[A-Za-z0-9_.\-]{1,40}?)[^A-Za-z0-9]?(?:25)*(?:2?1|2)?IA{3}"

_WHOLE = re.compile(
    rf"{HANDLE}!IAAAA[A-P]{LETTER}{{42}}[{LOW_BITS_CLEAR}][QRS][{LOW_BITS_CLEAR}]AAA[E-H]{LETTER}+"
)
_BEGINS = r"[A-Za-z0-9_.\-]{1,64}!+(?:[Ii]?[Aa]{2}|[A-Za-z0-9_\-+/]{20})"
_VALUES = {
    letter: value
    for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}
_SMALLEST, _LARGEST = 33, 8192
# Fewer may be all capitals by accident, or by a lazy test's zeros.
_LETTERS_OF_A_CODE = 24


def is_whole(code: str) -> bool:
    """Tell whether nothing in the structure of a decoded code speaks against it."""
    if not _WHOLE.fullmatch(code) or len(code) != expected_length(code):
        return False
    payload = code[code.find("!") + 1 :]
    # The unused bits of the last character are zero.
    last = {2: "AQgw", 3: LOW_BITS_CLEAR}.get(len(payload) % 4)
    return (last is None or payload[-1] in last) and not lost_its_case(payload)


def looks_like(text: str) -> bool:
    """Tell whether a text begins like such a code, even a damaged one, or one that lost its `!`."""
    return bool(re.match(_BEGINS, text) or re.match(NO_BANG, text))


def expected_length(code: str) -> int | None:
    """Return how many characters the whole code has, or None where its length field cannot be read.

    Args:
        code: at least the first 51 characters behind the `!`.
    """
    start = code.find("!") + 1
    size = data_size(code[start + SIZE_AT : start + SIZE_AT + 3]) if start else None
    return None if size is None else total_length(start, size)


def data_size(letters: str) -> int | None:
    """Return the N that the three letters at its place stand for, or None if it can be none."""
    if len(letters) < 3 or not set(letters) <= _VALUES.keys():
        return None
    bits = _VALUES[letters[0]] << 12 | _VALUES[letters[1]] << 6 | _VALUES[letters[2]]
    size = (bits >> 10) + ((bits >> 2 & 0xFF) << 8)
    return size if size % 16 == 1 and not bits & 3 and _SMALLEST <= size <= _LARGEST else None


def total_length(start: int, size: int) -> int:
    """Return the length of a code whose payload starts at an index and has N bytes of data."""
    return start + (4 * (SIZE_AT * 3 // 4 + 4 + size) + 2) // 3


def lost_its_case(payload: str) -> bool:
    """Tell whether a payload is all capitals or all small letters, which does not come about by itself."""
    return (payload.isupper() or payload.islower()) and len(set(payload)) > _LETTERS_OF_A_CODE
