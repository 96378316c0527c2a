"""The structure of a DotNetOpenAuth authorization code, and the damage of an incomplete one.

A code is `handle!payload`. The handle names a key of the server, usually by 4 characters. The payload is
web-safe base64 without padding: an int32 32, 32 bytes of signature, an int32 N, and N bytes of data, where N
is 17 + 16·k and the data starts with the byte 1. So the code contains its own length, and the letters at both
lengths are known: a lost, doubled or added character anywhere after the `!` is detected without the server,
which accepts a code only once. A changed letter is not detected: only the server can check the signature.
"""

from __future__ import annotations

import re
from binascii import a2b_base64

from connector.errors import CodeDamagedError

__all__ = ["USUAL_HANDLE", "damage_in", "expected_length", "is_foreign", "is_whole", "looks_like"]

USUAL_HANDLE = 4

# Some servers put their name and a dot before the handle.
_HANDLE = r"(?:[A-Za-z0-9]{5,}\.)?[A-Za-z0-9_\-]+"
# The server's decoder also accepts the other base64 alphabet.
_LETTER = r"[A-Za-z0-9_\-+/]"
_LOW_BITS_CLEAR = "[AEIMQUYcgkosw048]"
# Index of N in the payload.
_SIZE_AT = 48
_WHOLE = re.compile(
    rf"{_HANDLE}!IAAAA[A-P]{_LETTER}{{42}}{_LOW_BITS_CLEAR}[QRS]{_LOW_BITS_CLEAR}AAA[E-H]{_LETTER}+"
)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STANDARD = str.maketrans("-_", "+/")
_SMALLEST, _LARGEST = 33, 8192
# The unused bits of the last character are zero: its possible values, by the payload's length modulo 4.
_LAST = {2: "AQgw", 3: "AEIMQUYcgkosw048"}
# A payload with fewer different letters may be all capitals by chance, or be the zeros of a test.
_LETTERS_OF_A_CODE = 24

_BEGINS = r"[A-Za-z0-9_.\-]{1,64}!+(?:[Ii]?[Aa]{2}|[A-Za-z0-9_\-+/]{20})"
# The handle in front of a lost "!": 4 characters, or else the fewest that the rest of the pattern allows.
_NO_BANG = r"([A-Za-z0-9_.\-]{4}|[A-Za-z0-9_.\-]{1,40}?)[^A-Za-z0-9]?(?:25){0,8}(?:2?1|2)?IA{3}"
_FOREIGN = r"[^A-Za-z0-9_.\-!+/=% \n]"
_RUN = rf"{_LETTER}{{40}}"
# The characters allowed at each of the first 55 places of a payload.
_HEAD = [*"IAAAA", "[A-P]", *[_LETTER] * 42, _LOW_BITS_CLEAR, "[QRS]", _LOW_BITS_CLEAR, *"AAA", "[E-H]"]
# The characters of N and around it; the second pattern is for a code that lost some of the letters A in N.
_FIELD = rf"({_LOW_BITS_CLEAR}[QRS])({_LOW_BITS_CLEAR})AAA[E-H]"
_SHORT_FIELD = rf"({_LOW_BITS_CLEAR}Q)(E?)A{{1,3}}[E-H]"


def is_whole(code: str) -> bool:
    """Return whether the structure of a decoded code shows no damage."""
    payload = code[code.find("!") + 1 :]
    if not _WHOLE.fullmatch(code) or len(payload) % 4 == 1:
        return False
    data = a2b_base64(payload.translate(_STANDARD) + "=" * (-len(payload) % 4))
    size = int.from_bytes(data[36:40], "little")
    fits = size == len(data) - 40 and size % 16 == 1 and _SMALLEST <= size <= _LARGEST
    return fits and code[-1] in _LAST.get(len(payload) % 4, code[-1]) and not _lost_its_case(payload)


def looks_like(text: str) -> bool:
    """Return whether a text begins like such a code, even a damaged one, or one that lost its `!`."""
    return bool(re.match(_BEGINS, text) or re.match(_NO_BANG, text)) and not is_foreign(text)


def is_foreign(text: str) -> bool:
    """Return whether a text is not such a code, not even a damaged one, even if it contains a `!`.

    Other servers issue codes with a "!" too, with other punctuation; a classic code has long runs of letters.
    """
    return bool(re.search(_FOREIGN, text)) and "!IA" not in text and not re.search(_RUN, text)


def expected_length(code: str) -> int | None:
    """Return the number of characters of the complete code, or None if its length field cannot be read.

    Args:
        code: at least the first 51 characters after the `!`.
    """
    start = code.find("!") + 1
    return _length_with(code[start + _SIZE_AT : start + _SIZE_AT + 3], start) if start else None


def _length_with(letters: str, start: int) -> int | None:
    """Return the length of a code, by the start of its payload and the letters of its N."""
    if len(letters) < 3 or not set(letters) <= set(_ALPHABET):
        return None
    first, second, third = map(_ALPHABET.index, letters)
    bits = first << 12 | second << 6 | third
    size = (bits >> 10) + ((bits >> 2 & 0xFF) << 8)
    if bits & 3 or size % 16 != 1 or not _SMALLEST <= size <= _LARGEST:
        return None
    return start + (4 * (_SIZE_AT * 3 // 4 + 4 + size) + 2) // 3


def damage_in(code: str) -> CodeDamagedError:
    """Return the error for a damaged code; the message contains none of its letters."""
    from connector.redirect.refusals import damaged

    bang = code.find("!")
    if bang < 1 or not re.fullmatch(_HANDLE, code[:bang]):
        return _without_handle(code, bang)
    payload = code[bang + 1 :]
    if _lost_its_case(payload):
        return damaged("lost_case", code)
    broken = _first_break(payload)
    if broken is not None:
        return _broken_at(code, bang + 1 + broken, _guessed_length(code))
    expected = expected_length(code)
    if expected is None:
        return damaged("cut_in_head", code)
    return _of_another_length(code, expected)


def _lost_its_case(payload: str) -> bool:
    """Return whether a payload is all capitals or all small letters, which does not happen by chance."""
    has_both = re.search("[a-z]", payload) and re.search("[A-Z]", payload)
    return not has_both and len(set(payload)) > _LETTERS_OF_A_CODE


def _of_another_length(code: str, expected: int) -> CodeDamagedError:
    from connector.redirect.refusals import damaged

    missing = expected - len(code)
    if missing == 0:
        return _broken_at(code, len(code) - 1, expected)
    if missing < 0:
        reason = "too_long" if missing < -1 else "too_long_by_one"
        return damaged(reason, code, expected_length=expected, position=expected, extra=-missing)
    reason = "cut_short" if missing > 1 else "cut_short_by_one"
    return damaged(reason, code, expected_length=expected, missing=missing)


def _first_break(payload: str) -> int | None:
    """Return the index of the first character that cannot be right."""
    for index, (character, allowed) in enumerate(zip(payload, _HEAD, strict=False)):
        if not re.fullmatch(allowed, character):
            return index
    letters = payload[_SIZE_AT : _SIZE_AT + 3]
    if len(letters) == 3 and _length_with(letters, 0) is None:
        return _SIZE_AT
    strange = re.search(rf"[^{_LETTER[1:]}", payload)
    return strange.start() if strange else None


def _guessed_length(code: str) -> int | None:
    """Return the complete code's length, although some characters before its field are lost or doubled."""
    start = code.find("!") + 1
    for pattern in (_FIELD, _SHORT_FIELD):
        for shift in (0, -1, 1, -2, 2, -3, 3, -4, 4):
            found = re.compile(pattern).match(code, max(start, start + _SIZE_AT + shift))
            expected = _length_with(found[1] + (found[2] or "A"), start) if found else None
            if expected is not None:
                return expected
    return None


def _broken_at(code: str, position: int, expected: int | None) -> CodeDamagedError:
    from connector.redirect.refusals import damaged

    reason = "broken_at" if re.fullmatch(_LETTER, code[position]) else "foreign_at"
    reason += "" if expected in (None, len(code)) else "_with_length"
    return damaged(reason, code, expected_length=expected, position=position)


def _without_handle(code: str, bang: int) -> CodeDamagedError:
    from connector.redirect.refusals import damaged

    if bang == 0:
        return damaged("no_handle", code, position=0)
    if bang < 0 and (found := re.match(_NO_BANG, code)):
        position = found.end(1)
        reason = "bang_missing" if position > 1 else "bang_missing_after_one"
        return damaged(reason, code, position=position, count=position)
    strange = re.search(r"[^A-Za-z0-9_\-]", code)
    return (
        damaged("no_bang", code) if strange is None else damaged("foreign_at", code, position=strange.start())
    )
