"""What is wrong with a DotNetOpenAuth code that is not whole, in words without any of its letters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from connector.redirect.dotnetopenauth import (
    HANDLE,
    LETTER,
    LOW_BITS_CLEAR,
    NO_BANG,
    SIZE_AT,
    data_size,
    expected_length,
    lost_its_case,
    total_length,
)

__all__ = ["Damage", "examine"]

# What each of the first 55 characters of a payload may be.
_HEAD = [
    *"IAAAA",
    "[A-P]",
    *[LETTER] * 42,
    f"[{LOW_BITS_CLEAR}]",
    "[QRS]",
    f"[{LOW_BITS_CLEAR}]",
    *"AAA",
    "[E-H]",
]
# The place of N, also where its run of A has lost some.
_FIELD = rf"([{LOW_BITS_CLEAR}][QRS])([{LOW_BITS_CLEAR}])AAA[E-H]"
_SHORT_FIELD = rf"([{LOW_BITS_CLEAR}]Q)(E?)A{{1,3}}[E-H]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong with a code, in words and in numbers."""

    fact: str
    position: int | None = None
    expected_length: int | None = None


def examine(code: str) -> Damage:
    """Say what is wrong with a code that is not whole."""
    bang = code.find("!")
    if bang < 1 or not re.fullmatch(HANDLE, code[:bang]):
        return _without_handle(code, bang)
    payload = code[bang + 1 :]
    if lost_its_case(payload):
        return Damage(fact="the letters of the code have lost their case: it is all capitals or all small")
    broken = _first_break(payload)
    if broken is not None:
        return _broken_at(code, bang + 1 + broken, _guessed_length(code))
    expected = expected_length(code)
    if expected is None:
        return Damage(fact=f"the code is cut short: only its first {_characters(len(code))} are there")
    return _of_another_length(code, expected)


def _of_another_length(code: str, expected: int) -> Damage:
    missing = expected - len(code)
    if missing == 0:
        return _broken_at(code, len(code) - 1, expected)
    if missing < 0:
        fact = f"the code has {_characters(-missing)} too many: {len(code)} instead of {expected}"
        return Damage(fact=fact, position=expected, expected_length=expected)
    are = "is" if missing == 1 else "are"
    fact = f"the code is cut short: {missing} of its {expected} characters {are} missing"
    return Damage(fact=fact, expected_length=expected)


def _first_break(payload: str) -> int | None:
    """Return the index of the first character that cannot be right."""
    for index, (character, allowed) in enumerate(zip(payload, _HEAD, strict=False)):
        if not re.fullmatch(allowed, character):
            return index
    letters = payload[SIZE_AT : SIZE_AT + 3]
    if len(letters) == 3 and data_size(letters) is None:
        return SIZE_AT
    strange = re.search(rf"[^{LETTER[1:]}", payload)
    return strange.start() if strange else None


def _guessed_length(code: str) -> int | None:
    """Return the whole code's length, although some characters before its field are lost or doubled."""
    start = code.find("!") + 1
    for pattern in (_FIELD, _SHORT_FIELD):
        for shift in (0, -1, 1, -2, 2, -3, 3, -4, 4):
            found = re.compile(pattern).match(code, max(start, start + SIZE_AT + shift))
            size = data_size(found[1] + (found[2] or "A")) if found else None
            if size is not None:
                return total_length(start, size)
    return None


def _broken_at(code: str, position: int, expected: int | None) -> Damage:
    if re.fullmatch(LETTER, code[position]):
        fact = f"the code breaks at or before character {position + 1}"
        fact += ", where something is missing, doubled or changed"
    else:
        fact = f"the code breaks at character {position + 1}, which cannot stand there"
    if expected is not None and expected != len(code):
        fact += f"; it has {_characters(len(code))} instead of {expected}"
    return Damage(fact=fact, position=position, expected_length=expected)


def _without_handle(code: str, bang: int) -> Damage:
    if bang == 0:
        return Damage(fact='the code breaks at its beginning: nothing stands before its "!"', position=0)
    if bang < 0 and (found := re.match(NO_BANG, code)):
        position = found.end(1)
        fact = f'the "!" that belongs after the first {_characters(position)} of the code is missing'
        return Damage(fact=fact, position=position)
    strange = re.search(r"[^A-Za-z0-9_\-]", code)
    if strange is None:
        return Damage(fact='the code has no "!" in it, so it is cut short or not of the expected kind')
    position = strange.start()
    return Damage(
        fact=f"the code breaks at character {position + 1}, which cannot stand there", position=position
    )


def _characters(number: int) -> str:
    return f"{number} character" if number == 1 else f"{number} characters"
